"""C4, C1, P7: the loop's bounds on trouble, over a recorder in place of the chain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from defedbio.chain import events as ev
from defedbio.chain.abi import contract_abi
from defedbio.chain.events import Event
from defedbio.chain.feed import FeedState
from defedbio.chain.records import Head
from defedbio.domain import BitSet, Phase
from defedbio.errors import ChainUnreachable, ContractRefused, DefedError, InternalFault, InvalidInput, StudyHalted, Unreachable
from defedbio.nodes.organisation import MAX_SAME_REFUSALS, LoopOptions, OrganisationNode
from defedbio.nodes.refusals import REFUSALS, Refusal
from defedbio.protocol import actions as act
from defedbio.protocol.decide import Clock
from defedbio.protocol.view import StudyView
from tests.agents.protocol.in_process import NOW, PEOPLE, InProcess, Ledger


@dataclass
class Feed:
    """The ledger's events as an EventFeed gives them; `trouble` is raised by the next polls."""

    ledger: Ledger
    trouble: list[DefedError] = field(default_factory=list)
    forked_at: int | None = None
    confirmations: int = 0
    polls: int = 0
    forgotten: int = 0
    _told: int = 0

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(self.ledger.events)

    def poll(self) -> FeedState:
        self.polls += 1
        if self.trouble:
            raise self.trouble.pop(0)
        events = tuple(self.ledger.events)
        fork, self.forked_at = self.forked_at, None
        fresh, self._told = events[self._told :], len(events)
        head, latest = (Head(number, bytes(32), 0) for number in (len(events) - self.confirmations, len(events)))
        return FeedState(events, fresh, fork, head, latest)

    def forget(self) -> None:
        self.forgotten += 1


@pytest.fixture
def together(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    yield made
    made.close()


def node(together: InProcess, patience: float = 0.1) -> tuple[OrganisationNode, Feed]:
    """Organisation 0's, whose turn it is to open the first round."""
    feed: Any = Feed(together.ledger)
    options = LoopOptions(poll_seconds=0.0, patience=patience, first_backoff=0.01, longest_backoff=0.04)
    return OrganisationNode(together.tools[0], feed, 1, options), feed


def test_c4_unreachable_is_retried_with_growing_pauses_and_raised_after_patience(together: InProcess) -> None:
    made, feed = node(together)
    feed.trouble = [ChainUnreachable("the chain is away") for _ in range(100)]
    with pytest.raises(Unreachable, match="away"):
        made.run()
    assert 3 <= feed.polls < 12, "pauses of 0.01, 0.02, 0.04, 0.04 … within 0.1 s"


class Pauses(threading.Event):
    """Takes down the pauses instead of making them."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return False


def test_a_quiet_chain_is_looked_at_less_and_less_often_until_there_is_news(together: InProcess) -> None:
    pauses, feed = Pauses(), Feed(together.ledger)
    made = OrganisationNode(together.tools[3], feed, 4, LoopOptions(poll_seconds=1.0), pauses)  # type: ignore[arg-type]
    for _ in range(5):
        made.turn()  # the round is others' to open
    together.ledger.emit(ev.MemberAdmitted, PEOPLE[0], 5)
    made.turn()
    assert pauses.seconds == [0.125, 0.25, 0.5, 1.0, 1.0, 0.125]


def test_what_is_not_deep_enough_yet_is_done_again_at_the_pace_of_looking(together: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, feed = Pauses(), Feed(together.ledger)
    made = OrganisationNode(together.tools[0], feed, 1, LoopOptions(poll_seconds=1.0), pauses)  # type: ignore[arg-type]
    shallow = feed.poll()
    told = iter([shallow])
    monkeypatch.setattr(feed, "poll", lambda: next(told, replace(shallow, fresh=())))
    for _ in range(5):
        made.turn()
    assert pauses.seconds == [0.125, 0.25, 0.5, 1.0], "the round is opened at once, and then looked for"
    assert len(together.ledger.calls("open_round")) == 1


def test_c4_trouble_that_passes_is_forgotten(together: InProcess) -> None:
    made, feed = node(together, patience=5.0)
    feed.trouble = [ChainUnreachable("away"), ChainUnreachable("away")]
    while not together.ledger.study().rounds:
        try:
            made.turn()
        except ChainUnreachable:
            continue
    assert together.ledger.study().rounds[1].phase == Phase.OPEN


class Settles:
    """Stands for `Settling`: what each attempt gives, or meets."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)

    def attempt(self) -> int | None:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]


def test_c7_a_restored_node_whose_ethereum_node_is_behind_waits_for_it_like_for_one_that_is_away(together: InProcess) -> None:
    made, _ = node(together)
    made.settling = Settles(*(ChainUnreachable("still syncing") for _ in range(100)))  # type: ignore[assignment]
    made.tools.sits_out_through = None
    with pytest.raises(ChainUnreachable, match="still syncing"):
        made.run()
    assert not together.ledger.sent
    assert [note["message"] for note in together.notes if note.get("event") == "node.trouble"] == ["still syncing; again in 0 s"]


def test_c7_a_restored_node_takes_part_once_it_knows_which_rounds_had_begun(together: InProcess) -> None:
    made, _ = node(together)
    made.settling = Settles(None, 1)  # type: ignore[assignment]
    made.tools.sits_out_through = None
    made.turn()
    assert together.ledger.round(1).phase == Phase.OPEN and made.tools.sits_out_through is None, "to begin a round is public work"
    for _ in range(5):
        made.turn()
    assert made.settling is None and made.tools.sits_out_through == 1 and not together.ledger.round(1).commitments
    assert any("in rounds up to 1" in str(note.get("message")) for note in together.notes)


def test_c7_of_a_complete_study_a_restored_node_asks_nothing(together: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StudyView, "complete", True)
    made, _ = node(together)
    made.settling = Settles()  # type: ignore[assignment]
    made.tools.sits_out_through = None
    assert made.run()


def test_a_lost_race_is_survived_more_often_than_other_refusals(together: InProcess) -> None:
    made, _ = node(together, patience=60.0)
    for _ in range(3 * MAX_SAME_REFUSALS):
        together.recorder(0).refuse["open_round"] = ContractRefused("RoundManagerRoundRunning")
        assert made.turn() is False
    made.turn()
    assert 1 in together.ledger.study().rounds


def test_a_race_that_never_ends_is_raised_after_patience(together: InProcess) -> None:
    made, _ = node(together, patience=0.0)
    together.recorder(0).refuse["open_round"] = ContractRefused("RoundManagerRoundRunning")
    with pytest.raises(ContractRefused, match="RoundRunning"):
        made.turn()


def test_a_race_is_given_time_until_what_was_lost_to_is_deep_enough_to_be_seen(together: InProcess) -> None:
    """C1: with confirmations, the block that refused this node counts long after the refusal."""
    made, feed = node(together, patience=0.0)
    feed.confirmations = 1
    for _ in range(3):
        together.recorder(0).refuse["open_round"] = ContractRefused("RoundManagerRoundRunning")
        assert made.turn() is False
    together.ledger.emit(ev.MemberAdmitted, PEOPLE[0], 5)
    together.recorder(0).refuse["open_round"] = ContractRefused("RoundManagerRoundRunning")
    with pytest.raises(ContractRefused, match="RoundRunning"):
        made.turn()


def test_k3_a_node_whose_share_was_retired_is_no_holder_any_more(together: InProcess) -> None:
    made, _ = node(together)
    assert made.role(made.refresh()).holder_index == 1 and made.tools.share is not None
    together.ledger.emit(ev.KeyShareRetired, 2, PEOPLE[0], BitSet.of(0))
    assert made.role(made.refresh()).holder_index == 1, "of another epoch"
    together.ledger.emit(ev.KeyShareRetired, 1, PEOPLE[0], BitSet.of(0))
    role = made.role(made.refresh())
    assert (role.holder_index, role.position, role.key_ended) == (None, 0, False) and made.tools.share is None
    together.ledger.emit(ev.KeyShareRetired, 1, PEOPLE[1], BitSet.of(0, 1))
    assert made.role(made.refresh()).key_ended
    assert sum("retired its key share" in str(note.get("message")) for note in together.notes) == 1
    with pytest.raises(StudyHalted, match="fewer than 3 shares"):
        made.turn()


def test_what_the_operator_must_see_to_stops_the_node(together: InProcess) -> None:
    made, _ = node(together, patience=60.0)
    for _ in range(MAX_SAME_REFUSALS - 1):
        together.recorder(0).refuse["open_round"] = ContractRefused("RoundManagerNotEnrolled")
        made.turn()
    together.recorder(0).refuse["open_round"] = ContractRefused("RoundManagerNotEnrolled")
    with pytest.raises(ContractRefused, match="NotEnrolled"):
        made.turn()


def test_every_refusal_that_a_node_can_meet_is_in_the_table() -> None:
    errors = {entry["name"] for entry in contract_abi("RoundManager") if entry["type"] == "error"}
    assert set(REFUSALS) == errors | {"StudyRegistryUnknownStudy"}, "the RoundManager asks the StudyRegistry whether enrolment is closed"


def in_a_round(together: InProcess, patience: float = 60.0) -> OrganisationNode:
    """Organisation 0 has its update ready to commit."""
    made, _ = node(together, patience)
    made.clock = lambda study: Clock(NOW, 0.0)  # type: ignore[method-assign]
    while not isinstance(together.next_action(0), act.Commit):
        made.turn()
    return made


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_no_refusal_that_others_can_bring_about_ends_the_node(together: InProcess, name: str) -> None:
    """A step that is lost is tried no more in its phase; the round's deadline bounds the wait for a race."""
    made = in_a_round(together, patience=0.0 if REFUSALS[name] is Refusal.RACE else 60.0)
    together.recorder(0).refuse["commit"] = ContractRefused(name)
    made.turn()
    if REFUSALS[name] is Refusal.OURS:
        made.turn()
        assert PEOPLE[0] in together.ledger.round(1).commitments, "tried again, a few times"
        return
    made.turn()
    assert PEOPLE[0] not in together.ledger.round(1).commitments
    (said,) = [n["message"] for n in together.notes if "sits Commit out" in n.get("message", "")]
    assert name in said
    together.ledger.enter(1, Phase.COMMITTED)
    together.ledger.emit(ev.RoundVoided, 1, 1, Phase.COMMITTED)
    together.recorder(1).open_round("next", 1)
    while PEOPLE[0] not in together.ledger.round(2).commitments:
        made.turn()


@pytest.mark.parametrize("fault", [InternalFault("two records disagree"), OverflowError("row 17.25"), KeyError("row 17.25")])
def test_a_fault_that_a_peer_may_have_found_costs_a_step_of_the_round(
    together: InProcess, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = in_a_round(together)
    together.recorder(0).refuse["commit"] = fault
    made.turn()
    (said,) = [n for n in together.notes if "sits Commit out" in n.get("message", "")]
    assert said["event"] == "node.trouble" and "17.25" not in str(said)
    made.turn()
    assert PEOPLE[0] not in together.ledger.round(1).commitments


def test_a_fault_outside_of_rounds_ends_the_node_with_a_word_and_without_what_it_says(together: InProcess) -> None:
    made, _ = node(together)
    together.recorder(0).refuse["open_round"] = OverflowError("row 17.25")
    with pytest.raises(InternalFault, match=r"OverflowError at in_process\.py") as raised:
        made.run()
    assert "17.25" not in str(raised.value)


def test_a_full_disk_ends_the_node_with_a_clear_word(together: InProcess) -> None:
    made = in_a_round(together)
    pages = made.tools.memory.journal._db.execute("PRAGMA page_count").fetchone()[0]
    made.tools.memory.journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(InvalidInput, match=r"the journal 0\.sqlite cannot be used: database or disk is full"):
        made.tools.memory.journal.put_bytes("round/1/share-blob", bytes(1 << 20))
    made.tools.memory.journal._db.execute("PRAGMA max_page_count=1000000")
    together.recorder(0).refuse["commit"] = InvalidInput("the journal cannot be used")
    with pytest.raises(InvalidInput):
        made.run()


def test_c1_a_reorganisation_folds_again(together: InProcess) -> None:
    made, feed = node(together)
    together.recorder(3).open_round("first", 1)
    together.recorder(2).commit("lost", 1, b"\x01" * 32)
    assert PEOPLE[2] in made.refresh().rounds[1].commitments
    together.ledger.events.pop()
    feed.forked_at = len(together.ledger.events)
    assert PEOPLE[2] not in made.refresh().rounds[1].commitments
    assert made.refresh() == together.ledger.study()


def test_c1_an_invented_event_that_ends_the_node_is_not_kept(together: InProcess) -> None:
    """The Ethereum node says what no contract does, which would end every start from saved events. Its silence says nothing of them."""
    made, feed = node(together)
    feed.trouble = [ChainUnreachable("away") for _ in range(100)]
    with pytest.raises(Unreachable):
        made.run()
    assert feed.forgotten == 0
    feed.trouble = []
    together.recorder(3).open_round("first", 1)
    together.ledger.events.append(ev.ParticipantReturned(1, PEOPLE[2], 0, meta=together.ledger.events[-1].meta))
    with pytest.raises(InvalidInput, match="position -1"):
        made.run()
    assert feed.forgotten == 1


def test_p7_the_node_stops_after_max_voids(together: InProcess) -> None:
    made, _ = node(together)
    for number in (1, 2, 3):
        together.recorder(3).open_round(f"open {number}", 1)
        together.recorder(3).advance(f"void {number}", number)
    with pytest.raises(StudyHalted, match="3 rounds in a row"):
        made.run()


def test_stop_ends_the_loop(together: InProcess) -> None:
    made, _ = node(together)
    made.stop.set()
    assert made.run() is False
