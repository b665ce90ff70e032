"""What is past makes no difference: a node that condenses decides, tells and keeps as one that remembers every event does."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.chain import events as ev
from defedbio.chain.feed import FeedState
from defedbio.chain.records import Head
from defedbio.domain import NO_ONE, BitSet, Phase
from defedbio.nodes.watching.telling import round_events, study_facts
from defedbio.protocol import retention
from defedbio.protocol.condense import condense
from defedbio.protocol.decide import Clock, Facts, Role, decide
from defedbio.protocol.following import Following
from defedbio.protocol.view import StudyView, fold
from defedbio.spec.privacy import SumPrivacy
from tests.agents.protocol.in_process import PEOPLE, QUORUM, STUDY, Ledger, meta

DEPTH, KEY_EPOCH = 12, 1
EVERYBODY = BitSet.of(0, 1, 2, 3)
PRIVACY = SumPrivacy(noise_multiplier=1.0, honest=3, epsilon=8.0, delta=1e-5)
BUSY = Facts(prepared=True, private=True, good=EVERYBODY, checked_ago=9.0)
PHASES = (Phase.OPEN, Phase.COMMITTED, Phase.REVEALED, Phase.FROZEN, Phase.AGGREGATED, Phase.DECRYPTED)


class Author:
    """Writes a study's events as the contract would emit them, one a block, by what it draws."""

    def __init__(self, drawn: random.Random, steps: int = 40) -> None:
        self.drawn = drawn
        self.events: list[ev.Event] = list(Ledger(steps=steps).events)
        self.founded = len(self.events)
        self._known, self._view = 0, StudyView(STUDY)

    def emit(self, kind: Any, *values: Any) -> None:
        number = len(self.events) + 1
        salt = self.drawn.randbytes(4)
        self.events.append(kind(*values, meta=replace(meta(number), block_hash=salt.rjust(32, b"\0"))))

    def some(self) -> BitSet:
        return BitSet(self.drawn.randrange(16)) if self.drawn.random() < 0.5 else EVERYBODY

    def round(self) -> None:
        """The end of a round that runs, or else the next one up to its end or to where it stops for now; nothing once all are done."""
        view, draw = self.now(), self.drawn.random
        if view.latest is not None and not view.latest.phase.ended:
            return self.emit(ev.RoundVoided, view.latest.id, STUDY, Phase.OPEN)
        if view.complete:
            return None
        number, head = len(view.rounds) + 1, view.head
        root, wrong = number.to_bytes(32, "big"), bytes(31) + b"\xff"
        self.emit(ev.RoundOpened, number, STUDY, len(view.finalised), head.id if head else 0, PEOPLE[0])
        absent = self.some() if draw() < 0.4 else NO_ONE
        if absent:
            self.emit(ev.AbsenteesPassedOver, number, absent)
        self.emit(ev.PhaseEntered, number, Phase.OPEN, 9_000 + number)
        if absent and draw() < 0.5 and self.now().may_come_back(back := absent.positions()[0]):
            self.emit(ev.ParticipantReturned, number, PEOPLE[back], back + 1)
        last = self.drawn.choice((*[None] * len(PHASES), *PHASES))
        acting = self.some().positions()
        for position in acting:
            if draw() < 0.5:
                self.emit(ev.PrivacyDeclared, number, PEOPLE[position], position + 1, 10**6, number * 10**5, 10**13)
            self.emit(ev.UpdateCommitted, number, PEOPLE[position], position + 1, root)
        if last == Phase.OPEN or not acting:
            return self.end(number, Phase.OPEN)
        for position in acting:
            self.emit(ev.UpdateRevealed, number, PEOPLE[position], position + 1, root, f"update {number} {position}", root, root)
        if last in (Phase.COMMITTED, Phase.REVEALED):
            return self.end(number, last)
        for holder in range(QUORUM):
            self.emit(ev.SetAttested, number, PEOPLE[holder], BitSet.of(*acting), NO_ONE, "")
        self.emit(ev.SetFrozen, number, BitSet.of(*acting), root)
        for aggregate in (root, wrong):
            self.emit(ev.AggregatePosted, number, PEOPLE[0], aggregate, "aggregate")
        if draw() < 0.2:
            self.emit(ev.ProductShownWrong, number, PEOPLE[1], wrong, BitSet.of(0), 0, 1)
        if last in (Phase.FROZEN, Phase.AGGREGATED):
            return self.end(number, last)
        for holder in range(QUORUM):
            self.emit(ev.ShareReleased, number, PEOPLE[holder], holder + 1, root, root, "share", root)
        self.emit(ev.PhaseEntered, number, Phase.DECRYPTED, 9_000)
        if last is not None:
            return self.end(number, last)
        self.emit(ev.OpeningPosted, number, PEOPLE[0], root, "opening")
        for holder in range(QUORUM):
            self.emit(ev.ModelAttested, number, PEOPLE[holder], root, root, f"model {number}")
        self.emit(ev.RoundFinalised, number, STUDY, len(view.finalised), root, root, f"model {number}", head.id if head else 0)
        return None

    def end(self, number: int, phase: Phase) -> None:
        if self.drawn.random() < 0.8:
            self.emit(ev.RoundVoided, number, STUDY, phase)

    def afterwards(self) -> None:
        """What anyone may still do in a round that ended, however long ago, and a holder with its share."""
        number = self.drawn.randrange(1, len(self.now().rounds) + 1)
        holder = self.drawn.randrange(len(PEOPLE))
        what = self.drawn.choice(("share erased", "shown wrong", "disputed"))
        if what == "share erased" and PEOPLE[holder] not in self.now().retired:
            self.emit(ev.KeyShareRetired, KEY_EPOCH, PEOPLE[holder], BitSet.of(holder))
        elif what == "shown wrong":
            shown = self.drawn.choice((number.to_bytes(32, "big"), bytes(31) + b"\xff"))
            self.emit(ev.ProductShownWrong, number, PEOPLE[1], shown, BitSet.of(0), 0, 1)
        else:
            self.emit(ev.ShareDisputed, number, PEOPLE[1], PEOPLE[2], "BadShare")

    def now(self) -> StudyView:
        self._view, self._known = fold(self._view, self.events[self._known :]), len(self.events)
        return self._view

    def take_back(self, keep: int) -> None:
        del self.events[keep:]
        self._known, self._view = 0, StudyView(STUDY)


@dataclass
class Node:
    """Follows an author's chain as a node does, with what is `DEPTH` blocks deep final, and forgets up to a number."""

    author: Author
    swept: int = 0
    told: int = 0
    kept_from: int = 0
    forked_at: int | None = None
    anew: bool = False
    behind: int = 0
    heard: set[ev.Event] = field(default_factory=set)
    following: Following = field(init=False)

    def __post_init__(self) -> None:
        self.following = Following(self, StudyView(STUDY), QUORUM, self)  # type: ignore[arg-type]

    def poll(self) -> FeedState:
        events = tuple(self.author.events)
        first = self.kept_from
        until = min(len(events), self.told + self.behind) if self.behind and self.forked_at is None else len(events)
        settled = max(first, min(until, len(events) - DEPTH))
        fresh, forked, self.told, self.kept_from, self.forked_at = events[self.told : until], self.forked_at, until, settled, None
        head, latest = (Head(number, bytes(32), number) for number in (until, len(events)))
        anew, self.anew = self.anew, False
        return FeedState(events[settled:until], fresh, forked, head, latest, events[first:settled], anew, until < len(events))

    def fork(self, back: int) -> None:
        """A reorganisation of so many blocks; one of more than `DEPTH` is of what was final, which no honest chain does."""
        keep = max(len(self.author.events) - back, self.author.founded)
        self.author.take_back(keep)
        if keep < self.kept_from:
            self.anew, self.kept_from, keep = True, 0, 0
        self.told, self.forked_at = min(self.told, keep), keep

    def catch_up(self) -> StudyView:
        for news in self.following.news():
            self.heard.update(news.events)
        return self.following.study


def same(full: StudyView, condensed: StudyView, swept: int, clock: Clock) -> None:
    """All that a node asks of its study."""
    for who in range(4):
        role = Role(PEOPLE[who], who, who + 1, QUORUM)
        for facts in (
            Facts(),
            Facts(adopted=True),
            Facts(prepared=True, private=True, good=EVERYBODY, checked_ago=9.0),
            Facts(forgotten=True),
        ):
            assert decide(role, condensed, facts, clock) == decide(role, full, facts, clock)
        assert study_facts(condensed, PEOPLE[who], PRIVACY) == study_facts(full, PEOPLE[who], PRIVACY)
        found, expected = ([(r.id, r.start) for r in retention.counted(study, PEOPLE[who])] for study in (condensed, full))
        assert found == expected
        assert condensed.may_come_back(who) == full.may_come_back(who)
    assert (condensed.latest, condensed.head, condensed.steps_done) == (full.latest, full.head, len(full.finalised))
    if full.latest is not None:
        assert condensed.before(full.latest) == full.before(full.latest)
        parent = full.latest.parent
        assert full.latest.phase.ended or parent == 0 or condensed.rounds[parent] == full.rounds[parent]
    for stopped, spare in product((False, True), range(3)):
        terms = retention.Terms(QUORUM, QUORUM + spare, stopped)
        assert retention.end_of(condensed, terms) == retention.end_of(full, terms)
    for rests, through in product((False, True), range(len(full.rounds) + 1)):
        let_go = {"rounds": sum(view.id <= through for view in full.finalised), "through": through, "rests": rests}
        assert retention.goes_on(condensed, let_go) == retention.goes_on(full, let_go)
    standing = retention.Standing(swept, frozenset(full.rounds), adopted=True)
    assert retention.forgettable(condensed, standing, 10**6, DEPTH) == retention.forgettable(full, standing, 10**6, DEPTH)
    for number, past in condensed.past.rounds.items():
        view = full.rounds[number]
        assert number <= swept and view.phase.ended
        assert (past.id, past.step, past.start, past.frozen, past.models) == (view.id, view.step, view.start, view.frozen, view.models)
        assert (past.finalised, past.opened_in, past.ended_in) == (view.phase == Phase.FINALISED, view.opened_in, view.ended_in)
        assert {PEOPLE[position] for position in past.acted.positions()} == {*view.commitments, *view.privacy}


STEPS = st.lists(
    st.one_of(
        st.just("round"),
        st.just("round"),
        st.just("poll"),
        st.just("poll"),
        st.just("forget"),
        st.just("afterwards"),
        st.tuples(st.just("fork"), st.one_of(st.integers(1, DEPTH), st.just(5 * DEPTH))),
        st.tuples(st.just("behind"), st.integers(0, 25)),
    ),
    min_size=8,
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(0, 2**32).map(random.Random), st.floats(0, 500))
def test_a_node_that_condenses_decides_as_one_that_remembers_all(steps: list[Any], drawn: random.Random, waited: float) -> None:
    """C1: whatever is taken back."""
    author = Author(drawn, drawn.choice((3, 40)))
    node = Node(author)
    for step in steps:
        match step:
            case "round":
                author.round()
            case "afterwards" if author.now().rounds:
                author.afterwards()
            case "poll":
                same(author.now(), node.catch_up(), node.swept, Clock(10_000.0, waited))
            case "forget":
                standing = retention.Standing(node.swept, frozenset(node.following.study.rounds), adopted=True)
                node.swept = retention.forgettable(node.following.study, standing, node.told, DEPTH)
            case ("fork", back):
                node.fork(back)
            case ("behind", blocks):
                node.behind = blocks
    study = node.catch_up()
    same(author.now(), study, node.swept, Clock(10_000.0, waited))
    assert node.heard.issuperset(author.events)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32).map(random.Random), st.integers(1, 12), st.data())
def test_it_makes_no_difference_which_rounds_are_past(drawn: random.Random, rounds: int, data: st.DataObject) -> None:
    author = Author(drawn, drawn.choice((5, 40)))
    for _ in range(rounds):
        author.round()
        if drawn.random() < 0.2:
            author.afterwards()
    full = author.now()
    first, second = sorted(data.draw(st.tuples(st.integers(0, rounds), st.integers(0, rounds))))
    condensed = condense(condense(full, first, QUORUM), second, QUORUM)
    assert condensed == condense(full, second, QUORUM)
    same(full, condensed, second, Clock(10_000.0, data.draw(st.floats(0, 500))))
    known = len(author.events)
    author.round()
    author.afterwards()
    same(author.now(), fold(condensed, author.events[known:]), second, Clock(10_000.0, 500.0))


def finished(rounds: int) -> Author:
    author = Author(random.Random(7))
    while len(author.now().finalised) < rounds:
        author.round()
    return author


def test_of_many_rounds_a_few_stay_and_nothing_is_asked_of_the_others() -> None:
    author = finished(30)
    full = author.now()
    assert full.latest is not None
    condensed = condense(full, full.latest.id, QUORUM)
    assert len(condensed.rounds) <= 2 + full.voids_in_a_row + 2 and len(condensed.past.rounds) + len(condensed.rounds) == len(full.rounds)
    assert condense(condensed, full.latest.id, QUORUM) is condensed
    assert condense(full, 0, QUORUM) is full


def test_what_no_node_has_forgotten_keeps_its_details() -> None:
    full = finished(12).now()
    condensed = condense(full, 5, QUORUM)
    assert sorted(condensed.past.rounds) == [1, 2, 3, 4, 5]
    assert all(condensed.rounds[number] is full.rounds[number] for number in full.rounds if number > 5)


def test_a_product_that_is_shown_wrong_long_afterwards_ends_the_study() -> None:
    """P4: t holders opened it, and then it is shown."""
    full = finished(12).now()
    opened = next(view.id for view in full.finalised)
    shown = ev.ProductShownWrong(opened, PEOPLE[1], opened.to_bytes(32, "big"), BitSet.of(0), 0, 1, meta=meta(9_999))
    condensed = condense(full, full.rounds[max(full.rounds)].id, QUORUM)
    assert opened in condensed.past.rounds
    assert condensed.deceived(QUORUM) is None and fold(condensed, [shown]).deceived(QUORUM) == opened
    end = retention.end_of(fold(condensed, [shown]), retention.Terms(QUORUM, QUORUM))
    assert end is not None and end == retention.end_of(fold(full, [shown]), retention.Terms(QUORUM, QUORUM)) and "wrong product" in end.why
    other = replace(shown, aggregate_root=bytes(31) + b"\xff")
    assert fold(condensed, [other]).deceived(QUORUM) is None, "nobody opened that one"


def test_events_are_told_with_the_details_of_rounds_that_are_past_at_once() -> None:
    """After a start all is told again for the hooks, from rounds that the node has forgotten long ago."""
    author = finished(8)
    node = Node(author, swept=10**6, behind=40)
    told = [event for news in node.following.news() for event in round_events(news.events, news.study, PEOPLE[0], "here")]
    assert told == list(round_events(author.events, author.now(), PEOPLE[0], "here"))
    assert node.following.study.past.rounds
