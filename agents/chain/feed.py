"""All events so far, kept right across reorganisations (C1)."""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.chain.client import ChainClient
from defedbio.chain.events import Event, RoundOpened, fetch_events
from defedbio.chain.records import Head
from defedbio.errors import ChainUnreachable

_MOST_MARKS = 256
_MOST_ATTEMPTS = 5


@dataclass(frozen=True)
class FeedState:
    """`events` is everything up to `head`, `fresh` what came since the last poll. After a reorganisation `forked_at` is the first block
    whose events were dropped and `fresh` starts there: fold `events` again from nothing. `latest` is the chain's tip, `head` the newest
    block deep enough."""

    events: tuple[Event, ...]
    fresh: tuple[Event, ...]
    forked_at: int | None
    head: Head
    latest: Head


class EventFeed:
    """Remembers the hash of the last block of each poll. A hash that is no longer the chain's sends it back to the newest that is.

    With a `study` it keeps the events of that study and its rounds alone: what others may write without end takes no room.
    """

    def __init__(
        self, client: ChainClient, start_block: int | None = None, confirmations: int | None = None, study: int | None = None
    ) -> None:
        self._client = client
        self._start = client.network.deploy_block if start_block is None else start_block
        self._confirmations = client.confirmations if confirmations is None else confirmations
        self._marks: list[Head] = []
        self._events: tuple[Event, ...] = ()
        self._study = study
        self._rounds: set[int] = set()

    @property
    def events(self) -> tuple[Event, ...]:
        return self._events

    def poll(self) -> FeedState:
        """Read what is new. The feed is unchanged when this raises.

        Raises:
            ChainUnreachable: if the node does not answer, or the chain is reorganised faster than it can be read.
        """
        forked_at: int | None = None
        for _ in range(_MOST_ATTEMPTS):
            latest = self._client.head()
            marks = self._standing_marks(latest)
            if len(marks) < len(self._marks):
                first_lost = marks[-1].number + 1 if marks else self._start
                forked_at = first_lost if forked_at is None else min(forked_at, first_lost)
            kept, after = self._kept(marks)
            head = self._client.block(max(latest.number - self._confirmations, 0))
            if head is None:
                continue
            found = fetch_events(self._client, after, head.number) if head.number >= after else []
            fetched = tuple(event for event in found if self._wanted(event))
            if self._client.block(head.number) != head:
                continue  # reorganised while it was read
            if marks and head.number <= marks[-1].number:
                head = marks[-1]
            else:
                marks = [*marks, head][-_MOST_MARKS:]
            self._marks, self._events = marks, kept + fetched
            return FeedState(self._events, fetched, forked_at, head, latest)
        raise ChainUnreachable("the chain is reorganised faster than it can be read", "the next attempt starts from what stands")

    def _wanted(self, event: Event) -> bool:
        if self._study is None:
            return True
        ours = getattr(event, "study", 0) == self._study
        if ours and isinstance(event, RoundOpened):
            # A round that a reorganisation took away stays here: its number may come to another study, whose folds pass it over.
            self._rounds.add(event.round)
        return ours or getattr(event, "round", 0) in self._rounds

    def _standing_marks(self, latest: Head) -> list[Head]:
        marks = list(self._marks)
        while marks and (marks[-1].number > latest.number or self._client.block(marks[-1].number) != marks[-1]):
            marks.pop()
        return marks

    def _kept(self, marks: list[Head]) -> tuple[tuple[Event, ...], int]:
        if not marks:
            return (), self._start
        last = marks[-1].number
        standing = len(marks) == len(self._marks)
        kept = self._events if standing else tuple(event for event in self._events if event.meta.block <= last)
        return kept, max(last + 1, self._start)
