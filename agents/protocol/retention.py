"""What a node may forget, and when: pure functions of the study's view, of what is kept, and of the chain's time.

A round is **forgotten** once it has ended, its end is so deep in the chain that it counts as final, and what a finalised round needs to be
verified was looked for. Rounds are forgotten in their order, so that one number says which they are. The number is written before anything
is deleted and stays: a node takes no step in a forgotten round whatever the chain says of it afterwards, and can thus make no second
commitment, reveal or release in it, although it no longer knows the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from defedbio.chain.network import CONFIRMATIONS
from defedbio.domain import Phase
from defedbio.protocol.catalogue import Goes, kind_of
from defedbio.protocol.view import RoundView, StudyView

DAY_S = 86_400
NEWEST = 2  # rounds of which the decider still asks whether they were adopted or sat out


@dataclass(frozen=True)
class Standing:
    """Where a node stands in forgetting: rounds up to `through` are forgotten, and of the later ones it has `looked` for what the finalised
    ones need; `adopted` says that it has the newest round's model."""

    through: int
    looked: frozenset[int]
    adopted: bool


def depth(confirmations: int) -> int:
    """How many blocks must follow the block in which a round ended, as a node sees the chain, so that its end counts as final. A node sees
    it `confirmations` late, so that this is twice that many; where a study asks for none, it is what a public chain needs."""
    return max(confirmations, CONFIRMATIONS)


def forgettable(study: StudyView, standing: Standing, head: int, confirmations: int) -> int:
    """The number of the newest round that may be forgotten now, with all before it. `head` is the newest block that the node acts on."""
    through = standing.through
    for number in sorted(number for number in study.rounds if number > through):
        view = study.rounds[number]
        if not view.phase.ended or head - view.ended_in < depth(confirmations):
            break
        if view.phase == Phase.FINALISED and (number not in standing.looked or (view is study.latest and not standing.adopted)):
            break
        through = number
    return through


def over(study: StudyView, threshold: int, stopped: bool) -> bool:
    """Whether no node goes on with the study: it is complete, `stopped` early, or every node halts (P7)."""
    if study.latest is None or not study.latest.phase.ended:
        return False
    deceived = any(view.opened_wrong(threshold) for view in study.rounds.values())
    return study.complete or stopped or deceived or study.voids_in_a_row >= study.max_voids


def retained_until(ended: int, days: int) -> int:
    """Unix seconds until which the blobs of finalised rounds are kept, in a study whose last round ended at `ended` unix seconds."""
    return ended + days * DAY_S


def counted(study: StudyView, address: str) -> Iterator[RoundView]:
    """The finalised rounds whose sum has this organisation's update, newest first."""
    return (view for view in reversed(study.finalised) if any(reveal.participant == address for reveal in view.frozen_reveals()))


@dataclass(frozen=True)
class Needed:
    """What outlives its round: the hashes of `models` that are still read, `sendable` transactions by key, and finalised rounds of
    which something is `imperfect`. `address` is the organisation's; `over` says that the study is."""

    address: str
    models: Collection[str]
    sendable: Collection[str]
    imperfect: Collection[int]
    over: bool


def going(study: StudyView, keys: Iterable[str], through: int, needed: Needed) -> Iterator[str]:
    """The keys of those entries that go once the rounds up to `through` are forgotten. The same again gives what is left of them."""
    listed = list(keys)
    newest = sorted(study.rounds)[-NEWEST:]
    variate = 0 if needed.over else _variate(study, listed, needed.address)
    for key in listed:
        kind = kind_of(key)
        if kind is None:
            continue
        if kind.goes is Goes.UNUSED:
            if key.rpartition("/")[2] not in needed.models:
                yield key
            continue
        number = kind.round_of(key)
        if number is None or number > through:
            continue
        match kind.goes:
            case Goes.FORGOTTEN | Goes.ADOPTED:
                yield key
            case Goes.LATER if number not in newest:
                yield key
            case Goes.COUNTED if number != variate:
                yield key
            case Goes.MINED if key not in needed.sendable:
                yield key
            case Goes.WHOLE if number not in needed.imperfect:
                yield key


def _variate(study: StudyView, keys: list[str], address: str) -> int:
    """The newest round that counted of which something was kept for the next; 0 for none."""
    kept = {kind.round_of(key) for key in keys if (kind := kind_of(key)) is not None and kind.goes is Goes.COUNTED}
    return next((view.id for view in counted(study, address) if view.id in kept), 0)
