"""Which rounds become past, and what is left of them then: a pure function of a view that no reorganisation takes back."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from defedbio.domain import NO_ONE, RETURN_STEPS, BitSet, Phase
from defedbio.protocol.past import Past, PastRound
from defedbio.protocol.view import RoundView, StudyView

NEWEST = 2  # rounds whose details the decider asks for


def condense(study: StudyView, through: int, threshold: int) -> StudyView:
    """The study with those rounds past that its node has forgotten (up to `through`), and that no later decision looks into: not the newest
    ones, the one whose model is the newest, from which the next one starts, and any after it. `threshold` shares open a sum."""
    head = study.head
    if head is None:
        return study
    oldest = min(head.id, *sorted(study.rounds)[-NEWEST:])
    gone: list[RoundView] = []
    for number, view in sorted(study.rounds.items()):
        if number > through or number >= oldest or not view.phase.ended:
            break
        gone.append(view)
    if not gone:
        return study
    left = MappingProxyType({number: view for number, view in study.rounds.items() if number > gone[-1].id})
    return replace(study, rounds=left, past=_grown(study.past, gone, study.participants, threshold))


def _grown(past: Past, gone: list[RoundView], participants: tuple[str, ...], threshold: int) -> Past:
    """With these rounds, too, all newer than those that it has."""
    rounds, spent = dict(past.rounds), dict(past.spent)
    deceived, run, returned = past.deceived, past.run, past.returned
    for view in gone:
        rounds[view.id] = _past(view, participants, threshold)
        deceived = deceived or (view.id if view.opened_wrong(threshold) else 0)
        before, run = run, view.step // RETURN_STEPS
        returned = BitSet((returned.bits if run == before else NO_ONE.bits) | view.returned.bits)
        for address, loss in view.privacy.items():
            spent[address] = max(loss.epsilon_total, spent.get(address, 0.0))
    finalised = past.finalised + sum(view.phase == Phase.FINALISED for view in gone)
    return Past(MappingProxyType(rounds), finalised, deceived, run, returned, MappingProxyType(spent))


def _past(view: RoundView, participants: tuple[str, ...], threshold: int) -> PastRound:
    acted = BitSet.of(*(position for position, who in enumerate(participants) if who in view.commitments or who in view.privacy))
    return PastRound(
        id=view.id,
        step=view.step,
        parent=view.parent,
        parent_hash=view.parent_hash,
        finalised=view.phase == Phase.FINALISED,
        frozen=view.frozen,
        acted=view.frozen if acted == view.frozen else acted,
        opened=view.aggregate_root(threshold) or b"",
        models=view.models,
        opened_in=view.opened_in,
        ended_in=view.ended_in,
    )
