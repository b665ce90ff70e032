"""The client: an organisation's settings, and what it can do with them, in the groups of the command line."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from defedbio.client.password import Secret
from defedbio.client.session import Session, silent
from defedbio.client.values import Value
from defedbio.config import DEFAULT_HOME, DEFAULT_IPFS_API, DEFAULT_NETWORK_FILE
from defedbio.errors import InvalidInput
from defedbio.nodes.options import RunOptions
from defedbio.report import Sink

# Each group's module is loaded when it is used: most commands need one, and some bring torch or a web server.
if TYPE_CHECKING:
    from defedbio.client.accounts import Accounts, Registration
    from defedbio.client.audits import Audit
    from defedbio.client.backups import Backup, Restoration
    from defedbio.client.ceremonies import Ceremonies
    from defedbio.client.data import Data
    from defedbio.client.doctor import Finding
    from defedbio.client.explorer import Explorer
    from defedbio.client.ipfs import Ipfs
    from defedbio.client.keys import Keys
    from defedbio.client.members import Members
    from defedbio.client.models import Models
    from defedbio.client.modules import Modules
    from defedbio.client.rounds import Rounds
    from defedbio.client.simulation import SimulatedRound, Simulation
    from defedbio.client.specs import Spec
    from defedbio.client.status import States
    from defedbio.client.storage import Storage
    from defedbio.client.studies import Studies
    from defedbio.nodes.watching.status import Status
    from defedbio.protocol.verify import Check

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class NetworkFacts(Value):
    """`contracts` are addresses by Solidity name; `deploy_block` is the first block that can hold an event of theirs."""

    chain_id: int
    contracts: dict[str, str]
    deploy_block: int


class Client:
    """One organisation's view of its network: everything that `defedbio` can do, as methods with the commands' names.

    Settings that are not given come from DEFEDBIO_HOME, DEFEDBIO_NETWORK, DEFEDBIO_RPC, DEFEDBIO_IPFS, DEFEDBIO_PASSWORD_FILE and
    DEFEDBIO_PASSWORD, and else are the command line's defaults. Nothing is opened, connected or asked before a method needs it, and the
    password only by those that sign. Results are frozen dataclasses; errors are those of defedbio.errors. One thread at a time.
    """

    def __init__(
        self,
        home: StrPath | None = None,
        network: StrPath | None = None,
        rpc: str | None = None,
        ipfs: str | None = None,
        *,
        password: str | None = None,
        password_file: StrPath | None = None,
        on_record: Sink = silent,
    ) -> None:
        """
        Args:
            home: the organisation's folder: keys, journal, IPFS repository.
            network: the network file that the deployment wrote.
            rpc: Ethereum RPC endpoint; the network file's when absent.
            ipfs: multiaddress of the own IPFS node's RPC.
            password, password_file: of the account and the keys; at most one of them. Without, the password is asked for when there is
                somebody to ask.
            on_record: gets what long operations report about themselves (defedbio.report).

        Raises:
            InvalidInput: if both a password and a file are given.
        """
        if password is not None and password_file is not None:
            raise InvalidInput("both a password and a password file are given", "pass one of them")
        if password is None:
            password_file = password_file or os.environ.get("DEFEDBIO_PASSWORD_FILE") or None
        self._session = Session(
            home_path=Path(home or os.environ.get("DEFEDBIO_HOME") or DEFAULT_HOME),
            network_path=Path(network or os.environ.get("DEFEDBIO_NETWORK") or DEFAULT_NETWORK_FILE),
            rpc=rpc or os.environ.get("DEFEDBIO_RPC") or "",
            ipfs=ipfs or os.environ.get("DEFEDBIO_IPFS") or DEFAULT_IPFS_API,
            password_file=Path(password_file).expanduser() if password_file is not None else None,
            given_password=Secret(password) if password is not None else None,
            sink=on_record,
        )

    def __repr__(self) -> str:
        return f"Client(home={str(self._session.home_path)!r}, network={str(self._session.network_path)!r}, ipfs={self._session.ipfs!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections. A closed client connects again if it is used again.

        Example:
            client = Client()
            client.study.show(1)
            client.close()  # or: with Client() as client: ...
        """
        self._session.close()

    @property
    def address(self) -> str:
        """The own account's address. Needs no password. Raises NotFound if there is none yet."""
        return self._session.own_address()

    @property
    def network(self) -> NetworkFacts:
        """What the network file says. Raises NotFound, InvalidInput if it cannot be had."""
        network = self._session.network
        return NetworkFacts(network.chain_id, network.contracts.addresses(), network.deploy_block)

    @cached_property
    def account(self) -> Accounts:
        from defedbio.client.accounts import Accounts

        return Accounts(self._session)

    @cached_property
    def ipfs(self) -> Ipfs:
        from defedbio.client.ipfs import Ipfs

        return Ipfs(self._session)

    @cached_property
    def member(self) -> Members:
        from defedbio.client.members import Members

        return Members(self._session)

    @cached_property
    def ceremony(self) -> Ceremonies:
        from defedbio.client.ceremonies import Ceremonies

        return Ceremonies(self._session)

    @cached_property
    def study(self) -> Studies:
        from defedbio.client.studies import Studies

        return Studies(self._session)

    @cached_property
    def module(self) -> Modules:
        from defedbio.client.modules import Modules

        return Modules(self._session)

    @cached_property
    def data(self) -> Data:
        from defedbio.client.data import Data

        return Data(self._session)

    @cached_property
    def model(self) -> Models:
        from defedbio.client.models import Models

        return Models(self._session)

    @cached_property
    def audit(self) -> Audit:
        from defedbio.client.audits import Audit

        return Audit(self._session)

    @cached_property
    def storage(self) -> Storage:
        from defedbio.client.storage import Storage

        return Storage(self._session)

    @cached_property
    def explorer(self) -> Explorer:
        from defedbio.client.explorer import Explorer

        return Explorer(self._session)

    @cached_property
    def round(self) -> Rounds:
        from defedbio.client.rounds import Rounds

        return Rounds(self._session)

    @cached_property
    def key(self) -> Keys:
        from defedbio.client.keys import Keys

        return Keys(self._session)

    def backup(self, file: StrPath) -> Backup:
        """Write the home into one file, sealed under the account's password (mode 0600), while agents run; without IPFS blobs and logs.

        Raises:
            InvalidInput: if the file is there or cannot be written. NotFound: without an account. WrongPassword.

        Example:
            client.backup("/mnt/safe/2026-01-31.backup").bytes
        """
        from defedbio.client.backups import back_up

        return back_up(self._session, Path(file))

    def restore(self, file: StrPath, *, replace: bool = False) -> Restoration:
        """Make the home as a backup has it, without what the chain says is over since. Its agents sit out what began before (C7).

        Args:
            replace: move a home that is there aside. Its agents must be stopped.

        Raises:
            InvalidInput: if there is a home and no `replace`, or an agent works in it. WrongPassword, InvalidKey: by the backup's fault.
                Unreachable: if the chain cannot be asked.

        Example:
            client.restore("/mnt/safe/2026-01-31.backup").left_out
        """
        from defedbio.client.backups import restore

        return restore(self._session, Path(file), replace)

    def doctor(self) -> list[Finding]:
        """What is installed, reachable, mismatched; what cannot be reached is a finding of level error and raises nothing.

        Example:
            [finding for finding in client.doctor() if finding.level != "ok"]
        """
        from defedbio.client.doctor import examine

        return list(examine(self._session))

    def register(self, name: str, *, multiaddr: str = "", metadata: str = "") -> Registration:
        """Publish or replace the own profile (R1). Members then vote to admit a newcomer.

        Args:
            name: at most 64 bytes, public.
            multiaddr: where others reach the own IPFS node; the first that the node names when absent.
            metadata: CID of public metadata, if any.

        Raises:
            NotFound, Unreachable, ContractRefused: as they come.

        Example:
            client.register("Example Bio", multiaddr="/dns4/ipfs.example.org/tcp/4001/p2p/12D3Koo...")
        """
        from defedbio.client.accounts import register

        return register(self._session, name, multiaddr, metadata)

    def simulate(
        self,
        spec: Spec,
        data: Sequence[StrPath],
        *,
        test: StrPath | None = None,
        seed: int = 0,
        exact: bool = False,
        out: StrPath | None = None,
        module: Sequence[StrPath] = (),
        threads: int = 1,
        on_round: Callable[[SimulatedRound], None] = lambda done: None,
    ) -> Simulation:
        """Run a study on local files, for tuning a spec before anyone enrols: no chain, no IPFS, no keys, no encryption.

        Args:
            spec: a file, a document or a parsed spec.
            data: one file for each organisation.
            test: a labelled file on which every global model is measured.
            seed: of the minibatches, and of the rounding.
            exact: quantise and sum integers as the encrypted rounds do.
            out: where to write the last model (safetensors).
            module: sources of the study's own torch module.
            threads: of the CPU, for training.
            on_round: gets each round as soon as it is done.

        Raises:
            InvalidSpec, InvalidData, InvalidInput: for a spec, files or their number that do not fit, or if `out` exists.

        Example:
            result = client.simulate("spec.json", ["a.csv", "b.csv", "c.csv"], test="test.csv")
            pandas.DataFrame(result.table())
        """
        from defedbio.client.simulation import simulate

        return simulate(spec, data, test, seed, exact, out, module, threads, on_round)

    def run(
        self,
        study: int,
        data: StrPath | None = None,
        options: RunOptions = RunOptions(),
        *,
        on_record: Sink | None = None,
        stop: threading.Event | None = None,
    ) -> bool:
        """Follow the chain and take part in the study until it is complete (True), or `stop` is set (False). It goes on where its journal
        ends, however it ended before; one process at a time may run a study's agent.

        Args:
            data: this organisation's file, which never leaves this machine; a holder of the key that is not enrolled needs none.
            options: how it works and is watched.
            on_record: gets every record of the node (defedbio.report); the client's own when absent.

        Raises:
            NotFound, InvalidInput: when it was not accepted, or the data or an option does not fit. StudyHalted: when the study cannot go
                on. Unreachable: when chain or IPFS stay away for longer than the options' `patience`.

        Example:
            client.run(1, "mine.csv", RunOptions(threads=4, metrics_port=9460))
        """
        from defedbio.client.running import run

        sink = on_record or self._session.sink
        return run(self._session, study, None if data is None else Path(data), options, sink, stop or threading.Event())

    def verify(self, round: int, on_check: Callable[[Check], None] = lambda check: None) -> list[Check]:
        """Re-check a finished round from chain and IPFS alone (R5): commitments, set, updates, product, opening, model and its bytes, up
        to the first check that fails; the round holds if every check is ok. `on_check` gets each as soon as it is made.

        Raises:
            NotFound: for an unknown round. InvalidInput: for one that is not finalised.
            BlobUnavailable: when a needed blob cannot be had; nothing is proven then.

        Example:
            all(check.ok for check in client.verify(7))
        """
        from defedbio.client.verification import verify

        return verify(self._session, round, on_check)

    def top(self, study: int) -> Status:
        """The organisation's own state in a study now: its round and part in it, its agent if one runs here, gas, privacy budget, peers.
        What cannot be known is None, and `problems` says why. The next call for the same study reads only what is new.

        Raises:
            NotFound: for an unknown study, or without an account. ChainUnreachable: without a chain there is no state.

        Example:
            client.top(1).round
        """
        return self._states.now(study)

    @cached_property
    def _states(self) -> States:
        from defedbio.client.status import States

        return States(self._session)
