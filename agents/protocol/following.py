"""A study's view, kept with the chain by a node that takes part: what is final is folded once, condensed, and not remembered otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from defedbio.chain.events import Event
from defedbio.chain.feed import EventFeed, FeedState
from defedbio.protocol.condense import condense
from defedbio.protocol.memory import Memory
from defedbio.protocol.view import StudyView, fold


@dataclass(frozen=True)
class News:
    """The `study` as it is after these `events`, with the details of all rounds that they are of."""

    study: StudyView
    events: tuple[Event, ...]
    state: FeedState


@dataclass
class Following:
    """`beginning` is the study before any event, `threshold` how many shares open a sum under its key. Rounds that the `memory` has
    forgotten are condensed once they are final."""

    feed: EventFeed
    beginning: StudyView
    threshold: int
    memory: Memory
    _final: StudyView = field(init=False)
    _study: StudyView | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._final = self.beginning

    @property
    def study(self) -> StudyView:
        """As the last news left it."""
        return self._study or self.beginning

    def news(self) -> Iterator[News]:
        """Read the chain: one piece after another where much of it is new, and at least one.

        Raises:
            ChainUnreachable: as `EventFeed.poll`. What was read before is not read again.
        """
        while True:
            state = self.feed.poll()
            if state.anew:
                self._final = self.beginning
            events = state.fresh
            if self._study is None or state.forked_at is not None:
                self._study, events = self._final, (*state.settled, *state.events)
            told = self._study = fold(self._study, events)
            if state.settled:
                self._final = condense(fold(self._final, state.settled), self.memory.swept, self.threshold)
                self._study = fold(self._final, state.events)
            yield News(told, events, state)
            if not state.behind:
                return
