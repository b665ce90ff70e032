"""What is installed, reachable, mismatched."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from defedbio.client.session import Session
from defedbio.client.values import Value
from defedbio.errors import DefedError
from defedbio.ipfs.node import find_node_binary
from defedbio.protocol.reading import Reader

PACKAGES = ("web3", "eth-account", "py-solc-x", "eth-brownie", "torch", "phe", "gmpy2", "ipfshttpclient", "rdkit")
CLOCK_SKEW_SECONDS = 30


@dataclass(frozen=True)
class Finding(Value):
    """`level` is ok, warning or error."""

    name: str
    level: str
    detail: str


def examine(session: Session) -> Iterator[Finding]:
    """Packages, account, chain, contracts, IPFS and the registered profile. What cannot be reached is a finding, not an error."""
    yield from _installed()
    yield from _account(session)
    yield from _outside(session)


def _installed() -> Iterator[Finding]:
    yield Finding("python", "ok" if sys.version_info[:2] == (3, 11) else "warning", sys.version.split()[0])
    for package in PACKAGES:
        try:
            yield Finding(package, "ok", version(package))
        except PackageNotFoundError:
            yield Finding(package, "error", "not installed: run `make setup`")
    yield _try("node (for the embedded IPFS)", lambda: str(find_node_binary()), failing="warning")


def _account(session: Session) -> Iterator[Finding]:
    yield _try("account", session.own_address, failing="warning")
    yield _try("transport key", session.transport_public, failing="warning")


def _outside(session: Session) -> Iterator[Finding]:
    ipfs_finding = _try("ipfs", lambda: (lambda i: f"{i.agent_version} {i.peer_id}")(session.store.identity()))
    yield ipfs_finding
    connections: list[Reader] = []

    def connect() -> str:
        connections.append(session.reader())
        return f"{connections[0].client.rpc_shown} chain {session.network.chain_id}, block {connections[0].client.head().number}"

    yield _try("chain and contracts", connect)
    if not connections:
        return
    connection = connections[0]
    skew = abs(time.time() - connection.client.head().timestamp)
    yield Finding(
        "newest block's age", "ok" if skew < CLOCK_SKEW_SECONDS else "warning", f"{skew:.0f} s: an idle chain or a wrong clock if large"
    )
    if session.home.account.exists():
        yield from _membership(session, connection, ipfs_finding.level == "ok")


def _membership(session: Session, connection: Reader, ipfs_up: bool) -> Iterator[Finding]:
    address = session.own_address()
    member = connection.registry.is_member(address)
    yield Finding(
        "membership",
        "ok" if member else "warning",
        "member" if member else "not a member: once it has a profile, members vote with `defedbio member admit`",
    )
    yield Finding("balance for gas", *_balance(connection.client.balance(address)))
    try:
        profile = connection.registry.profile_of(address)
    except DefedError as error:
        yield Finding("profile", "warning", str(error))
        return
    same = profile.transport_key.hex() == session.transport_public()
    yield Finding(
        "transport key on chain",
        "ok" if same else "error",
        "the own one" if same else "another than the own: run `defedbio register` again",
    )
    if ipfs_up:
        peer = session.store.identity().peer_id
        match = peer in profile.multiaddr
        yield Finding(
            "multiaddress on chain",
            "ok" if match else "error",
            profile.multiaddr if match else "names another IPFS node: `defedbio register` again",
        )


def _balance(wei: int) -> tuple[str, str]:
    return ("ok" if wei else "error", f"{wei / 1e18:.6f} ether")


def _try(name: str, check: Callable[[], str], failing: str = "error") -> Finding:
    try:
        return Finding(name, "ok", check())
    except DefedError as error:
        return Finding(name, failing, str(error))
