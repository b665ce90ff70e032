"""A small chain and IPFS as the explorer meets them, made of events written by hand."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from defedbio.chain import events as ev
from defedbio.chain.feed import FeedState
from defedbio.chain.network import Contracts, Network
from defedbio.chain.records import Block, Head, MinedTransaction, Receipt
from defedbio.chain.sender import checksum
from defedbio.chain.values import Profile, StudyRules
from defedbio.domain import BitSet, CeremonyKind, Phase
from defedbio.errors import BlobUnavailable, ChainUnreachable, ContractRefused
from defedbio.explorer.blobs import Blobs
from defedbio.explorer.index import Index
from defedbio.explorer.lookups import Lookups
from defedbio.explorer.pages import Pages
from defedbio.explorer.render import Renderer
from defedbio.ipfs.cid import cid_of
from defedbio.network.peers import Peers
from defedbio.report import Reporter
from tests.agents.protocol.in_process import frame_of
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

NOW = 1_700_000_000
CONTRACTS = Contracts.of(*(f"0x{i:040x}" for i in range(1, 5)))
PEOPLE = tuple(checksum(f"0x{i:040x}") for i in (1001, 1002, 1003, 1004))
STRANGER = checksum(f"0x{2001:040x}")
RULES = StudyRules(4, 3, 2, NOW, 60, 60, 60, 60, 60, 60, 6_666)
UPDATE, MODEL, SPEC = (cid_of(name) for name in (b"an update", b"a model", b"a spec"))


FRAME = frame_of({"rounds": 60})


def word(text: str) -> bytes:
    return text.encode().ljust(32, b"\x01")


@dataclass
class Chain:
    """Events, three to a block; also the feed of an index, and a client that can be told to fail."""

    events: list[ev.Event] = field(default_factory=list)
    network: Network = field(default_factory=lambda: Network(31337, "http://127.0.0.1:1", CONTRACTS))
    fork: int = 0
    told: int = 0
    forked: bool = False
    down: bool = False
    asked: list[str] = field(default_factory=list)
    sent: MinedTransaction | None = None

    def emit(self, kind: type[ev.Event], *values: Any, contract: str = CONTRACTS["RoundManager"]) -> None:
        number = len(self.events)
        block = 1 + number // 3
        tx = bytes((self.fork,)) + (number + 1).to_bytes(31, "big")
        meta = ev.EventMeta(block, bytes((self.fork,)) + block.to_bytes(31, "big"), tx, number % 3, contract)
        self.events.append(kind(*values, meta=meta))

    def reorganise(self) -> None:
        self.events, self.fork, self.told, self.forked = [], self.fork + 1, 0, True

    def poll(self) -> FeedState:
        self._answer("poll")
        fresh = tuple(self.events[self.told :])
        self.told = len(self.events)
        forked, self.forked = self.forked, False
        head = Head(1 + self.told // 3, bytes(32), NOW + self.told)
        return FeedState(tuple(self.events), fresh, 1 if forked else None, head, head)

    def block_by_hash(self, block_hash: bytes) -> Head:
        self._answer("block_by_hash")
        return Head(1, block_hash, NOW + block_hash[-1])

    def receipt(self, tx_hash: bytes) -> Receipt:
        self._answer("receipt")
        return Receipt(tx_hash, 1, bytes(32), PEOPLE[0], 1000, 1, ())

    def balance(self, address: str) -> int:
        self._answer("balance")
        return 10**18

    def whole_block(self, number: int) -> Block | None:
        self._answer("whole_block")
        return Block(Head(number, bytes(32), NOW), bytes(32), (), 21_000, 30_000_000) if number < 1000 else None

    def block(self, number: int) -> Head | None:
        return Head(number, bytes(32), NOW)

    def transaction(self, tx_hash: bytes) -> MinedTransaction | None:
        """One that somebody sent to `to` with `data`; None for another hash than `sent`."""
        self._answer("transaction")
        return self.sent if self.sent and self.sent.tx_hash == tx_hash else None

    def refusal(self, transaction: MinedTransaction) -> ContractRefused:
        return ContractRefused("RoundManagerNotEnrolled", (1, STRANGER))

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise ChainUnreachable("the node does not answer")


@dataclass
class Connection:
    """`gate` holds back the spec until it is set."""

    client: Chain
    store: MemoryStore
    gate: threading.Event = field(default_factory=threading.Event)
    spec_missing: bool = False

    def __post_init__(self) -> None:
        self.gate.set()
        self.profiles: dict[str, Profile] = {}
        self.peers = Peers(self, self.store, Reporter(lambda record: None))  # type: ignore[arg-type]

    def profile_of(self, address: str) -> Profile:
        return self.profiles.get(address, Profile("", "", bytes(32), ""))

    def frame(self, study: int) -> Any:
        assert self.gate.wait(10)
        if self.spec_missing:
            raise BlobUnavailable("no connected node delivered the spec")
        return FRAME


class World:
    """Four members with nodes; the explorer's is the first one's."""

    def __init__(self) -> None:
        self.chain = Chain()
        network = MemoryNetwork()
        self.stores = [MemoryStore(network, name) for name in ("alpha", "beta", "gamma", "delta")]
        self.connection = Connection(self.chain, self.stores[0])
        self.index = Index(self.chain)  # type: ignore[arg-type]
        self.lookups = Lookups(self.connection, self.index, page_seconds=5.0)  # type: ignore[arg-type]
        self.blobs = Blobs(self.connection, self.index)  # type: ignore[arg-type]
        self.pages, self.renderer = Pages(self.index, self.lookups), Renderer(self.index, clock=lambda: NOW + 100.0)

    def stop(self) -> None:
        self.lookups.stop()
        self.blobs.stop()

    def found(self, names: tuple[str, ...] = ("alpha", "beta", "gamma", "delta")) -> None:
        """Members, a key, and study 1 with everybody in it."""
        emit = self.chain.emit
        registry, keys, studies = CONTRACTS["ParticipantRegistry"], CONTRACTS["KeyRegistry"], CONTRACTS["StudyRegistry"]
        for number, (who, name, store) in enumerate(zip(PEOPLE, names, self.stores, strict=True), 1):
            multiaddr = store.identity().multiaddrs[0]
            self.connection.profiles[who] = Profile(name, "", bytes(32), multiaddr)
            emit(ev.ParticipantRegistered, who, name, "", bytes(32), multiaddr, contract=registry)
            emit(ev.MemberAdmitted, who, number, contract=registry)
        emit(ev.KeyEpochProposed, 1, PEOPLE[0], PEOPLE[:3], 2, CeremonyKind.DEALER, 2048, word("n"), word("t"), SPEC, contract=keys)
        for who in PEOPLE[:3]:
            emit(ev.KeyShareConfirmed, 1, who, BitSet(1), contract=keys)
        emit(ev.KeyEpochActivated, 1, contract=keys)
        emit(ev.StudyOpened, 1, PEOPLE[0], 1, word("spec"), SPEC, RULES, contract=studies)
        for number, who in enumerate(PEOPLE, 1):
            emit(ev.ParticipantEnrolled, 1, who, number, word("spec"), contract=studies)

    def round(self, number: int, reasons: str = "2:BadCiphertext", final: bool = True, private: bool = False) -> None:
        """Delta never commits, gamma's update is left out, the rest goes well."""
        emit = self.chain.emit
        emit(ev.RoundOpened, number, 1, number - 1, number - 1, PEOPLE[0])
        emit(ev.PhaseEntered, number, Phase.OPEN, NOW + 160)
        for position, who in enumerate(PEOPLE[:3]):
            if private:
                emit(ev.PrivacyDeclared, number, who, position + 1, 500_000, number * 500_000, 10**13)
            emit(ev.UpdateCommitted, number, who, position + 1, word(f"commitment {number} {who[-2:]}"))
        emit(ev.PhaseEntered, number, Phase.COMMITTED, NOW + 160)
        for position, who in enumerate(PEOPLE[:3]):
            emit(ev.UpdateRevealed, number, who, position + 1, word(f"root {number} {who[-2:]}"), UPDATE, bytes(32), bytes(32))
        emit(ev.PhaseEntered, number, Phase.REVEALED, NOW + 160)
        for who in PEOPLE[:2]:
            emit(ev.SetAttested, number, who, BitSet.of(0, 1), BitSet(), reasons)
        emit(ev.SetFrozen, number, BitSet.of(0, 1), word(f"set {number}"))
        emit(ev.PhaseEntered, number, Phase.FROZEN, NOW + 160)
        if not final:
            return
        emit(ev.AggregatePosted, number, PEOPLE[1], word(f"aggregate {number}"), UPDATE)
        for index, who in enumerate(PEOPLE[:2], 1):
            emit(ev.ShareReleased, number, who, index, word(f"aggregate {number}"), word(f"share {number}"), UPDATE, bytes(32))
        emit(ev.OpeningPartPosted, number, PEOPLE[0], word(f"part {number}"), UPDATE)
        emit(ev.OpeningPosted, number, PEOPLE[1], word(f"opening {number}"), UPDATE)
        for who in PEOPLE[:2]:
            emit(ev.ModelAttested, number, who, word(f"opening {number}"), word(f"model {number}"), MODEL)
        emit(ev.RoundFinalised, number, 1, number - 1, word(f"opening {number}"), word(f"model {number}"), MODEL, number - 1)

    def show(self, page: str, *arguments: Any) -> str:
        """A page as HTML."""
        return self.renderer.page(_TEMPLATES.get(page, page), "", **getattr(self.pages, page)(*arguments))


_TEMPLATES: dict[str, str] = {}
