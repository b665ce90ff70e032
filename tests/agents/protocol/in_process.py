"""A consortium in one process: real journals, cryptography, learning and decisions; a recorder that stands for the RoundManager.

The recorder keeps the contract's rules that a whole round needs (phases, one of each, t of T). The contract's own tests hold the rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from defedbio.chain import events as ev
from defedbio.chain.abi import snake_case
from defedbio.chain.bindings.round_manager import RoundManager, set_hash
from defedbio.chain.records import Head, Receipt, Transaction
from defedbio.chain.values import Profile, StudyRules, WrongProduct
from defedbio.crypto import merkle, threshold
from defedbio.crypto.paillier import FixedBaseTable
from defedbio.domain import BitSet, Phase
from defedbio.errors import ContractRefused
from defedbio.learning.data.port import Dataset
from defedbio.network.peers import Peers
from defedbio.protocol import actions as act
from defedbio.protocol.decide import Clock, Role, decide
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.memory import Memory, open_journal
from defedbio.protocol.perform import facts_of, perform
from defedbio.protocol.restored import Settling, mark
from defedbio.protocol.sets import refused_by
from defedbio.protocol.tools import Tools
from defedbio.protocol.view import Dispute, Post, RoundView, StudyView, fold
from defedbio.report import Reporter
from defedbio.spec import StudySpec
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

PEOPLE = tuple(f"0x{i:040x}" for i in range(0xA1, 0xA5))
CONTRACT = "0x" + "c0" * 20
CHAIN, STUDY, QUORUM, FEATURES = 31337, 1, 3, 50
NOW, DEADLINE = 5_000.0, 5_060
SPEC: dict[str, Any] = {
    "format": "defedbio-study/1",
    "name": "in process",
    "task": {"kind": "binary", "target": "label"},
    "features": {"kind": "table", "columns": [{"name": f"f{i}", "min": 0, "max": 1} for i in range(FEATURES)]},
    "preprocessing": {"standardise": "federated"},
    "model": {"kind": "logistic"},
    "training": {"learning_rate": 0.3, "steps": 3, "batch_size": 8},
    "rounds": 1,
    "weighting": {"kind": "samples", "cap": 100},
    "quantisation": {"slot_bits": 48, "clip_norm": 5.0},
    "proofs": "none",  # a proof takes longer than the rest of such a round: `PROVEN` is for tests that are about them
    "seed": 7,
    "key": {"epoch": 1, "modulus_bits": 2048},
    "participants": {"seats": 4, "minimum": 3},
    "deadlines": {"enrol": 60, "commit": 60, "reveal": 60, "attest": 60, "aggregate": 60, "share": 60, "finalise": 60},
}
PROVEN = {"proofs": "required"}
RULES = StudyRules(4, 3, 2, 4_000, 60, 60, 60, 60, 60, 60, 6_666)


@cache
def primes() -> tuple[int, int]:
    data = json.loads((Path(__file__).parents[2] / "vectors" / "keys_2048.json").read_text())
    return int(data["p"], 16), int(data["q"], 16)


@cache
def dealt() -> tuple[threshold.ThresholdKey, list[threshold.KeyShare]]:
    return threshold.deal_from_primes(*primes(), QUORUM, len(PEOPLE), os.urandom)


@cache
def frame() -> StudyFrame:
    return frame_of({})


def frame_of(changes: dict[str, Any]) -> StudyFrame:
    """The study with some top-level fields of its spec replaced; None removes one."""
    document = {name: value for name, value in (SPEC | changes).items() if value is not None}
    return StudyFrame(CHAIN, CONTRACT, STUDY, StudySpec.from_bytes(json.dumps(document).encode()), dealt()[0])


@cache
def proven() -> StudyFrame:
    """As `frame`, with proofs."""
    return frame_of(PROVEN)


@cache
def table() -> FixedBaseTable:
    return FixedBaseTable(dealt()[0].public_key)


def meta(number: int) -> ev.EventMeta:
    return ev.EventMeta(number, number.to_bytes(32, "big"), number.to_bytes(32, "big"), 0, CONTRACT)


@dataclass
class Ledger:
    """What the chain holds. `sent` records every call that took effect as (sender, function, arguments)."""

    steps: int = 2
    events: list[ev.Event] = field(default_factory=list)
    sent: list[tuple[str, str, tuple[Any, ...]]] = field(default_factory=list)
    done: dict[tuple[str, str], Receipt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.emit(ev.StudyOpened, STUDY, PEOPLE[0], 1, bytes(32), "cid", replace(RULES, steps=self.steps))
        for index, person in enumerate(PEOPLE, 1):
            self.emit(ev.ParticipantEnrolled, STUDY, person, index, bytes(32))

    def emit(self, kind: Callable[..., ev.Event], *values: Any) -> None:
        self.events.append(kind(*values, meta=meta(len(self.events) + 1)))

    def study(self) -> StudyView:
        return fold(StudyView(STUDY), self.events)

    def round(self, number: int) -> RoundView:
        return self.study().rounds[number]

    def enter(self, number: int, phase: Phase) -> None:
        self.emit(ev.PhaseEntered, number, phase, DEADLINE)

    def calls(self, function: str, sender: str | None = None) -> list[tuple[Any, ...]]:
        return [args for who, name, args in self.sent if name == function and sender in (None, who)]


def _absent(study: StudyView) -> BitSet:
    """Whose updates the last three sums went on without."""
    sums = [r.frozen for _, r in sorted(study.rounds.items()) if r.set_hash][-3:]
    away = (p for p in range(len(PEOPLE)) if len(sums) == 3 and all(p not in sum_ for sum_ in sums))
    return BitSet.of(*away)


def _wrong_at(view: RoundView, root: bytes, shown: WrongProduct) -> int:
    """The position in the set's order at which this shows the product to be wrong, as the contract sees it."""
    (update,) = (r for r in view.frozen_reveals() if (r.participant, r.update_root) == (shown.participant, shown.update_root))
    position, key = view.frozen_reveals().index(update) + 1, dealt()[0].public_key

    def prefix(value: bytes, at: int) -> bytes:
        return merkle.prefix_leaves([[b""] * (at - 1) + [value]], shown.ciphertext)[-1]

    if (update.cid, update.proof_hash, update.salt) != (shown.cid, shown.proof_hash, shown.salt):
        raise ContractRefused("RoundManagerCommitmentMismatch")
    expected = int.from_bytes(shown.factor, "big")
    paths = [(shown.factor_path, update.update_root, merkle.leaf(shown.ciphertext, shown.factor))]
    paths.append((shown.product_path, root, prefix(shown.product, position)))
    if position > 1:
        paths.append((shown.before_path, root, prefix(shown.before, position - 1)))
        expected = expected * int.from_bytes(shown.before, "big") % key.n_squared
        assert int.from_bytes(shown.modulus, "big") == key.n
    if not all(merkle.verify(*path) for path in paths):
        raise ContractRefused("RoundManagerNotInTree")
    if int.from_bytes(shown.product, "big") == expected:
        raise ContractRefused("RoundManagerProductHolds")
    return position


def _most(values: Any) -> int:
    seen = list(values)
    return max((seen.count(v) for v in seen), default=0)


@dataclass
class Recorder:
    """One account's RoundManager on a ledger. `refuse` names an error that the next call of a function meets before any effect."""

    ledger: Ledger
    sender: str
    refuse: dict[str, Exception] = field(default_factory=dict)

    def send(self, transaction: Transaction) -> Receipt:
        """As `ChainClient.send`: the call's effect on the ledger, once a key."""
        call = transaction.call
        assert call.contract == "RoundManager"
        name = snake_case(call.function)
        return getattr(self, f"_{name}" if name == "declare_privacy" else name)(transaction.key, *call.args)  # type: ignore[no-any-return]

    def nonce(self, address: str) -> int:
        return len(self.ledger.done)

    def block(self, number: int) -> Head:
        return Head(number, bytes(32), number)

    def _once(self, function: str, key: str, args: tuple[Any, ...], effect: Callable[[], None]) -> Receipt:
        if (error := self.refuse.pop(function, None)) is not None:
            raise error
        if (self.sender, key) not in self.ledger.done:
            effect()
            self.ledger.sent.append((self.sender, function, args))
            number = len(self.ledger.events)
            self.ledger.done[self.sender, key] = Receipt(bytes(32), number, bytes(32), self.sender, 50_000, 1, ())
        return self.ledger.done[self.sender, key]

    def _in(self, number: int, *phases: Phase) -> RoundView:
        view = self.ledger.round(number)
        if view.phase not in phases:
            raise ContractRefused("RoundManagerUnexpectedPhase", (number, view.phase))
        return view

    def _first(self, posts: tuple[Post, ...]) -> None:
        if any(post.sender == self.sender for post in posts):
            raise ContractRefused("RoundManagerAlreadyDone")

    def open_round(self, key: str, study: int) -> Receipt:
        view = self.ledger.study()
        number = len(view.rounds) + 1

        def effect() -> None:
            if view.latest is not None and not view.latest.phase.ended:
                raise ContractRefused("RoundManagerRoundRunning")
            self.ledger.emit(ev.RoundOpened, number, study, len(view.finalised), view.head.id if view.head else 0, self.sender)
            if absent := _absent(view):
                self.ledger.emit(ev.AbsenteesPassedOver, number, absent)
            self.ledger.enter(number, Phase.OPEN)

        return self._once("open_round", key, (study,), effect)

    def come_back(self, key: str, round: int) -> Receipt:
        def effect() -> None:
            position = PEOPLE.index(self.sender)
            if position not in self._in(round, Phase.OPEN).absent:
                raise ContractRefused("RoundManagerNotAbsent")
            if not self.ledger.study().may_come_back(position):
                raise ContractRefused("RoundManagerReturnedLately")
            self.ledger.emit(ev.ParticipantReturned, round, self.sender, position + 1)

        return self._once("come_back", key, (round,), effect)

    def commit(self, key: str, round: int, commitment: bytes) -> Receipt:
        def effect() -> None:
            view = self._in(round, Phase.OPEN)
            if self.sender in view.commitments:
                raise ContractRefused("RoundManagerAlreadyDone")
            self.ledger.emit(ev.UpdateCommitted, round, self.sender, PEOPLE.index(self.sender) + 1, commitment)
            committed = {*view.commitments, self.sender}
            if all(who in committed or p in view.absent for p, who in enumerate(PEOPLE)) and len(committed) >= RULES.min_cohort:
                self.ledger.enter(round, Phase.COMMITTED)

        return self._once("commit", key, (round, commitment), effect)

    def declare_privacy(self, key: str, round: int, epsilon_round: float, epsilon_total: float, delta: float) -> Receipt:
        return self.send(RoundManager.declare_privacy(key, round, epsilon_round, epsilon_total, delta))

    def _declare_privacy(self, key: str, round: int, *units: int) -> Receipt:
        def effect() -> None:
            if self.sender in self._in(round, Phase.OPEN).privacy:
                raise ContractRefused("RoundManagerAlreadyDone")
            self.ledger.emit(ev.PrivacyDeclared, round, self.sender, PEOPLE.index(self.sender) + 1, *units)

        return self._once("declare_privacy", key, (round, *units), effect)

    def reveal(self, key: str, round: int, update_root: bytes, cid: str, proof_hash: bytes, salt: bytes) -> Receipt:
        def effect() -> None:
            view = self._in(round, Phase.COMMITTED)
            index = PEOPLE.index(self.sender) + 1
            self.ledger.emit(ev.UpdateRevealed, round, self.sender, index, update_root, cid, proof_hash, salt)
            revealed = {*(r.participant for r in view.reveals.values()), self.sender}
            awaited = {who for p, who in enumerate(PEOPLE) if who in view.commitments and p not in view.absent}
            if awaited <= revealed and len(revealed) >= RULES.min_cohort:
                self.ledger.enter(round, Phase.REVEALED)

        return self._once("reveal", key, (round, update_root, cid, proof_hash, salt), effect)

    def attest_set(self, key: str, round: int, set: BitSet, refused: BitSet, reasons: str) -> Receipt:
        def effect() -> None:
            view = self._in(round, Phase.REVEALED)
            revealed = BitSet.of(*view.reveals).bits
            if set.bits & ~revealed or refused.bits & ~(revealed & ~set.bits):
                raise ContractRefused("RoundManagerNotSubset")
            if len(set) < RULES.min_cohort:
                raise ContractRefused("RoundManagerCohortTooSmall")
            if (view.attested.get(self.sender), view.refused.get(self.sender)) == (set, refused):
                raise ContractRefused("RoundManagerAlreadyDone")
            self.ledger.emit(ev.SetAttested, round, self.sender, set, refused, reasons)
            now = self.ledger.round(round)
            least = RULES.least_set(len(now.reveals) - len(refused_by(now.refused.values(), QUORUM)))
            words = list(now.attested.values())
            for frozen in {bits for bits in words if words.count(bits) >= QUORUM and len(bits) >= least}:
                self.ledger.emit(ev.SetFrozen, round, frozen, set_hash(CHAIN, CONTRACT, round, frozen))
                self.ledger.enter(round, Phase.FROZEN)

        return self._once("attest_set", key, (round, set, refused, reasons), effect)

    def post_aggregate(self, key: str, round: int, aggregate_root: bytes, cid: str) -> Receipt:
        def effect() -> None:
            view = self._in(round, Phase.FROZEN, Phase.AGGREGATED)
            self._first(view.aggregates)
            self.ledger.emit(ev.AggregatePosted, round, self.sender, aggregate_root, cid)
            if view.phase == Phase.FROZEN:
                self.ledger.enter(round, Phase.AGGREGATED)

        return self._once("post_aggregate", key, (round, aggregate_root, cid), effect)

    def show_wrong_product(self, key: str, round: int, aggregate_root: bytes, shown: WrongProduct) -> Receipt:
        def effect() -> None:
            view, position = self.ledger.round(round), _wrong_at(self.ledger.round(round), aggregate_root, shown)
            posters = BitSet.of(*(PEOPLE.index(post.sender) for post in view.aggregates if post.root == aggregate_root))
            if any(wrong.root == aggregate_root for wrong in view.wrong):
                raise ContractRefused("RoundManagerShownWrong")
            self.ledger.emit(ev.ProductShownWrong, round, self.sender, aggregate_root, posters, shown.ciphertext, position)
            if view.phase == Phase.DECRYPTED and view.aggregate_root(QUORUM) == aggregate_root:
                self.ledger.emit(ev.RoundVoided, round, STUDY, view.phase)

        return self._once("show_wrong_product", key, (round, aggregate_root, shown), effect)

    def release_share(self, key: str, round: int, aggregate_root: bytes, share_root: bytes, cid: str, proof_hash: bytes) -> Receipt:
        def effect() -> None:
            view = self._in(round, Phase.AGGREGATED, Phase.DECRYPTED)
            settled = view.aggregate_root(QUORUM)
            if aggregate_root not in ({post.root for post in view.aggregates} if settled is None else {settled}):
                raise ContractRefused("RoundManagerUnknownAggregate")
            if any(s.holder == self.sender for s in view.shares):
                raise ContractRefused("RoundManagerAlreadyDone")
            index = PEOPLE.index(self.sender) + 1
            self.ledger.emit(ev.ShareReleased, round, self.sender, index, aggregate_root, share_root, cid, proof_hash)
            if view.phase == Phase.AGGREGATED and self.ledger.round(round).aggregate_root(QUORUM) is not None:
                self.ledger.enter(round, Phase.DECRYPTED)

        return self._once("release_share", key, (round, aggregate_root, share_root, cid, proof_hash), effect)

    def dispute_share(self, key: str, round: int, holder: str, reason: str) -> Receipt:
        def effect() -> None:
            view = self.ledger.round(round)
            if all(share.holder != holder for share in view.shares):
                raise ContractRefused("RoundManagerNoShare")
            if Dispute(self.sender, holder) in view.disputes:
                raise ContractRefused("RoundManagerAlreadyDone")
            self.ledger.emit(ev.ShareDisputed, round, self.sender, holder, reason)

        return self._once("dispute_share", key, (round, holder, reason), effect)

    def post_opening_part(self, key: str, round: int, part_root: bytes, cid: str) -> Receipt:
        def effect() -> None:
            self._first(self._in(round, Phase.DECRYPTED).parts)
            self.ledger.emit(ev.OpeningPartPosted, round, self.sender, part_root, cid)

        return self._once("post_opening_part", key, (round, part_root, cid), effect)

    def post_opening(self, key: str, round: int, opening_root: bytes, cid: str) -> Receipt:
        def effect() -> None:
            self._first(self._in(round, Phase.DECRYPTED).openings)
            self.ledger.emit(ev.OpeningPosted, round, self.sender, opening_root, cid)

        return self._once("post_opening", key, (round, opening_root, cid), effect)

    def attest_model(self, key: str, round: int, opening_root: bytes, model_hash: bytes, cid: str) -> Receipt:
        def effect() -> None:
            view = self._in(round, Phase.DECRYPTED)
            if all(post.root != opening_root for post in view.openings):
                raise ContractRefused("RoundManagerUnknownOpening")
            if any(a.holder == self.sender for a in view.attestations):
                raise ContractRefused("RoundManagerAlreadyDone")
            self.ledger.emit(ev.ModelAttested, round, self.sender, opening_root, model_hash, cid)
            now = self.ledger.round(round)
            if _most((a.opening_root, a.model_hash, a.cid) for a in now.attestations) >= QUORUM:
                self.ledger.emit(ev.RoundFinalised, round, STUDY, view.step, opening_root, model_hash, cid, view.parent)

        return self._once("attest_model", key, (round, opening_root, model_hash, cid), effect)

    def advance(self, key: str, round: int) -> Receipt:
        view = self.ledger.round(round)
        return self._once("advance", key, (round,), lambda: self.ledger.emit(ev.RoundVoided, round, STUDY, view.phase))


class AddressBook:
    """What fetching needs of the ParticipantRegistry."""

    def __init__(self) -> None:
        self.multiaddrs: dict[str, str] = {}

    def members(self) -> tuple[str, ...]:
        return tuple(self.multiaddrs)

    def profile_of(self, account: str) -> Profile:
        return Profile(account, "", bytes(32), self.multiaddrs.get(account, ""))


@dataclass
class InProcess:
    """Four organisations under `folder`; organisation i is participant i and key holder i + 1. Each has been in every phase for `waited`
    seconds."""

    folder: Path
    study: StudyFrame = field(default_factory=frame)
    ledger: Ledger = field(init=False)
    network: MemoryNetwork = field(default_factory=MemoryNetwork)
    book: AddressBook = field(default_factory=AddressBook)
    notes: list[dict[str, Any]] = field(default_factory=list)
    tools: list[Tools] = field(default_factory=list)
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.ledger = Ledger(steps=len(self.study.steps))
        for index, person in enumerate(PEOPLE):
            store = MemoryStore(self.network, person)
            self.book.multiaddrs[person] = store.identity().multiaddrs[0]
            self.tools.append(self._make(index, store))

    def _make(self, index: int, store: MemoryStore) -> Tools:
        report = Reporter(self.notes.append)
        made = Tools(
            frame=self.study,
            address=PEOPLE[index],
            chain=Recorder(self.ledger, PEOPLE[index]),
            store=store,
            fetcher=Fetcher(self.study, Peers(self.book, store, report), os.urandom, 1.0),  # type: ignore[arg-type]
            memory=Memory(open_journal(self.folder / f"{index}.sqlite")),
            report=report,
            dataset=dataset(index),
            share=dealt()[1][index],
        )
        made.__dict__["table"] = table()
        return made

    def restart(self, index: int) -> Tools:
        """What a new process has: the journal and the IPFS node, nothing else."""
        self.tools[index].memory.journal.close()
        self.tools[index] = self._make(index, self.store(index))
        return self.tools[index]

    def from_backup(self, index: int, journal: bytes) -> Tools:
        """What a new process has on a journal that was restored from a backup now."""
        self.tools[index].memory.journal.close()
        (self.folder / f"{index}.sqlite").write_bytes(journal)
        made = self.restart(index)
        mark(made.memory.journal, 1_700_000_000)
        made.sits_out_through = Settling(made.memory.journal, *self.caught_up(), made.report, 0).attempt()
        return made

    def caught_up(self) -> tuple[Any, Any]:
        """A chain that is not behind, and its count of rounds."""
        receipt = Receipt(bytes(32), 1, bytes(32), "", 21_000, 1, ())
        chain = SimpleNamespace(
            syncing=lambda: False,
            self_transfer=lambda _key: receipt,
            receipt=lambda _hash: receipt,
            head=lambda: Head(1, bytes(32), 1),
        )
        return chain, SimpleNamespace(round_count=lambda _block: len(self.ledger.study().rounds))

    def store(self, index: int) -> MemoryStore:
        found = self.tools[index].store
        assert isinstance(found, MemoryStore)
        return found

    def recorder(self, index: int) -> Recorder:
        found: Any = self.tools[index].chain
        assert isinstance(found, Recorder)
        return found

    def next_action(self, index: int) -> act.Action | None:
        study = self.ledger.study()
        role = Role(PEOPLE[index], index, index + 1, QUORUM)
        return decide(role, study, facts_of(self.tools[index], study), Clock(NOW, self.waited))

    def step(self, index: int) -> bool:
        """One decision and its effect; False when there is nothing to do."""
        action = self.next_action(index)
        if action is None or isinstance(action, act.Finish):
            return False
        perform(self.tools[index], self.ledger.study(), action)
        return True

    def play(self, until: Callable[[StudyView], bool], who: tuple[int, ...] = (0, 1, 2, 3)) -> StudyView:
        """Let organisations act in turn, each until it has to wait for others, until the study is as wanted."""
        moved = True
        while moved:
            moved = False
            for index in who:
                while not until(self.ledger.study()) and self.step(index):
                    moved = True
        assert until(self.ledger.study()), f"nobody has anything to do: {self.ledger.study().latest}"
        return self.ledger.study()

    def close(self) -> None:
        for tools in self.tools:
            tools.memory.journal.close()


def reached(number: int, phase: Phase) -> Callable[[StudyView], bool]:
    return lambda study: number in study.rounds and study.rounds[number].phase == phase


def dataset(index: int, features: int = FEATURES) -> Dataset:
    """Another little table for each organisation."""
    generator = np.random.default_rng(index)
    x = generator.uniform(0, 1, (20 + 5 * index, features)).astype(np.float32)
    return Dataset(x, (x[:, :1] > 0.5).astype(np.float32))


def with_reveal(view: RoundView, position: int, **fields: Any) -> RoundView:
    """The view with one reveal changed."""
    return replace(view, reveals={**view.reveals, position: replace(view.reveals[position], **fields)})
