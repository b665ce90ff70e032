"""What one organisation does next: a pure function of the chain's view, its own journal and the time (architecture: decide).

Duties that any of several may do (start a round, aggregate, advance) go round: each participant has a rank that changes with the round,
and waits its rank times a stagger before it steps in, so that normally one acts and a dead one costs a delay, not the round (P8). Opening
the sum falls to those whose shares came first, in that order: each combines a part, and the first posts the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_

from defedbio.domain import MIN_COHORT, NO_ONE, BitSet, Phase
from defedbio.protocol import actions as act
from defedbio.protocol.parts import openers, parts
from defedbio.protocol.sets import joined, refused_by
from defedbio.protocol.view import Pair, Post, RoundView, StudyView

LONGEST_STAGGER_S = 600.0
ADVANCE_STAGGER_S = 2.0
START_STAGGER_S = 5.0
WEIGH_STAGGER_S = 2.0
RECHECK_S = 5.0


@dataclass(frozen=True)
class Role:
    """Who this node is in a study. `position` counts enrolments from 0, `holder_index` key shares from 1; None where it is neither.
    `key_ended` says that fewer shares of the key than `threshold` are left."""

    address: str
    position: int | None
    holder_index: int | None
    threshold: int
    key_ended: bool = False


@dataclass(frozen=True)
class Facts:
    """What this node's journal holds of one round.

    `good` is the set of updates that passed its checks, `rejected` those that can never pass; the rest did not arrive yet, and
    `checked_ago` is the seconds since it last tried. `stopped` says that the study's early stopping ended its training with this round,
    `private` that this round's update costs privacy, which has to be declared. `aggregate` and `opening` are what this node itself
    computed, as it would post them. The sum has so many `ciphertexts`; `parts_refused` says that posted parts of its opening do not hold,
    `withheld` that this node's one release of the round went to another aggregate, or may have. Of the holders that others accuse it has
    `weighed` the shares itself; it `refused` those of these holders. It looked at the `products` of others that are not its own. `idle`
    says that it sat the round before out of its own accord. A `forgotten` round is over for this node, whatever the chain makes of it.
    """

    prepared: bool = False
    sits_out: bool = False
    good: BitSet | None = None
    rejected: BitSet = NO_ONE
    checked_ago: float = 0.0
    aggregate: Pair | None = None
    released: bool = False
    withheld: bool = False
    opening: Pair | None = None
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
    products: frozenset[Pair] = frozenset()
    forgotten: bool = False


@dataclass(frozen=True)
class Clock:
    """`now` in unix seconds, to hold against deadlines; `waited` seconds since this node first saw the round's present phase."""

    now: float
    waited: float


def decide(role: Role, study: StudyView, facts: Facts, clock: Clock) -> act.Action | None:
    """The next action for the study's newest round, or None while there is nothing to do but wait."""
    if (deceived := study.deceived(role.threshold)) is not None:
        return act.Halt(f"{role.threshold} key holders released shares of a product in round {deceived} that was shown to be wrong")
    current = study.latest
    if current is None:
        return _start_next(role, study, clock)
    # What t holders open of another product than this node's own comes before all else: soon it may be too late to void the round.
    if not facts.forgotten and (check := _opened(role, current, facts)) is not None:
        return check
    if not current.phase.ended and facts.forgotten:
        # A reorganisation brought it back. What this node did in it is not known here any more, so that it does nothing (P5).
        return _overdue(role, study, current, clock)
    if not current.phase.ended:
        duty = _overdue(role, study, current, clock) or _in_round(role, study, current, facts, clock)
        # One is enough to show it, and what gets no shares does no harm: in turn, and when there is nothing else to do.
        return duty or (_weigh(current, facts) if clock.waited >= _rank(role, study) * WEIGH_STAGGER_S else None)
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
    if role.key_ended:
        return act.Halt(f"fewer than {role.threshold} shares of its key are left, so nothing under it can be opened any more")
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
            return _release(role, view, facts) or _aggregate(role, study, view, facts, clock)
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
    if facts.good is None:
        return act.CheckUpdates(view.id)
    revealed = BitSet.of(*view.reveals).bits
    good, rejected = BitSet(facts.good.bits & revealed), BitSet(facts.rejected.bits & revealed)
    missing = revealed & ~good.bits & ~rejected.bits
    said = view.attested.get(role.address), view.refused.get(role.address)
    others = [attested for holder, attested in view.attested.items() if holder != role.address]
    least = _least(role, study, view, rejected)
    elsewhere = missing & reduce(or_, (attested.bits for attested in others), 0)
    if missing and (elsewhere or said[0] is None or len(good) < least) and facts.checked_ago >= RECHECK_S:
        return act.CheckUpdates(view.id)
    late = clock.waited >= _window(study, view.phase) / 2
    # Whatever others said by now: one that is quick would end the waiting of all.
    if missing & ~view.absent.bits and not late:
        return None
    # INVARIANT: no set without this organisation's own good update, else others could choose to sum without the honest.
    own = BitSet(good.bits & 1 << role.position) if role.position is not None else NO_ONE
    chosen = joined(good, own, others, role.threshold, least) if late else good
    if (chosen, rejected) == said or len(chosen) < _cohort(study):
        return None
    return act.AttestSet(view.id, chosen, rejected)


def _least(role: Role, study: StudyView, view: RoundView, rejected: BitSet) -> int:
    """How many updates a set must hold to be frozen, once this holder has said what it refuses."""
    refused = refused_by({**view.refused, role.address: rejected}.values(), role.threshold)
    return study.rules.least_set(len(view.reveals) - len(refused)) if study.rules else MIN_COHORT


def _cohort(study: StudyView) -> int:
    return max(MIN_COHORT, study.rules.min_cohort if study.rules else 0)


def _aggregate(role: Role, study: StudyView, view: RoundView, facts: Facts, clock: Clock) -> act.Action | None:
    """Multiply, and post the product in turn for as long as it is not there: another's post proves nothing, whichever phase it began."""
    duty = role.position is not None and clock.waited >= _rank(role, study) * _stagger(study, view.phase)
    if facts.aggregate is None:
        return act.ComputeAggregate(view.id) if role.holder_index is not None or duty else None
    return act.PostAggregate(view.id) if duty and _unposted(role, facts.aggregate, view.aggregates) else None


def _opened(role: Role, view: RoundView, facts: Facts) -> act.Action | None:
    """Hold the product that t holders opened against this node's own, which a holder makes by now at the latest."""
    opened = view.aggregate_root(role.threshold)
    if opened is None:
        return None
    if facts.aggregate is None and role.holder_index is not None and not view.phase.ended:
        return act.ComputeAggregate(view.id)
    return _weigh(view, facts, opened)


def _weigh(view: RoundView, facts: Facts, root: bytes | None = None) -> act.Action | None:
    """Look at the first post (of this root) whose product is not this node's own, once."""
    if facts.aggregate is None:
        return None
    own, shown = facts.aggregate[0], {wrong.root for wrong in view.wrong}
    posts = [post for post in view.aggregates if post.root not in (own, *shown) and post.pair not in facts.products]
    return next((act.WeighProduct(view.id, post.root, post.cid) for post in posts if root in (None, post.root)), None)


def _release(role: Role, view: RoundView, facts: Facts) -> act.Action | None:
    if role.holder_index is None or facts.released or facts.withheld:
        return None
    if facts.aggregate is None:
        return act.ComputeAggregate(view.id)
    return act.ReleaseShare(view.id) if any(post.root == facts.aggregate[0] for post in view.aggregates) else None


def _unposted(role: Role, own: Pair, posts: tuple[Post, ...]) -> bool:
    """Nobody has posted what this node has, root and CID, and it may still do so itself."""
    return all(post.pair != own and post.sender != role.address for post in posts)


def _open_sum(role: Role, study: StudyView, view: RoundView, facts: Facts, clock: Clock) -> act.Action | None:
    if role.position is None and role.holder_index is None:
        return None
    if facts.model_hash is None or facts.opening is None:
        return _find_opening(role, study, view, facts, clock)
    if all(post.pair != facts.opening for post in view.openings):
        # A holder that is not enrolled cannot post: it attests once another posted the same opening.
        due = role.position is not None and clock.waited >= _opening_wait(role, study, view, facts)
        return act.PostOpening(view.id) if due and _unposted(role, facts.opening, view.openings) else None
    attested = any(a.holder == role.address for a in view.attestations)
    return act.AttestModel(view.id) if role.holder_index is not None and not attested else None


def _find_opening(role: Role, study: StudyView, view: RoundView, facts: Facts, clock: Clock) -> act.Action | None:
    """Look at what others posted, and combine what is this node's to combine; it ends with an opening that holds."""
    combining = _combine(role, study, view, facts, clock) if facts.shares_tried < len(view.shares) else None
    # Each of many may post what nobody delivers. Whose turn has come looks at one of them before it combines, and at no more.
    own_turn = facts.openings_checked > 0 and clock.waited >= _opening_wait(role, study, view, facts)
    if facts.openings_checked < len(view.openings) and not (own_turn and combining):
        return act.CheckOpening(view.id)
    # Late, before any combining: a share that is on the chain and cannot be had would be waited for in vain.
    if clock.waited >= _window(study, view.phase) / 2 and (release := _release(role, view, facts)) is not None:
        return release
    if combining is not None:
        return combining
    # Another's accusation is worth a look by whoever has the aggregate and may have a share to add, and no more than that.
    accused = [holder for holder in view.disputed if holder != role.address and holder not in facts.weighed]
    if accused and role.holder_index is not None:
        return act.CheckShare(view.id, accused[0])
    return _release(role, view, facts) if facts.refused else None


def _combine(role: Role, study: StudyView, view: RoundView, facts: Facts, clock: Clock) -> act.Action | None:
    shared = {} if facts.parts_refused or facts.refused else parts(study, view, role.threshold, facts.ciphertexts)
    # Parts get a turn before anyone combines alone what others are at; a wrong opening that somebody posted does not disturb them.
    if clock.waited >= _opening_wait(role, study, view, facts, 1 if shared else 0) or (view.openings and not shared):
        return act.CombineShares(view.id)
    posted = {post.sender for post in view.parts}
    if role.address in shared and role.address not in posted:
        return act.CombinePart(view.id)
    return act.AssembleParts(view.id) if shared and posted.issuperset(shared) else None


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
