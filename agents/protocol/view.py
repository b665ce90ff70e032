"""A study and its rounds as the chain's events tell them: immutable values and the fold that makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from defedbio.chain import events as ev
from defedbio.chain.bindings.round_manager import DELTA_UNITS, EPSILON_UNITS
from defedbio.chain.values import StudyRules
from defedbio.domain import NO_ONE, BitSet, Phase

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Reveal:
    """One organisation's update as it was revealed; `position` is its enrolment position from 0."""

    position: int
    participant: str
    update_root: bytes
    cid: str
    proof_hash: bytes
    salt: bytes


@dataclass(frozen=True)
class Post:
    """A root with the CID of its blob, put on the chain by `sender`."""

    sender: str
    root: bytes
    cid: str


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
    """One round. Maps are keyed by address, and hold the latest word of each."""

    id: int
    study: int
    step: int
    parent: int
    opener: str
    phase: Phase = Phase.NONE
    deadline: int = 0
    commitments: Mapping[str, bytes] = field(default_factory=_empty)
    privacy: Mapping[str, Privacy] = field(default_factory=lambda: MappingProxyType({}))
    reveals: Mapping[int, Reveal] = field(default_factory=lambda: MappingProxyType({}))
    attested: Mapping[str, BitSet] = field(default_factory=lambda: MappingProxyType({}))
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    frozen: BitSet = NO_ONE
    set_hash: bytes = b""
    aggregates: tuple[Post, ...] = ()
    shares: tuple[Share, ...] = ()
    disputed: tuple[str, ...] = ()
    parts: tuple[Post, ...] = ()
    openings: tuple[Post, ...] = ()
    attestations: tuple[ModelAttestation, ...] = ()
    opening_root: bytes = b""
    model_hash: bytes = b""
    model_cid: str = ""

    def aggregate_root(self, threshold: int) -> bytes | None:
        """The root for which `threshold` holders released shares, if there is one."""
        counts: dict[bytes, int] = {}
        for share in self.shares:
            counts[share.aggregate_root] = counts.get(share.aggregate_root, 0) + 1
            if counts[share.aggregate_root] == threshold:
                return share.aggregate_root
        return None

    def frozen_reveals(self) -> tuple[Reveal, ...]:
        """The updates of the frozen set in the order in which they are multiplied."""
        return tuple(self.reveals[position] for position in self.frozen.positions())


@dataclass(frozen=True)
class StudyView:
    """A study: what was agreed, who is enrolled (in order), and its rounds by id. `max_voids` is the spec's, for the node to stop."""

    id: int
    max_voids: int = 3
    coordinator: str = ""
    key_epoch: int = 0
    spec_hash: bytes = b""
    spec_cid: str = ""
    rules: StudyRules | None = None
    participants: tuple[str, ...] = ()
    rounds: Mapping[int, RoundView] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def latest(self) -> RoundView | None:
        return self.rounds[max(self.rounds)] if self.rounds else None

    @property
    def finalised(self) -> tuple[RoundView, ...]:
        return tuple(r for _, r in sorted(self.rounds.items()) if r.phase == Phase.FINALISED)

    @property
    def head(self) -> RoundView | None:
        """The round whose model is the study's newest."""
        return self.finalised[-1] if self.finalised else None

    @property
    def complete(self) -> bool:
        return self.rules is not None and len(self.finalised) >= self.rules.steps

    @property
    def voids_in_a_row(self) -> int:
        streak = 0
        for _, round_ in sorted(self.rounds.items(), reverse=True):
            if round_.phase != Phase.VOIDED:
                break
            streak += 1
        return streak


def fold(study: StudyView, events: Iterable[ev.Event]) -> StudyView:
    """Apply events in their order on the chain; events of other studies leave the view as it is."""
    rounds = dict(study.rounds)
    for event in events:
        match event:
            case ev.StudyOpened(study=study.id):
                study = replace(
                    study,
                    coordinator=event.coordinator,
                    key_epoch=event.key_epoch,
                    spec_hash=event.spec_hash,
                    spec_cid=event.spec_cid,
                    rules=event.rules,
                )
            case ev.ParticipantEnrolled(study=study.id):
                study = replace(study, participants=(*study.participants, event.participant))
            case ev.RoundOpened(study=study.id):
                rounds[event.round] = RoundView(event.round, event.study, event.step, event.parent, event.opener)
            case _ if (round_id := getattr(event, "round", 0)) in rounds:
                rounds[round_id] = fold_round(rounds[round_id], event)
    return replace(study, rounds=MappingProxyType(rounds))


def fold_round(view: RoundView, event: ev.Event) -> RoundView:
    """Apply one event of this round."""
    match event:
        case ev.PhaseEntered():
            return replace(view, phase=event.phase, deadline=event.deadline)
        case ev.UpdateCommitted():
            return replace(view, commitments=_with(view.commitments, event.participant, event.commitment))
        case ev.PrivacyDeclared():
            loss = Privacy(event.epsilon_round / EPSILON_UNITS, event.epsilon_total / EPSILON_UNITS, event.delta / DELTA_UNITS)
            return replace(view, privacy=_with(view.privacy, event.participant, loss))
        case ev.UpdateRevealed():
            # The contracts count positions from 1 so that 0 can mean "not enrolled".
            position = event.index - 1
            reveal = Reveal(position, event.participant, event.update_root, event.cid, event.proof_hash, event.salt)
            return replace(view, reveals=_with(view.reveals, position, reveal))
        case ev.SetAttested():
            return replace(
                view,
                attested=_with(view.attested, event.holder, event.set),
                reasons=_with(view.reasons, event.holder, event.reasons),
            )
        case ev.SetFrozen():
            return replace(view, frozen=event.set, set_hash=event.set_hash)
        case ev.AggregatePosted():
            return replace(view, aggregates=(*view.aggregates, Post(event.aggregator, event.aggregate_root, event.cid)))
        case ev.ShareReleased():
            share = Share(event.holder, event.holder_index, event.aggregate_root, event.share_root, event.cid, event.proof_hash)
            return replace(view, shares=(*view.shares, share))
        case ev.ShareDisputed():
            return replace(view, disputed=(*view.disputed, event.holder))
        case ev.OpeningPartPosted():
            return replace(view, parts=(*view.parts, Post(event.poster, event.part_root, event.cid)))
        case ev.OpeningPosted():
            return replace(view, openings=(*view.openings, Post(event.poster, event.opening_root, event.cid)))
        case ev.ModelAttested():
            attestation = ModelAttestation(event.holder, event.opening_root, event.model_hash, event.cid)
            return replace(view, attestations=(*view.attestations, attestation))
        case ev.RoundFinalised():
            final = replace(view, phase=Phase.FINALISED, deadline=0)
            return replace(final, opening_root=event.opening_root, model_hash=event.model_hash, model_cid=event.cid)
        case ev.RoundVoided():
            return replace(view, phase=Phase.VOIDED, deadline=0)
    return view


def _with(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    return MappingProxyType({**mapping, key: value})
