"""A study and its rounds as the chain's events tell them: immutable values and the fold that makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from defedbio.chain import events as ev
from defedbio.chain.bindings.round_manager import DELTA_UNITS, EPSILON_UNITS
from defedbio.chain.values import StudyRules
from defedbio.domain import NO_ONE, RETURN_STEPS, BitSet, Phase
from defedbio.protocol.past import Past, name_of, start_of

# What a post says: a right root with the CID of something else, or of nothing, is another post.
Pair = tuple[bytes, str]


@dataclass(frozen=True)
class Reveal:
    """One organisation's update as it was revealed; `position` is its enrolment position from 0."""

    position: int
    participant: str
    update_root: bytes
    cid: str
    proof_hash: bytes
    salt: bytes

    @cached_property
    def name(self) -> str:
        """Names exactly this update: at the same position, a reorganisation can put another."""
        return name_of(self.participant, self.update_root.hex(), self.cid, self.proof_hash.hex())


@dataclass(frozen=True)
class Post:
    """A root with the CID of its blob, put on the chain by `sender`."""

    sender: str
    root: bytes
    cid: str

    @property
    def pair(self) -> Pair:
        return self.root, self.cid


@dataclass(frozen=True)
class Share:
    """A key holder's decryption share; `index` is its Shamir abscissa from 1."""

    holder: str
    index: int
    aggregate_root: bytes
    share_root: bytes
    cid: str
    proof_hash: bytes


@dataclass(frozen=True)
class Dispute:
    """The word of `accuser` that the share of `holder` is wrong. It proves nothing: anyone can check the share (P5)."""

    accuser: str
    holder: str


@dataclass(frozen=True)
class Wrong:
    """That `prover` showed on the chain that the aggregate of this root is not the frozen set's, at `ciphertext` (from 0), where the update
    at `position` in the set's order (from 1) is multiplied in. The contract checked it: nobody's word is needed (P4)."""

    root: bytes
    prover: str
    ciphertext: int
    position: int


@dataclass(frozen=True)
class Privacy:
    """The loss that a participant declared: epsilon of the round and of all its rounds in the study, at delta."""

    epsilon_round: float
    epsilon_total: float
    delta: float


@dataclass(frozen=True)
class ModelAttestation:
    holder: str
    opening_root: bytes
    model_hash: bytes
    cid: str


def _empty() -> Mapping[str, bytes]:
    return MappingProxyType({})


@dataclass(frozen=True)
class RoundView:
    """One round. Maps are keyed by address, and hold the latest word of each; `attestations_of_sets` counts its words. The round does not
    wait for the participants at the positions in `absent`; those in `returned` were absent and asked to be waited for. It was opened in the
    block `opened_in`, and ended in `ended_in`, 0 while it runs."""

    id: int
    study: int
    step: int
    parent: int
    opener: str
    phase: Phase = Phase.NONE
    deadline: int = 0
    absent: BitSet = NO_ONE
    returned: BitSet = NO_ONE
    commitments: Mapping[str, bytes] = field(default_factory=_empty)
    privacy: Mapping[str, Privacy] = field(default_factory=lambda: MappingProxyType({}))
    reveals: Mapping[int, Reveal] = field(default_factory=lambda: MappingProxyType({}))
    attested: Mapping[str, BitSet] = field(default_factory=lambda: MappingProxyType({}))
    refused: Mapping[str, BitSet] = field(default_factory=lambda: MappingProxyType({}))
    attestations_of_sets: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    frozen: BitSet = NO_ONE
    set_hash: bytes = b""
    aggregates: tuple[Post, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    shares: tuple[Share, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    parts: tuple[Post, ...] = ()
    openings: tuple[Post, ...] = ()
    attestations: tuple[ModelAttestation, ...] = ()
    opening_root: bytes = b""
    model_hash: bytes = b""
    model_cid: str = ""
    parent_hash: bytes = b""
    opened_in: int = 0
    ended_in: int = 0

    @cached_property
    def start(self) -> str:
        """Names what an update of the round is made for. A reorganisation can give the round's number to another step or parent."""
        return start_of(self.step, self.parent, self.parent_hash)

    @cached_property
    def basis(self) -> str:
        """Names what the round's sum is a sum of: the frozen set and the updates revealed for it. A reorganisation can change either."""
        frozen = [self.reveals[position] for position in self.frozen.positions() if position in self.reveals]
        return name_of(self.start, hex(self.frozen.bits), *(reveal.name for reveal in frozen))

    @property
    def disputed(self) -> tuple[str, ...]:
        """The holders whose shares anybody disputes, in the order of the first accusations."""
        return tuple(dict.fromkeys(dispute.holder for dispute in self.disputes))

    def found_good(self, position: int) -> int:
        """How many holders attest to a set with this update."""
        return sum(position in good for good in self.attested.values())

    def found_bad(self, position: int) -> int:
        """How many holders refuse this update."""
        return sum(position in bad for bad in self.refused.values())

    @property
    def wrongly_posted(self) -> tuple[Post, ...]:
        """The posts whose product was shown to be wrong."""
        roots = {wrong.root for wrong in self.wrong}
        return tuple(post for post in self.aggregates if post.root in roots)

    def opened_wrong(self, threshold: int) -> bool:
        """Whether `threshold` holders released shares of a product that was shown to be wrong."""
        return any(wrong.root == self.aggregate_root(threshold) for wrong in self.wrong)

    def aggregate_root(self, threshold: int) -> bytes | None:
        """The root for which `threshold` holders released shares, if there is one."""
        counts: dict[bytes, int] = {}
        for share in self.shares:
            counts[share.aggregate_root] = counts.get(share.aggregate_root, 0) + 1
            if counts[share.aggregate_root] == threshold:
                return share.aggregate_root
        return None

    @property
    def product(self) -> bytes:
        """The root that most shares were released for, of several the first; empty while there are none."""
        roots = [share.aggregate_root for share in self.shares]
        return max(roots, key=roots.count, default=b"")

    @property
    def models(self) -> tuple[str, ...]:
        """The CIDs under which the finalised model was attested; none of a round that is not finalised."""
        agreed = (a.cid for a in self.attestations if a.model_hash == self.model_hash)
        return tuple(dict.fromkeys(agreed)) if self.phase == Phase.FINALISED else ()

    def frozen_reveals(self) -> tuple[Reveal, ...]:
        """The updates of the frozen set in the order in which they are multiplied."""
        return tuple(self.reveals[position] for position in self.frozen.positions())


@dataclass(frozen=True)
class StudyView:
    """A study: what was agreed, who may enrol (anyone where `invited` is empty) and is enrolled (in order), and its rounds by id, but for
    those that a node made `past` (`condense`). `max_voids` is the spec's, for the node to stop. `retired` are the holders of the key epoch
    that erased their shares, each with the block in which it said so, of the events that come after `key_epoch` is known."""

    id: int
    max_voids: int = 3
    coordinator: str = ""
    key_epoch: int = 0
    spec_hash: bytes = b""
    spec_cid: str = ""
    rules: StudyRules | None = None
    invited: tuple[str, ...] = ()
    participants: tuple[str, ...] = ()
    retired: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    rounds: Mapping[int, RoundView] = field(default_factory=lambda: MappingProxyType({}))
    past: Past = field(default_factory=Past)

    @property
    def latest(self) -> RoundView | None:
        return self.rounds[max(self.rounds)] if self.rounds else None

    def before(self, view: RoundView) -> RoundView | None:
        """The study's round before this one."""
        return self.rounds[max(earlier)] if (earlier := [number for number in self.rounds if number < view.id]) else None

    @property
    def finalised(self) -> tuple[RoundView, ...]:
        """But for the past ones."""
        return tuple(r for _, r in sorted(self.rounds.items()) if r.phase == Phase.FINALISED)

    @property
    def head(self) -> RoundView | None:
        """The round whose model is the study's newest: never a past one."""
        return max((r for r in self.rounds.values() if r.phase == Phase.FINALISED), key=lambda r: r.id, default=None)

    @property
    def steps_done(self) -> int:
        """How many rounds are finalised."""
        return self.past.finalised + len(self.finalised)

    @property
    def complete(self) -> bool:
        return self.rules is not None and self.steps_done >= self.rules.steps

    def deceived(self, threshold: int) -> int | None:
        """The first round in which `threshold` holders released shares of a product that was shown to be wrong, whenever that was shown."""
        return self.past.deceived or next((r.id for _, r in sorted(self.rounds.items()) if r.opened_wrong(threshold)), None)

    @property
    def voids_in_a_row(self) -> int:
        streak = 0
        for _, round_ in sorted(self.rounds.items(), reverse=True):
            if round_.phase != Phase.VOIDED:
                break
            streak += 1
        return streak

    def may_come_back(self, position: int) -> bool:
        """Whether the participant, absent in the newest round, may ask to be waited for: once in each run of steps (P1)."""
        latest = self.latest
        if latest is None or position not in latest.absent:
            return False
        run = latest.step // RETURN_STEPS
        if run == self.past.run and position in self.past.returned:
            return False
        return all(position not in r.returned for r in self.rounds.values() if r.step // RETURN_STEPS == run)


class _Draft:
    """A round while a batch of events is applied to it. A map or list is copied when the first of them changes it, so that a batch costs as
    much as it has events, however full the round is."""

    def __init__(self, view: RoundView) -> None:
        self._view = view
        self._changed: dict[str, Any] = {}

    def now(self, name: str) -> Any:
        return self._changed.get(name, getattr(self._view, name))

    def set(self, **values: Any) -> None:
        self._changed |= values

    def entries(self, name: str) -> dict[Any, Any]:
        if name not in self._changed:
            self._changed[name] = dict(getattr(self._view, name))
        return self._changed[name]  # type: ignore[no-any-return]

    def items(self, name: str) -> list[Any]:
        if name not in self._changed:
            self._changed[name] = list(getattr(self._view, name))
        return self._changed[name]  # type: ignore[no-any-return]

    def view(self) -> RoundView:
        return replace(self._view, **{name: _frozen(value) for name, value in self._changed.items()})


def _frozen(value: Any) -> Any:
    match value:
        case dict():
            return MappingProxyType(value)
        case list():
            return tuple(value)
    return value


def fold(study: StudyView, events: Iterable[ev.Event]) -> StudyView:
    """Apply events in their order on the chain; events of other studies leave the view as it is. Linear in the events."""
    terms: dict[str, Any] = {}
    participants: list[str] = []
    drafts: dict[int, _Draft] = {}
    for event in events:
        match event:
            case ev.StudyOpened(study=study.id):
                names = ("coordinator", "key_epoch", "spec_hash", "spec_cid", "rules")
                terms |= {name: getattr(event, name) for name in names}
            case ev.ParticipantsInvited(study=study.id):
                terms["invited"] = event.invited
            case ev.ParticipantEnrolled(study=study.id):
                participants.append(event.participant)
            case ev.KeyShareRetired() if event.epoch == terms.get("key_epoch", study.key_epoch):
                terms["retired"] = MappingProxyType({**terms.get("retired", study.retired), event.holder: event.meta.block})
            case ev.RoundOpened(study=study.id):
                start = RoundView(event.round, event.study, event.step, event.parent, event.opener, opened_in=event.meta.block)
                drafts[event.round] = _Draft(replace(start, parent_hash=_model_of(study, drafts, event.parent)))
            case ev.ProductShownWrong() if (gone := study.past.rounds.get(event.round)) is not None:
                past: Past = terms.get("past", study.past)
                if event.aggregate_root == gone.opened:
                    terms["past"] = replace(past, deceived=min(past.deceived or gone.id, gone.id))
            case _:
                number = getattr(event, "round", 0)
                if number not in drafts and number in study.rounds:
                    drafts[number] = _Draft(study.rounds[number])
                if number in drafts:
                    _apply(drafts[number], event)
    if participants:
        terms["participants"] = (*study.participants, *participants)
    if drafts:
        terms["rounds"] = MappingProxyType({**study.rounds, **{number: draft.view() for number, draft in drafts.items()}})
    return replace(study, **terms) if terms else study


def _model_of(study: StudyView, drafts: Mapping[int, _Draft], number: int) -> bytes:
    """The hash of a round's model as it is in the middle of a batch; empty where there is none."""
    if number in drafts:
        return bytes(drafts[number].now("model_hash"))
    return study.rounds[number].model_hash if number in study.rounds else b""


def _apply(draft: _Draft, event: ev.Event) -> None:
    """Apply one event of this round."""
    match event:
        case ev.PhaseEntered():
            draft.set(phase=event.phase, deadline=event.deadline)
        case ev.AbsenteesPassedOver():
            draft.set(absent=event.absent)
        case ev.ParticipantReturned():
            position = event.index - 1
            draft.set(absent=draft.now("absent").remove(position), returned=draft.now("returned").add(position))
        case ev.UpdateCommitted():
            draft.entries("commitments")[event.participant] = event.commitment
        case ev.PrivacyDeclared():
            loss = Privacy(event.epsilon_round / EPSILON_UNITS, event.epsilon_total / EPSILON_UNITS, event.delta / DELTA_UNITS)
            draft.entries("privacy")[event.participant] = loss
        case ev.UpdateRevealed():
            # The contracts count positions from 1 so that 0 can mean "not enrolled".
            position = event.index - 1
            reveal = Reveal(position, event.participant, event.update_root, event.cid, event.proof_hash, event.salt)
            draft.entries("reveals")[position] = reveal
        case ev.SetAttested():
            draft.entries("attested")[event.holder] = event.set
            counts = draft.entries("attestations_of_sets")
            counts[event.holder] = counts.get(event.holder, 0) + 1
            draft.entries("refused")[event.holder] = event.refused
            draft.entries("reasons")[event.holder] = event.reasons
        case ev.SetFrozen():
            draft.set(frozen=event.set, set_hash=event.set_hash)
        case ev.AggregatePosted():
            draft.items("aggregates").append(Post(event.aggregator, event.aggregate_root, event.cid))
        case ev.ProductShownWrong():
            draft.items("wrong").append(Wrong(event.aggregate_root, event.prover, event.ciphertext, event.position))
        case ev.ShareReleased():
            draft.items("shares").append(
                Share(event.holder, event.holder_index, event.aggregate_root, event.share_root, event.cid, event.proof_hash)
            )
        case ev.ShareDisputed():
            draft.items("disputes").append(Dispute(event.accuser, event.holder))
        case ev.OpeningPartPosted():
            draft.items("parts").append(Post(event.poster, event.part_root, event.cid))
        case ev.OpeningPosted():
            draft.items("openings").append(Post(event.poster, event.opening_root, event.cid))
        case ev.ModelAttested():
            draft.items("attestations").append(ModelAttestation(event.holder, event.opening_root, event.model_hash, event.cid))
        case ev.RoundFinalised():
            draft.set(phase=Phase.FINALISED, deadline=0, ended_in=event.meta.block)
            draft.set(opening_root=event.opening_root, model_hash=event.model_hash, model_cid=event.cid)
        case ev.RoundVoided():
            draft.set(phase=Phase.VOIDED, deadline=0, ended_in=event.meta.block)
