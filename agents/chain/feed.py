"""All events so far, kept right across reorganisations (C1)."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass

from defedbio.chain.client import ChainClient
from defedbio.chain.events import Event, KeyShareRetired, RoundOpened, fetch_events
from defedbio.chain.records import Head
from defedbio.chain.snapshot import Snapshot, SnapshotFile
from defedbio.errors import ChainUnreachable

_MOST_MARKS = 256
_MOST_ATTEMPTS = 5
_SAVED_EVERY = 1000  # events
# A snapshot's blocks that are read again: as many as hold so many events, which one request asks about.
_LOOKED_FOR, _LEAST_LOOKED_AT, _MOST_LOOKED_AT = 500, 64, 2000

log = logging.getLogger(__name__)


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

    With a `study` it keeps the events of that study and its rounds alone, and which shares of the key `epoch` were erased: what others may
    write without end takes no room. With a file it starts from the events that are `saved` there, after it has read some of them again, and
    saves them there once there are many more.
    """

    def __init__(
        self,
        client: ChainClient,
        start_block: int | None = None,
        confirmations: int | None = None,
        study: int | None = None,
        epoch: int | None = None,
        saved: SnapshotFile | None = None,
    ) -> None:
        self._client = client
        self._start = client.network.deploy_block if start_block is None else start_block
        self._confirmations = client.confirmations if confirmations is None else confirmations
        self._latest: Head | None = None
        self._marks: list[Head] = []
        self._events: tuple[Event, ...] = ()
        self._study = study
        self._epoch = epoch
        self._rounds: set[int] = set()
        self._file = saved
        self._restored = saved is None
        self._saved = 0

    @property
    def events(self) -> tuple[Event, ...]:
        return self._events

    def poll(self) -> FeedState:
        """Read what is new. The feed is unchanged when this raises.

        Raises:
            ChainUnreachable: if the node does not answer, or the chain is reorganised faster than it can be read.
        """
        restored = self._restore()
        forked_at: int | None = None
        for _ in range(_MOST_ATTEMPTS):
            latest = self._client.head()
            if latest == self._latest:
                # A block's hash names all blocks before it: nothing is new, and nothing was taken back.
                return FeedState(self._events, (), None, self._marks[-1], latest)
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
            self._latest, self._marks, self._events, self._restored = latest, marks, kept + fetched, True
            self._save(forked_at is not None)
            return FeedState(self._events, self._events if restored else fetched, forked_at, head, latest)
        raise ChainUnreachable("the chain is reorganised faster than it can be read", "the next attempt starts from what stands")

    def forget(self) -> None:
        """Let the next feed read all from the chain: what is saved may be what an Ethereum node left out or made up."""
        if self._file is not None:
            self._file.remove()

    def _restore(self) -> bool:
        """Start from what is saved, if that is the chain's; whether the next events are the first that anybody gets of this feed."""
        if self._restored:
            return False
        if self._file is not None and not self._events and (saved := self._file.load()) is not None:
            if self._stands(saved):
                self._marks, self._events, self._saved = [saved.head], saved.events, len(saved.events)
            else:
                self._rounds = set()
                log.warning("the saved events are not the chain's: all are read again")
        return True

    def _stands(self, saved: Snapshot) -> bool:
        """Whether the snapshot's last block is the chain's, and its events of the blocks around one drawn at random are.

        An Ethereum node that once left an event out would be believed for ever otherwise.
        """
        deep = self._client.head().number - self._confirmations
        if not self._start <= saved.head.number <= deep or self._client.block(saved.head.number) != saved.head:
            return False
        self._rounds = {e.round for e in saved.events if isinstance(e, RoundOpened)}
        blocks = saved.head.number - self._start + 1
        width = min(max(_LEAST_LOOKED_AT, _LOOKED_FOR * blocks // max(len(saved.events), 1)), _MOST_LOOKED_AT)
        drawn = self._start + secrets.randbelow(blocks)
        first = max(self._start, min(drawn - width // 2, saved.head.number - width + 1))
        last = min(first + width - 1, saved.head.number)
        told = [e for e in fetch_events(self._client, first, last) if self._wanted(e)]
        return told == [e for e in saved.events if first <= e.meta.block <= last]

    def _save(self, forked: bool) -> None:
        if self._file is not None and ((forked and self._saved) or len(self._events) >= self._saved + _SAVED_EVERY):
            self._file.save(Snapshot(self._marks[-1], self._events))
            self._saved = len(self._events)

    def _wanted(self, event: Event) -> bool:
        if self._study is None:
            return True
        if isinstance(event, KeyShareRetired):
            return event.epoch == self._epoch
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
