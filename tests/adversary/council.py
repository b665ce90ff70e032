"""Organisations that make a key together on a real chain, each with a home and a node of its own, driven a step at a time.

A seat is the product's own loop, `take_part`, stopped whenever it would wait. Only blobs travel in memory. Machines are the one that stands
for keygen where an attack is on the ceremony's frame, and keygen itself on small numbers where it is on what is posted."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.ceremony import consent
from defedbio.ceremony.holder import Holder
from defedbio.ceremony.machine import MakeMachine, Posts, Terms
from defedbio.ceremony.mill import Mill
from defedbio.ceremony.taking_part import Ended, Pace, read, take_part, terms_of
from defedbio.ceremony.verdict import Verdict
from defedbio.ceremony.view import CeremonyView
from defedbio.chain.abi import encode_call
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.chain.records import Receipt, Transaction
from defedbio.chain.values import Ceremony, Profile
from defedbio.config import JOURNAL, Home
from defedbio.crypto.keygen.machine import Secrets
from defedbio.crypto.keygen.messages import Body, Kind, decode, encode
from defedbio.crypto.keygen.record import Record
from defedbio.crypto.keygen.terms import Terms as Announced
from defedbio.domain import CeremonyStatus
from defedbio.errors import ContractRefused
from defedbio.network.connection import Connection
from defedbio.protocol.memory import open_journal
from defedbio.report import Reporter
from tests.agents.ceremony.fakes import FakeMachine
from tests.agents.crypto.keygen.runs import first_seeds, two_primes
from tests.anvil import QUICK, Anvil, account
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

BITS, CHAIN_BITS = 448, 2048
SIZES = {BITS: 32}
STEP_SECONDS = 3600
LONGEST_WAIT = 4 * STEP_SECONDS
PASSWORD = "a long enough password"
PACE = Pace(poll_seconds=0.01, patience=60.0)


def seeds_that_survive(terms: Terms) -> list[bytes]:
    """Of all holders, such that the first batch of small candidates has a survivor that is not its first."""
    announced = Announced(terms.chain_id, terms.registry, terms.ceremony, terms.holders, terms.threshold, BITS, terms.step_seconds, SIZES)
    return first_seeds(announced, 0, lambda seeds: min(two_primes(announced, seeds), default=0) > 0)


class Small(Mill):
    """Keygen's machine on small numbers. For the chain, which takes moduli of 2048 bits alone, its own is made longer."""

    def __init__(self, terms: Terms, position: int, seed: bytes) -> None:
        super().__init__(replace(terms, bits=BITS), position, seed, SIZES)

    def transcript(self, posts: Posts) -> Any:
        made = super().transcript(posts)
        key = SimpleNamespace(n=made.key.public_key.n << (CHAIN_BITS - BITS) | 1, modulus_bytes=CHAIN_BITS // 8)
        return SimpleNamespace(hash=made.hash, to_bytes=made.to_bytes, key=SimpleNamespace(public_key=key))


Cheat = Callable[[Record, Body, list[Body]], Body]
"""What is posted instead, of the record, the honest body and those that others have posted in the same step: who deviates speaks last."""


def cheating(cheats: dict[Kind, Cheat], heard: Callable[[], list[bytes]], dealing: Cheat | None = None) -> type[Small]:
    """A machine that deviates in these steps, and in what it deals. `heard` gives the messages of the step that others have posted."""

    class Cheating(Small):
        def __init__(self, terms: Terms, position: int, seed: bytes) -> None:
            super().__init__(terms, position, seed)
            if dealing is not None:
                self._secrets = Dealing(self._progress._terms, position, seed)

        def message(self, posts: Posts) -> bytes:
            record = self._progress.after(posts)
            cheat = cheats.get(record.kind)
            if cheat is None:
                return super().message(posts)
            before = [decode(raw, record.header(i), record.layout(i)) for i, raw in enumerate(heard())]
            body = cheat(record, self._secrets.body(record), before)
            return encode(record.header(self.position), record.layout(self.position), body)

    class Dealing(Secrets):
        def _dealing(self, record: Record) -> Body:
            assert dealing is not None
            return dealing(record, super()._dealing(record), [])

    return Cheating


class OneStep(threading.Event):
    """The `stop` of a loop that is let go on until it waits once; `asked` is for how long it wanted to."""

    asked = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.asked = timeout or 0.0
        self.set()
        return True


@dataclass
class Member:
    """An organisation with its home and its IPFS node. `records` is what its node reports."""

    position: int
    address: str
    home: Home
    store: MemoryStore
    client: ChainClient
    records: list[dict[str, Any]] = field(default_factory=list)

    def messages(self) -> str:
        return "\n".join(str(record["message"]) for record in self.records if "message" in record)


@dataclass
class Seat:
    """A member in a ceremony; `ended` once its loop has come to the end."""

    member: Member
    folder: Path
    holder: Holder
    ended: Ended | None = None


@dataclass
class Council:
    """Four organisations, each a member. `seen` is every message that was on the chain at any time, by ceremony, step and holder: who saw a
    block keeps what was in it."""

    anvil: Anvil
    network: Network
    folder: Path
    members: list[Member] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)
    seen: dict[tuple[int, int, int], set[bytes]] = field(default_factory=dict)
    _sent: int = 0

    def __post_init__(self) -> None:
        nodes = MemoryNetwork()
        newest = int(self.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        self.anvil.rpc("evm_setNextBlockTimestamp", max(newest + 1, int(time.time())))
        self.anvil.mine()
        for position in range(4):
            address = str(account(position).address)
            store = MemoryStore(nodes, address)
            client = ChainClient(self.network.rpc, self.network, account(position), options=QUICK)
            self.members.append(Member(position, address, Home(self.folder / str(position)), store, client))
            profile = Profile(f"member {position}", "", bytes([position + 1]) * 32, store.identity().multiaddrs[0])
            self.quickly(self.members[-1], ParticipantRegistry.register("register", profile))

    # -- chain -------------------------------------------------------------------------------------------------------------------

    @property
    def keys(self) -> KeyRegistry:
        return KeyRegistry(self.members[0].client)

    def announce(self, members: Sequence[Member], by: Member | None = None) -> int:
        """A ceremony of these, in this order, the first two of whom contribute."""
        by = by or self.members[0]
        transaction = KeyRegistry.announce("announce", [m.address for m in members], 2, CHAIN_BITS, STEP_SECONDS)
        return self.keys.announced_in(self.quickly(by, transaction))

    def quickly(self, member: Member, transaction: Transaction) -> Receipt:
        """Send what must be taken. Anvil signs, as it has these accounts, too: a node's own sending takes far longer."""
        call = transaction.call
        request = {"from": member.address, "to": self.network.contracts[call.contract], "data": "0x" + encode_call(call).hex()}
        mined = self.anvil.rpc("eth_sendTransactionSync", request)
        receipt = member.client.receipt(bytes.fromhex(mined["transactionHash"][2:]))
        assert receipt is not None and mined["status"] == "0x1", mined
        return receipt

    def refusal(self, member: Member, transaction: Transaction) -> str:
        """The name of the error by which the contracts refuse this member's transaction; raises AssertionError when they take it."""
        self._sent += 1
        try:
            member.client.send(replace(transaction, key=f"{self._sent}/{transaction.key}"))
        except ContractRefused as error:
            return error.name
        raise AssertionError(f"the contracts took {transaction.call.function}")

    def now(self, ceremony: int) -> Ceremony:
        """The ceremony by the newest block."""
        return self.keys.ceremony_of(ceremony)

    def view(self, ceremony: int) -> CeremonyView:
        """The same by its events, all of which are kept in `seen`."""
        found = read(self.connection(self.members[0]), ceremony, 0)
        assert found is not None
        for number, step in enumerate(found.steps):
            for position, post in step.posts.items():
                self.seen.setdefault((ceremony, number, position), set()).add(post.hash)
        return found

    def heard(self, ceremony: int) -> list[bytes]:
        """What has been posted in the present step, in the order of the holders."""
        posts = self.view(ceremony).steps[-1].posts
        return [self.blob(posts[position].cid) for position in sorted(posts)]

    def blob(self, cid: str) -> bytes:
        return next(member.store.blobs[cid] for member in self.members if cid in member.store.blobs)

    def skip(self, seconds: float) -> None:
        self.anvil.rpc("evm_increaseTime", ceil(seconds))
        self.anvil.mine()

    # -- taking part -------------------------------------------------------------------------------------------------------------

    def connection(self, member: Member, client: ChainClient | None = None) -> Connection:
        return Connection(client or member.client, member.store, Reporter(member.records.append))

    def sit(self, member: Member, ceremony: int, make: MakeMachine = FakeMachine, seed: bytes = b"", confirmations: int = 0) -> Seat:
        """Let a member take part, from what its home has of the ceremony. The first time it accepts, with a seed of its own or this one."""
        terms = terms_of(self.connection(member), ceremony)
        folder = member.home.ceremony(terms.chain_id, terms.registry, ceremony)
        if not consent.accepted(folder, terms):
            draws = iter([seed] if seed else [])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(consent, "os", SimpleNamespace(urandom=lambda length: next(draws, None) or os.urandom(length)))
                consent.accept(folder, terms, PASSWORD)
        journal = open_journal(folder / JOURNAL)
        client = ChainClient(self.network.rpc, self.network, account(member.position), journal, confirmations, QUICK)
        share_path = partial(member.home.share, terms.chain_id, terms.registry)
        drawn = consent.open_seed(folder, terms, PASSWORD)
        position = terms.holders.index(member.address)
        made = Holder(self.connection(member, client), terms, position, folder, journal, make, drawn, share_path, PASSWORD)
        self.seats.append(Seat(member, folder, made))
        return self.seats[-1]

    def leave(self, seat: Seat) -> None:
        """The process ends; what is in the home stays."""
        seat.holder.journal.close()

    def copy_of(self, seat: Seat) -> Path:
        """A backup of all that the home has of the ceremony."""
        copy = self.folder / f"copy-{len(list(self.folder.iterdir()))}"
        shutil.copytree(seat.folder, copy)
        return copy

    def step(self, seat: Seat) -> bool:
        """One action of a seat's node; False when it waits or has ended."""
        if seat.ended is not None:
            return False
        stop = OneStep()
        seat.ended = take_part(seat.holder, stop, PACE)
        return seat.ended is None and stop.asked == 0.0

    def play(self, seats: Sequence[Seat], until: Callable[[], bool] = lambda: False, last: Seat | None = None) -> None:
        """Let them act in turn until all have ended, or until it is as wanted; while all of them wait, time passes. One who speaks `last`
        acts when the others wait.

        Raises AssertionError when that does not come about within `LONGEST_WAIT`.
        """
        passed = 0.0
        while not until() and any(seat.ended is None for seat in seats):
            moved = False
            for seat in seats:
                moved |= seat is not last and self.step(seat)
                if moved and until():
                    return
            if last is not None and not moved:
                moved = self.step(last)
            if not moved and any(seat.ended is None for seat in seats):
                assert passed < LONGEST_WAIT, "somebody waits for ever"
                pause = min(max(1.0, passed), STEP_SECONDS / 8)
                passed += pause
                self.skip(pause)

    def made(self, seats: Sequence[Seat]) -> int:
        """The epoch of the ceremony, in which all of these say that it succeeded."""
        assert {seat.ended.view.status for seat in seats if seat.ended} == {CeremonyStatus.SUCCEEDED}
        (epoch,) = {seat.ended.view.epoch.number for seat in seats if seat.ended and seat.ended.view.epoch}
        return epoch

    def verdict(self, seats: Sequence[Seat]) -> Verdict:
        """The one that all of these came to on a ceremony that failed."""
        ended = [seat.ended for seat in seats]
        assert all(end is not None and end.view.status is CeremonyStatus.FAILED for end in ended)
        found = {(end.verdict.positions, end.verdict.reason) for end in ended if end is not None and end.verdict is not None}
        assert len({positions for positions, _ in found}) == 1, found
        return Verdict(*found.pop())

    def close(self) -> None:
        for seat in self.seats:
            self.leave(seat)
