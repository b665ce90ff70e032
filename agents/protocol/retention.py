"""What a node may forget, and when, and how a study ends: pure functions of the study's view, of what is kept, and of the chain's time.

A round is **forgotten** once it has ended, its end is so deep in the chain that it counts as final, and what a finalised round needs to be
verified was looked for. Rounds are forgotten in their order, so that one number says which they are. The number is written before anything
is deleted and stays: a node takes no step in a forgotten round whatever the chain says of it afterwards, and can thus make no second
commitment, reveal or release in it, although it no longer knows the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from defedbio.chain.network import CONFIRMATIONS
from defedbio.domain import Phase
from defedbio.protocol.catalogue import Goes, kind_of
from defedbio.protocol.condense import NEWEST
from defedbio.protocol.past import PastRound
from defedbio.protocol.view import RoundView, StudyView

DAY_S = 86_400
# How long nothing may happen in a study that could go on: as long as an enrolment may last at most.
REST_S = 366 * DAY_S


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


@dataclass(frozen=True)
class End:
    """How a study ends unless it goes on: `why` in words, and when: with the block of this number, or where that is 0 at the unix second
    `at`. One that `rests` could go on still, and counts as ended only after another `REST_S` in which no round of it begins. Until the unix
    second `waits` a round runs that may finish all the same: nothing is let go before."""

    why: str
    block: int = 0
    at: int = 0
    rests: bool = False
    waits: int = 0

    def moment(self, block_time: int) -> int:
        """Unix seconds of the end; `block_time` is that of `block`, where there is one."""
        return (block_time if self.block else self.at) + (REST_S if self.rests else 0)

    def kept_until(self, moment: int, days: int) -> int:
        """Unix seconds until which the blobs of finalised rounds are kept, if that moment is its end and the retention is so many days."""
        return max(moment + days * DAY_S, self.waits)


@dataclass(frozen=True)
class Terms:
    """What a node knows of a study beside its events: of `holders` shares of the key `threshold` open a sum, and it has `stopped` early."""

    threshold: int
    holders: int
    stopped: bool = False


def end_of(study: StudyView, terms: Terms) -> End | None:
    """The end that the study comes to unless it goes on, by the events so far; None for one that was never opened.

    Where no node goes on, it ends with what stopped them, and rounds that somebody begins all the same and nobody finishes do not put that
    off. Where one that is started may go on, it rests. A round that runs may finish, if only because somebody ends its phases late, so that
    nothing is let go before its deadline, unless as many such rounds as the study allows in a row were void.
    """
    rules, latest = study.rules, study.latest
    if rules is None:
        return None
    if study.complete and latest is not None:
        return End("it is complete", latest.ended_in)
    over = _halted(study, terms)
    if latest is not None and not latest.phase.ended:
        if over is None:
            return End("nobody ends its running round", at=latest.deadline, rests=True)
        # INVARIANT: who begins one round after another, alone, does not keep others' disks full for ever.
        void = [view.ended_in for view in study.rounds.values() if view.phase == Phase.VOIDED]
        void += [past.ended_in for past in study.past.rounds.values() if not past.finalised]
        late = sum(ended_in > over.block for ended_in in void)
        return replace(over, waits=latest.deadline) if late < study.max_voids else over
    if over is not None:
        return over
    if latest is not None:
        return End("nobody begins its next round", latest.ended_in, rests=True)
    if len(study.participants) < rules.min_cohort:
        return End("too few organisations enrolled", at=rules.enrol_until)
    return End("nobody began its first round", at=rules.enrol_until, rests=True)


def _halted(study: StudyView, terms: Terms) -> End | None:
    """Why no node goes on with the study; None where one may."""
    ended = [view for _, view in sorted(study.rounds.items()) if view.phase.ended]
    voids = list(takewhile(lambda view: view.phase == Phase.VOIDED, reversed(ended)))[::-1]
    if terms.stopped and ended:
        return End("it stopped early", ended[-1].ended_in)
    counted = study.head.ended_in if study.head is not None else 0
    if (deceived := study.deceived(terms.threshold)) is not None:
        why = "every node halts: a wrong product was opened"
        wrong = study.past.rounds.get(deceived) or study.rounds[deceived]
        return End(why, max(counted, wrong.ended_in)) if wrong.ended_in else End(why, at=study.rounds[deceived].deadline)
    if len(voids) >= study.max_voids:
        return End(f"every node halts: {study.max_voids} rounds in a row were voided", voids[study.max_voids - 1].ended_in)
    if len(study.retired) > (spare := terms.holders - terms.threshold):
        return End("fewer shares of its key are left than open a sum", max(counted, sorted(study.retired.values())[spare]))
    return None


def goes_on(study: StudyView, let_go: Mapping[str, Any]) -> bool:
    """Whether the study went on after it was let go, by the record of that. One that rested does with any round; where no node went on, it
    takes a finalised one, which nobody makes alone. That may be a round that ran when it was let go."""
    if "through" not in let_go:
        return False  # of before there were such ends: the study was over
    begun = bool(let_go.get("rests")) and study.latest is not None and study.latest.id > int(let_go["through"])
    return begun or study.steps_done > int(let_go["rounds"])


def counted(study: StudyView, address: str) -> Iterator[RoundView | PastRound]:
    """The finalised rounds whose sum has this organisation's update, newest first."""
    yield from (view for view in reversed(study.finalised) if any(reveal.participant == address for reveal in view.frozen_reveals()))
    if address in study.participants:
        position = study.participants.index(address)
        yield from (past for past in reversed(list(study.past.rounds.values())) if past.finalised and position in past.frozen)


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
