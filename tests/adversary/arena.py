"""A consortium in one process on a real chain: the contracts, and every organisation's own node, journal and key share, as in a study of
theirs. Only blobs travel in memory, for attacks that are not on the network. Its clock is the chain's, which a test moves."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from math import ceil
from pathlib import Path
from typing import Any

from defedbio.chain.abi import encode_call
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.events import Event, fetch_events
from defedbio.chain.feed import EventFeed
from defedbio.chain.network import Network
from defedbio.chain.records import Receipt, Transaction
from defedbio.chain.values import Profile
from defedbio.crypto import ceremony, numbers, sealing, threshold
from defedbio.crypto.merkle import keccak256
from defedbio.domain import Phase
from defedbio.errors import ContractRefused
from defedbio.network.connection import rules_of
from defedbio.nodes.organisation import LoopOptions, OrganisationNode
from defedbio.protocol.decide import Clock
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.journal import Journal
from defedbio.protocol.memory import Memory
from defedbio.protocol.reading import Reader
from defedbio.protocol.restored import Settling, restored
from defedbio.protocol.retention import depth
from defedbio.protocol.tools import Tools
from defedbio.protocol.verify import Check, verify_round
from defedbio.protocol.view import RoundView, StudyView, fold
from defedbio.report import Reporter
from defedbio.spec import StudySpec
from tests.agents.protocol.in_process import dataset, primes, table
from tests.anvil import CHAIN_ID, QUICK, Anvil, account
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

ENROL_SECONDS = 30 * 24 * 3600
PHASE_SECONDS = 600
LONGEST_SKIP = 20_000
COLUMNS = 3
SPEC: dict[str, Any] = {
    "format": "defedbio-study/1",
    "name": "arena",
    "task": {"kind": "binary", "target": "label"},
    "features": {"kind": "table", "columns": [{"name": f"f{i}", "min": 0, "max": 1} for i in range(COLUMNS)]},
    "model": {"kind": "logistic"},
    "training": {"learning_rate": 0.3, "steps": 2, "batch_size": 8},
    "rounds": 1,
    "weighting": {"kind": "samples", "cap": 100},
    "quantisation": {"slot_bits": 48, "clip_norm": 5.0},
    "proofs": "none",  # a proof takes longer than the rest of such a round: `PROVEN` is for attacks that are about them, or about secrets
    "seed": 7,
}


@cache
def _dealt(quorum: int, holders: int) -> tuple[threshold.ThresholdKey, list[threshold.KeyShare]]:
    return threshold.deal_from_primes(*primes(), quorum, holders, os.urandom)


class Unhurried(threading.Event):
    """The `stop` of a node that is driven a turn at a time: it counts the waits and lets none take time."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return self.is_set()


@dataclass
class ArenaNode(OrganisationNode):
    """The product's node on the arena's clock."""

    arena: Any = None
    _entered: tuple[int, Phase] | None = None
    _entered_at: float = 0.0

    def clock(self, study: StudyView) -> Clock:
        view = study.latest
        at = (view.id, view.phase) if view else (0, Phase.NONE)
        now = self.arena.now()
        if at != self._entered:
            self._entered, self._entered_at = at, now
        return Clock(now, now - self._entered_at)


@dataclass
class Member:
    """An organisation: participant `position`, holder of the share `holder` (counted from 1) or of none. `notes` are its node's records."""

    position: int
    address: str
    store: MemoryStore
    holder: int | None
    notes: list[dict[str, Any]] = field(default_factory=list)
    journal: Journal = field(init=False)
    client: ChainClient = field(init=False)
    tools: Tools = field(init=False)
    node: ArenaNode = field(init=False)

    def messages(self) -> str:
        return "\n".join(str(note["message"]) for note in self.notes if "message" in note)


@dataclass
class Arena:
    """`organisations` participants, of whom the first `holders` hold shares, any `quorum` of which open a sum; `outside` more members
    hold shares without taking part. `changes` replace top-level fields of the spec. `at_the_door` is called with the arena and the spec's
    hash when the study is open and nobody has enrolled yet."""

    anvil: Anvil
    network: Network
    folder: Path
    organisations: int = 4
    holders: int = 4
    quorum: int = 3
    outside: int = 0
    changes: dict[str, Any] = field(default_factory=dict)
    seconds: int = PHASE_SECONDS
    at_the_door: Callable[[Arena, bytes], None] = lambda _arena, _hash: None
    ahead: float = field(init=False)
    memory: MemoryNetwork = field(default_factory=MemoryNetwork)
    transport_keys: dict[str, bytes] = field(default_factory=dict, repr=False)
    members: list[Member] = field(default_factory=list)
    study: int = 0
    frame: StudyFrame = field(init=False)
    _sent: int = 0
    _seen: StudyView | None = None
    _strangers: list[Member] = field(default_factory=list)

    # -- set up ------------------------------------------------------------------------------------------------------------------

    def __post_init__(self) -> None:
        # What is undone takes the chain's clock back with it, which then stays behind that of the machine.
        self.anvil.mine()
        self.ahead = self._block_time() - time.time()
        for position in range(self.organisations + self.outside):
            holds = position < self.holders if position < self.organisations else True
            share = position + 1 if position < self.holders else position - self.organisations + min(self.holders, self.organisations) + 1
            address = str(account(position).address)
            self.members.append(Member(position, address, MemoryStore(self.memory, address), share if holds else None))
            self._connect(self.members[-1], self.network.rpc)
        epoch = self._make_key()
        spec = StudySpec.from_bytes(self._spec(epoch))
        self.frame = StudyFrame(CHAIN_ID, self.network.contracts["RoundManager"], self._open(spec), spec, self._dealt[0])
        for member in self.members:
            self._make_node(member)

    @property
    def participants(self) -> list[Member]:
        return self.members[: self.organisations]

    @property
    def key_holders(self) -> list[Member]:
        return [member for member in self.members if member.holder is not None]

    @property
    def _dealt(self) -> tuple[threshold.ThresholdKey, list[threshold.KeyShare]]:
        return _dealt(self.quorum, len(self.key_holders))

    def _make_key(self) -> int:
        self.transport_keys = keys = {member.address: os.urandom(32) for member in self.members}
        for member in self.members:
            (address,) = member.store.identity().multiaddrs
            profile = Profile(f"member {member.position}", "", sealing.transport_public(keys[member.address]), address)
            self._set_up(member, ParticipantRegistry.register("register", profile))
        holders = [ceremony.Holder(m.address, sealing.transport_public(keys[m.address])) for m in self.key_holders]
        key, shares = self._dealt
        transcript = ceremony.publish(key, shares, holders, CHAIN_ID, self.network.contracts["KeyRegistry"], os.urandom)
        dealer = self.members[0]
        cid = dealer.store.add(transcript.to_bytes())
        modulus = numbers.to_bytes(key.n, key.public_key.modulus_bytes)
        addresses = [member.address for member in self.key_holders]
        receipt = self._set_up(dealer, KeyRegistry.propose("propose", modulus, addresses, self.quorum, transcript.hash, cid))
        epoch = KeyRegistry(dealer.client).proposed_in(receipt)
        for member in self.key_holders:
            self._set_up(member, KeyRegistry.confirm("confirm", epoch, transcript.hash))
        return epoch

    def _spec(self, epoch: int) -> bytes:
        document = SPEC | {
            "key": {"epoch": epoch, "modulus_bits": 2048},
            "participants": {"seats": self.organisations, "minimum": 3},
            "deadlines": {
                "enrol": ENROL_SECONDS,
                **dict.fromkeys(("commit", "reveal", "attest", "aggregate", "share", "finalise"), self.seconds),
            },
        }
        return json.dumps({name: value for name, value in (document | self.changes).items() if value is not None}).encode()

    def _open(self, spec: StudySpec) -> int:
        coordinator = self.members[0]
        raw = self._spec(spec.key_epoch)
        rules = rules_of(spec, self.chain_time() + ENROL_SECONDS)
        opening = StudyRegistry.open("open", spec.key_epoch, keccak256(raw), coordinator.store.add(raw), rules, spec.invited)
        self.study = StudyRegistry(coordinator.client).opened_in(self._set_up(coordinator, opening))
        self.at_the_door(self, keccak256(raw))
        for member in self.participants:
            self._set_up(member, StudyRegistry.enrol("enrol", self.study, keccak256(raw)))
        return self.study

    def _set_up(self, member: Member, transaction: Transaction) -> Receipt:
        """As `send`, but Anvil signs, which has these accounts too: nobody attacks yet, and a node's own sending takes far longer."""
        call = transaction.call
        request = {"from": member.address, "to": self.network.contracts[call.contract], "data": "0x" + encode_call(call).hex()}
        mined = self.anvil.rpc("eth_sendTransactionSync", request)
        receipt = member.client.receipt(bytes.fromhex(mined["transactionHash"][2:]))
        assert receipt is not None and mined["status"] == "0x1", mined
        return receipt

    # -- members -----------------------------------------------------------------------------------------------------------------

    def restart(self, member: Member, rpc: str = "", **options: Any) -> Member:
        """Start a member's node again, as after a crash: of the old one its journal, its share and its store are left. It reads the chain
        at `rpc`, by default where the others do, with these client options."""
        member.journal.close()
        self._connect(member, rpc or self.network.rpc, **options)
        self._make_node(member)
        return member

    def stranger(self) -> Member:
        """A member of the consortium that has no part in the study and holds no share of its key."""
        position = self.organisations + self.outside + len(self._strangers)
        address = str(account(position).address)
        made = Member(position, address, MemoryStore(self.memory, address), None)
        self._connect(made, self.network.rpc)
        self._strangers.append(made)
        return made

    def _connect(self, member: Member, rpc: str, **options: Any) -> None:
        member.journal = Journal(self.folder / f"{member.position}.sqlite")
        member.client = ChainClient(rpc, self.network, account(member.position), member.journal, 0, replace(QUICK, **options))

    def _make_node(self, member: Member) -> None:
        report = Reporter(member.notes.append)
        reader = self.reader(member, report)
        past = restored(member.journal)
        member.tools = Tools(
            frame=self.frame,
            address=member.address,
            chain=member.client,
            store=member.store,
            fetcher=reader.fetcher(self.frame),
            memory=Memory(member.journal),
            report=report,
            dataset=dataset(member.position, COLUMNS) if member.position < self.organisations else None,
            share=self._dealt[1][member.holder - 1] if member.holder else None,
            sits_out_through=past.through if past is not None else 0,
            recall=partial(reader.recall, self.study),
        )
        member.tools.__dict__["table"] = table()
        stop = Unhurried()
        member.node = ArenaNode(
            member.tools,
            EventFeed(member.client, study=self.study, epoch=self.frame.spec.key_epoch, depth=depth(self.frame.confirmations)),
            member.holder,
            LoopOptions(poll_seconds=0.01, patience=60.0),
            stop,
            arena=self,
        )
        if member.tools.sits_out_through is None:
            member.node.settling = Settling(member.journal, member.client, reader.rounds, report, self.frame.confirmations)

    def reader(self, member: Member, report: Reporter | None = None) -> Reader:
        """What a member, or an auditor with its node, reads chain and blobs by."""
        return Reader(member.client, member.store, report or Reporter(lambda _: None))

    def send(self, member: Member, transaction: Transaction) -> Receipt:
        """Send a transaction as this member does: a hostile one sends what it likes, as often as it likes."""
        self._sent += 1
        return member.client.send(replace(transaction, key=f"{self._sent}/{transaction.key}"))

    def refusal(self, member: Member, transaction: Transaction) -> str:
        """The name of the error by which the contracts refuse this member's transaction.

        Raises AssertionError when they take it.
        """
        try:
            self.send(member, transaction)
        except ContractRefused as error:
            return error.name
        raise AssertionError(f"the contracts took {transaction.call.function}")

    # -- time --------------------------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Unix seconds on the arena's clock."""
        return time.time() + self.ahead

    def chain_time(self) -> int:
        return self.members[0].client.head().timestamp

    def _block_time(self) -> int:
        return int(self.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def skip(self, seconds: float) -> None:
        """Let this time, rounded up to whole seconds as the chain counts, pass on the chain and at every node."""
        whole = ceil(seconds)
        self.ahead += whole
        self.anvil.rpc("evm_increaseTime", whole)
        self.anvil.mine()

    # -- rounds ------------------------------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        client = self.members[0].client
        return list(fetch_events(client, self.network.deploy_block, client.head().number))

    @cached_property
    def _feed(self) -> EventFeed:
        """What the test itself sees of the chain, by nobody's endpoint."""
        return EventFeed(ChainClient(self.anvil.url, self.network, options=QUICK), study=self.study)

    def view(self) -> StudyView:
        """The study as the chain tells it now."""
        state = self._feed.poll()
        if self._seen is None or state.forked_at is not None:
            self._seen = fold(StudyView(self.study), state.events)
        elif state.fresh:
            self._seen = fold(self._seen, state.fresh)
        return self._seen

    def round(self, number: int) -> RoundView:
        return self.view().rounds[number]

    def step(self, member: Member) -> bool:
        """One turn of a member's node; False when it waits or has finished."""
        stop = member.node.stop
        assert isinstance(stop, Unhurried)
        before = stop.waits
        return not member.node.turn() and stop.waits == before

    def play(self, until: Callable[[StudyView], bool], who: Sequence[Member] | None = None, longest: float = LONGEST_SKIP) -> StudyView:
        """Let these nodes (all by default) take turns until the study is as wanted; while all of them wait, time passes by itself.

        Raises AssertionError when that does not come about within `longest` seconds of such waiting.
        """
        passed = 0.0
        while not until(study := self.view()):
            moved = False
            for member in self.members if who is None else who:
                while self.step(member):
                    moved = True
                    if until(study := self.view()):
                        return study
            if not moved:
                assert passed < longest, f"nobody has anything to do: {study.latest}"
                pause = max(1.0, min(passed / 4, self.seconds / 20))
                passed += pause
                self.skip(pause)
        return study

    def verify(self, number: int) -> list[Check]:
        """What `defedbio verify` finds for a finalised round, with the node of the first member."""
        study = self.view()
        holders = tuple(member.address for member in self.key_holders)
        return list(verify_round(self.members[0].tools.fetcher, study, study.rounds[number], holders))

    def check_opened(self) -> None:
        """Nothing was opened but one sum a round: every released share is for one product, and one for each holder."""
        for view in self.view().rounds.values():
            assert len({share.aggregate_root for share in view.shares if self._honest(share.holder)}) <= 1, view
            assert len({share.holder for share in view.shares}) == len(view.shares), view

    def _honest(self, address: str) -> bool:
        """A member whose node released the share itself, by its journal."""
        (member,) = [m for m in self.members if m.address == address]
        return any(member.journal.get(f"round/{number}/release") for number in self.view().rounds)

    def close(self) -> None:
        for member in [*self.members, *self._strangers]:
            member.journal.close()


def reached(number: int, phase: Phase) -> Callable[[StudyView], bool]:
    """Round `number` is in this phase."""
    return lambda study: number in study.rounds and study.rounds[number].phase == phase


@contextmanager
def opened(arena: Arena) -> Iterator[Arena]:
    try:
        yield arena
    finally:
        arena.close()
