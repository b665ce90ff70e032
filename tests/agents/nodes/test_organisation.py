"""C4, C1, P7: the loop's bounds on trouble, over a recorder in place of the chain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from defedbio.chain import events as ev
from defedbio.chain.events import Event
from defedbio.chain.feed import FeedState
from defedbio.chain.records import Head
from defedbio.domain import Phase
from defedbio.errors import ChainUnreachable, ContractRefused, DefedError, StudyHalted, Unreachable
from defedbio.nodes.organisation import MAX_SAME_REFUSALS, LoopOptions, OrganisationNode
from tests.agents.protocol.in_process import PEOPLE, InProcess, Ledger


@dataclass
class Feed:
    """The ledger's events as an EventFeed gives them; `trouble` is raised by the next polls."""

    ledger: Ledger
    trouble: list[DefedError] = field(default_factory=list)
    forked_at: int | None = None
    polls: int = 0
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
        head = Head(len(events), bytes(32), 0)
        return FeedState(events, fresh, fork, head, head)


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


def test_c4_trouble_that_passes_is_forgotten(together: InProcess) -> None:
    made, feed = node(together, patience=5.0)
    feed.trouble = [ChainUnreachable("away"), ChainUnreachable("away")]
    while not together.ledger.study().rounds:
        try:
            made.turn()
        except ChainUnreachable:
            continue
    assert together.ledger.study().rounds[1].phase == Phase.OPEN


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


def test_other_refusals_stop_the_node(together: InProcess) -> None:
    made, _ = node(together, patience=60.0)
    for _ in range(MAX_SAME_REFUSALS - 1):
        together.recorder(0).refuse["open_round"] = ContractRefused("RoundManagerNotEnrolled")
        made.turn()
    together.recorder(0).refuse["open_round"] = ContractRefused("RoundManagerNotEnrolled")
    with pytest.raises(ContractRefused, match="NotEnrolled"):
        made.turn()


def test_c1_a_reorganisation_folds_again(together: InProcess) -> None:
    made, feed = node(together)
    together.recorder(3).open_round("first", 1)
    together.recorder(2).commit("lost", 1, b"\x01" * 32)
    assert PEOPLE[2] in made.refresh().rounds[1].commitments
    together.ledger.events.pop()
    feed.forked_at = len(together.ledger.events)
    assert PEOPLE[2] not in made.refresh().rounds[1].commitments
    assert made.refresh() == together.ledger.study()


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
