"""What one organisation does next: a pure function of the chain's view, its own journal and the time (architecture: decide).

Duties that any of several may do (start a round, aggregate, advance) go round: each participant has a rank that changes with the round,
and waits its rank times a stagger before it steps in, so that normally one acts and a dead one costs a delay, not the round (P8). Opening
the sum falls to those whose shares came first, in that order: each combines a part, and the first posts the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.domain import MIN_COHORT, NO_ONE, BitSet, Phase
from defedbio.protocol import actions as act
from defedbio.protocol.parts import openers, parts
from defedbio.protocol.view import RoundView, StudyView

LONGEST_STAGGER_S = 600.0
ADVANCE_STAGGER_S = 2.0
START_STAGGER_S = 5.0
RECHECK_S = 5.0


@dataclass(frozen=True)
class Role:
    """Who this node is in a study. `position` counts enrolments from 0, `holder_index` key shares from 1; None where it is neither."""

    address: str
    position: int | None
    holder_index: int | None
    threshold: int


@dataclass(frozen=True)
class Facts:
    """What this node's journal holds of one round.

    `good` is the set of updates that passed its checks, `rejected` those that can never pass; the rest did not arrive yet, and
    `checked_ago` is the seconds since it last tried. `stopped` says that the study's early stopping ended its training with this round,
    `private` that this round's update costs privacy, which has to be declared. The sum has so many `ciphertexts`; `parts_refused` says
    that posted parts of its opening do not hold, `withheld` that this node's one release of the round went to another aggregate. Of the
    holders that others accuse it has `weighed` the shares itself; it `refused` those of these holders. `idle` says that it sat the round
    before out of its own accord.
    """

    prepared: bool = False
    sits_out: bool = False
    good: BitSet | None = None
    rejected: BitSet = NO_ONE
    checked_ago: float = 0.0
    aggregate_root: bytes | None = None
    released: bool = False
    withheld: bool = False
    opening_root: bytes | None = None
    model_hash: bytes | None = None
    ciphertexts: int = 0
    parts_refused: bool = False
    openings_checked: int = 0
    shares_tried: int = 0
    adopted: bool = False
    stopped: bool = False
    private: bool = False
    idle: bool = False
    refused: frozenset[str] = frozenset()
    weighed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Clock:
    """`now` in unix seconds, to hold against deadlines; `waited` seconds since this node first saw the round's present phase."""

    now: float
    waited: float


def decide(role: Role, study: StudyView, facts: Facts, clock: Clock) -> act.Action | None:
    """The next action for the study's newest round, or None while there is nothing to do but wait."""
    current = study.latest
    if current is None:
        return _start_next(role, study, clock)
    if not current.phase.ended:
        return _overdue(role, study, current, clock) or _in_round(role, study, current, facts, clock)
    if current.phase == Phase.FINALISED and not facts.adopted:
        return act.AdoptModel(current.id)
    if current.phase == Phase.FINALISED and facts.stopped:
        return act.Finish()
    return _start_next(role, study, clock)


def _start_next(role: Role, study: StudyView, clock: Clock) -> act.Action | None:
    rules = study.rules
    if rules is None:
        return None
    if study.complete:
        return act.Finish()
    enrolled = len(study.participants)
    if enrolled < rules.seats and clock.now <= rules.enrol_until:
        return None
    if enrolled < rules.min_cohort:
        return act.Halt(f"enrolment closed with {enrolled} organisations, and the study needs {rules.min_cohort}")
    if study.voids_in_a_row >= study.max_voids:
        return act.Halt(f"{study.voids_in_a_row} rounds in a row were voided")
    if role.position is not None and clock.waited >= _rank(role, study) * START_STAGGER_S:
        return act.StartRound(study.id)
    return None


def _overdue(role: Role, study: StudyView, view: RoundView, clock: Clock) -> act.Action | None:
    if clock.now <= view.deadline:
        return None
    late = clock.now - view.deadline
    return act.Advance(view.id) if late >= 1.0 + _rank(role, study) * ADVANCE_STAGGER_S else None


def _in_round(role: Role, study: StudyView, view: RoundView, facts: Facts, clock: Clock) -> act.Action | None:
    if clock.now > view.deadline:
        return None
    match view.phase:
        case Phase.OPEN:
            return _update(role, study, view, facts)
        case Phase.COMMITTED:
            mine = role.address in view.commitments and all(r.participant != role.address for r in view.reveals.values())
            return act.Reveal(view.id) if mine and facts.prepared and not facts.sits_out else None
        case Phase.REVEALED:
            return _attest(role, study, view, facts, clock)
        case Phase.FROZEN:
            return _aggregate(role, study, view, facts, clock)
        case Phase.AGGREGATED:
            return _release(role, view, facts)
        case Phase.DECRYPTED:
            return _open_sum(role, study, view, facts, clock)
    return None


def _update(role: Role, study: StudyView, view: RoundView, facts: Facts) -> act.Action | None:
    if role.position is None or role.address in view.commitments or facts.sits_out:
        return None
    if not facts.prepared:
        # Before it trains: the others may be through by the time that its update is ready, and training may cost privacy.
        if study.may_come_back(role.position) and not facts.idle:
            return act.ComeBack(view.id)
        return act.PrepareUpdate(view.id)
    if facts.private and role.address not in view.privacy:
        return act.DeclarePrivacy(view.id)
    return act.Commit(view.id)


def _attest(role: Role, study: StudyView, view: RoundView, facts: Facts, clock: Clock) -> act.Action | None:
    if role.holder_index is None:
        return None
    mine = view.attested.get(role.address)
    if facts.good is None:
        return act.CheckUpdates(view.id)
    seen_by_others = BitSet()
    for attested in view.attested.values():
        seen_by_others = BitSet(seen_by_others.bits | attested.bits)
    all_revealed = BitSet.of(*view.reveals)
    missing = all_revealed.bits & ~facts.good.bits & ~facts.rejected.bits
    if missing and facts.checked_ago >= RECHECK_S and (missing & seen_by_others.bits or mine is None):
        return act.CheckUpdates(view.id)
    half = _window(study, view.phase) / 2
    if missing & ~view.absent.bits and clock.waited < half and not view.attested:
        return None
    wanted = facts.good if clock.waited < half else _best_supported(role, view, facts.good)
    if wanted == mine or len(wanted) < max(MIN_COHORT, study.rules.min_cohort if study.rules else 0):
        return None
    return act.AttestSet(view.id, wanted)


def _best_supported(role: Role, view: RoundView, good: BitSet) -> BitSet:
    """Of the sets that others attested and this node found good too, the one with most support: any subset is safe to open."""
    support: dict[int, int] = {good.bits: 1}
    for holder, attested in view.attested.items():
        if holder != role.address and attested.bits & ~good.bits == 0 and len(attested) >= MIN_COHORT:
            support[attested.bits] = support.get(attested.bits, 0) + 1
    return BitSet(max(support, key=lambda bits: (support[bits], bits.bit_count(), -bits)))


def _aggregate(role: Role, study: StudyView, view: RoundView, facts: Facts, clock: Clock) -> act.Action | None:
    duty = role.position is not None and clock.waited >= _rank(role, study) * _stagger(study, view.phase)
    if facts.aggregate_root is None:
        return act.ComputeAggregate(view.id) if role.holder_index is not None or duty else None
    return act.PostAggregate(view.id) if duty else None


def _release(role: Role, view: RoundView, facts: Facts) -> act.Action | None:
    if role.holder_index is None or facts.released or facts.withheld:
        return None
    if facts.aggregate_root is None:
        return act.ComputeAggregate(view.id)
    if any(post.root == facts.aggregate_root for post in view.aggregates):
        return act.ReleaseShare(view.id)
    if role.position is not None and all(post.sender != role.address for post in view.aggregates):
        return act.PostAggregate(view.id)
    return None


def _open_sum(role: Role, study: StudyView, view: RoundView, facts: Facts, clock: Clock) -> act.Action | None:
    if facts.model_hash is None:
        if role.position is None and role.holder_index is None:
            return None
        if facts.openings_checked < len(view.openings):
            return act.CheckOpening(view.id)
        shared = {} if facts.parts_refused or facts.refused else parts(study, view, role.threshold, facts.ciphertexts)
        untried = facts.shares_tried < len(view.shares)
        # Parts get a turn before anyone combines alone what others are at; a wrong opening that somebody posted does not disturb them.
        alone = clock.waited >= _opening_wait(role, study, view, facts, 1 if shared else 0) or (view.openings and not shared)
        if untried and alone:
            return act.CombineShares(view.id)
        posted_parts = {post.sender for post in view.parts}
        if untried and role.address in shared and role.address not in posted_parts:
            return act.CombinePart(view.id)
        if untried and shared and posted_parts.issuperset(shared):
            return act.AssembleParts(view.id)
        # Another's accusation is worth a look by whoever has the aggregate and may have a share to add, and no more than that.
        accused = [holder for holder in view.disputed if holder != role.address and holder not in facts.weighed]
        if accused and role.holder_index is not None:
            return act.CheckShare(view.id, accused[0])
        needed = facts.refused or clock.waited >= _window(study, view.phase) / 2
        return _release(role, view, facts) if needed else None
    posted = any(post.root == facts.opening_root for post in view.openings)
    if not posted:
        mine = any(post.sender == role.address for post in view.openings)
        # A holder that is not enrolled cannot post: it attests once another posted the same opening.
        due = view.openings or clock.waited >= _opening_wait(role, study, view, facts)
        return act.PostOpening(view.id) if due and role.position is not None and not mine else None
    attested = any(a.holder == role.address for a in view.attestations)
    if role.holder_index is not None and not attested:
        return act.AttestModel(view.id)
    return None


def _opening_wait(role: Role, study: StudyView, view: RoundView, facts: Facts, turns_before: int = 0) -> float:
    """Seconds until this node's turn to open the sum for all; those whose shares it refused have none."""
    first = [holder for holder in openers(study, view, role.threshold) if holder not in facts.refused]
    turn = first.index(role.address) if role.address in first else len(first) + _rank(role, study)
    return (turns_before + turn) * _stagger(study, view.phase)


def _rank(role: Role, study: StudyView) -> int:
    """0 for the participant whose turn it is; the absent come after the others, and a node that is not enrolled last."""
    enrolled = len(study.participants)
    if role.position is None or enrolled == 0:
        return enrolled
    turn, absent = (study.latest.id, study.latest.absent) if study.latest else (0, NO_ONE)
    order = sorted(range(enrolled), key=lambda position: (position in absent, (position - turn) % enrolled))
    return order.index(role.position)


def _window(study: StudyView, phase: Phase) -> float:
    return float(study.rules.seconds_of(phase)) if study.rules else 0.0


def _stagger(study: StudyView, phase: Phase) -> float:
    return min(_window(study, phase) / (2 * max(1, len(study.participants))), LONGEST_STAGGER_S)
