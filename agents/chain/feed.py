"""The chain's events, kept right across reorganisations (C1)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from defedbio.chain.client import ChainClient
from defedbio.chain.events import Event, KeyShareRetired, RoundOpened, fetch_events
from defedbio.chain.records import Head
from defedbio.chain.saved import EventsFile, Piece, Saved
from defedbio.errors import ChainUnreachable, InvalidInput

_MOST_MARKS = 256
_MOST_ATTEMPTS = 5
_SAVED_EVERY, _SAVED_EACH = 250, 10_000  # events, blocks
# The saved blocks that are read again: as many as hold so many events, which one request asks about.
_LOOKED_FOR, _LEAST_LOOKED_AT, _MOST_LOOKED_AT = 500, 64, 2000
# What is far back is read so many events at once, by guessing from the blocks before how many blocks hold them.
_AT_ONCE, _LEAST_WIDTH, _MOST_WIDTH = 1000, 16, 1 << 15

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeedState:
    """`events` are those up to `head` that a reorganisation may still take back, and `fresh` what came since the last poll. `settled` are
    final since this poll, and told no more after it. After a reorganisation `forked_at` is the first block whose events were dropped and
    `fresh` starts there: fold `events` again from where what is settled ends, or from nothing if `anew` says that what was settled is not
    the chain's any more. `latest` is the chain's tip, `head` the newest block deep enough; while the feed is `behind`, the newest that it
    has come to."""

    events: tuple[Event, ...]
    fresh: tuple[Event, ...]
    forked_at: int | None
    head: Head
    latest: Head
    settled: tuple[Event, ...] = ()
    anew: bool = False
    behind: bool = False


class EventFeed:
    """Remembers the hash of the last block of each poll. A hash that is no longer the chain's sends it back to the newest that is.

    With a `study` it keeps the events of that study and its rounds alone, and which shares of the key `epoch` were erased: what others may
    write without end takes no room. With a `depth` events settle once so many blocks follow the one that they are acted on in, and leave
    memory; then a poll reads some of what is far back, and says that it is `behind`. Without one they all stay, and a poll reads all.
    What settled is written to the file, if there is one, and a new feed starts from there after it has read some of it again.
    """

    def __init__(
        self,
        client: ChainClient,
        start_block: int | None = None,
        confirmations: int | None = None,
        study: int | None = None,
        epoch: int | None = None,
        depth: int | None = None,
        file: EventsFile | None = None,
    ) -> None:
        self._client = client
        self._start = client.network.deploy_block if start_block is None else start_block
        self._confirmations = client.confirmations if confirmations is None else confirmations
        self._depth = depth
        self._latest: Head | None = None
        self._marks: list[Head] = []  # once something settled, the first is the block that it is final up to
        self._settled = False
        self._events: tuple[Event, ...] = ()
        self._study = study
        self._epoch = epoch
        self._rounds: set[int] = set()
        self._width = _LEAST_WIDTH
        self._file = file if depth is not None else None
        self._pieces: Iterator[Piece] | None = None
        self._left: Head | None = None  # where the pieces that are yet to be read from the file end
        self._unsaved: tuple[Event, ...] = ()
        self._saved_to = self._start

    @property
    def events(self) -> tuple[Event, ...]:
        return self._events

    def poll(self) -> FeedState:
        """Read what is new. The feed is unchanged when this raises.

        Raises:
            ChainUnreachable: if the node does not answer, or the chain is reorganised faster than it can be read.
        """
        if self._pieces is None:
            self._pieces = self._restored()
        if (piece := next(self._pieces, None)) is not None:
            self._marks, self._settled = [piece.head], True
            self._left = None if piece.head == self._left else self._left
            return FeedState((), piece.events, None, piece.head, piece.head, settled=piece.events, behind=True)
        if self._left is not None:  # it is not what was loaded: behind a gap, nothing can be added
            self.forget()
            self._left = self._file = None
        forked_at: int | None = None
        for _ in range(_MOST_ATTEMPTS):
            latest = self._client.head()
            if self._settled and latest.number < self._marks[0].number:
                raise ChainUnreachable(
                    f"the node at {self._client.rpc_shown} is at block {latest.number}, and block {self._marks[0].number} was final before",
                    "it may still be reading the chain: the next attempt goes on once it has",
                )
            if latest == self._latest:
                # A block's hash names all blocks before it: nothing is new, and nothing was taken back.
                return FeedState(self._events, (), None, self._marks[-1], latest)
            marks = self._standing_marks(latest)
            if len(marks) < len(self._marks):
                first_lost = marks[-1].number + 1 if marks else self._start
                forked_at = first_lost if forked_at is None else min(forked_at, first_lost)
            kept, after = self._kept(marks)
            deep = max(latest.number - self._confirmations, 0)
            head = self._client.block(self._end(after, deep))
            if head is None:
                continue
            found = fetch_events(self._client, after, head.number) if head.number >= after else []
            fetched = tuple(event for event in found if self._wanted(event))
            if self._client.block(head.number) != head:
                continue  # reorganised while it was read
            behind = head.number < deep
            if marks and head.number <= marks[-1].number:
                head = marks[-1]
            else:
                marks = [*marks, head]
            anew = self._settled and marks[0] != self._marks[0]
            if anew:
                log.warning("the chain took back blocks that counted as final: all is read again")
                self.forget()
                self._settled = False
            self._latest = None if behind else latest
            self._marks, self._events = marks, kept + fetched
            self._width = _width(self._width, len(found))
            settled = self._settle(deep)
            return FeedState(self._events, fetched, forked_at, head, latest, settled, anew, behind)
        raise ChainUnreachable("the chain is reorganised faster than it can be read", "the next attempt starts from what stands")

    def forget(self) -> None:
        """Let the next feed read all from the chain: what is saved may be what an Ethereum node left out or made up."""
        if self._file is not None:
            self._file.remove()
        self._unsaved, self._saved_to = (), self._start

    def _end(self, after: int, deep: int) -> int:
        """The block to read up to: at most as far as what is final goes while that is not all read."""
        if self._depth is None or after > deep - self._depth:
            return deep
        return min(after + self._width - 1, deep - self._depth)

    def _settle(self, deep: int) -> tuple[Event, ...]:
        """Let go the events up to the newest mark that is final."""
        if self._depth is None:
            self._marks = self._marks[-_MOST_MARKS:]
            return ()
        final = [mark for mark in self._marks if mark.number <= deep - self._depth]
        if not final:
            return ()
        last = final[-1]
        settled = tuple(event for event in self._events if event.meta.block <= last.number)
        self._events = self._events[len(settled) :]
        self._marks = self._marks[len(final) - 1 :]
        self._settled = True
        self._save(last, settled)
        return settled

    def _save(self, last: Head, settled: tuple[Event, ...]) -> None:
        if self._file is None:
            return
        self._unsaved += settled
        if len(self._unsaved) < _SAVED_EVERY and last.number < self._saved_to + _SAVED_EACH:
            return
        try:
            self._file.add(Piece(last, self._unsaved))
            self._saved_to = last.number
        except InvalidInput as error:
            log.warning("events are not saved any more, so that the next start takes longer: %s", error.message)
            self._file = None
        self._unsaved = ()

    def _restored(self) -> Iterator[Piece]:
        """What is saved, if that is the chain's."""
        saved = self._file.load() if self._file is not None else None
        if self._file is None or saved is None:
            return iter(())
        self._rounds = set(saved.rounds)
        if self._stands(saved):
            self._left, self._saved_to = saved.head, saved.head.number
            return saved.pieces()
        self._rounds = set()
        self._file.remove()
        log.warning("the saved events are not the chain's: all are read again")
        return iter(())

    def _stands(self, saved: Saved) -> bool:
        """Whether the last saved block is the chain's, and the events of the blocks around one drawn at random are.

        An Ethereum node that once left an event out would be believed for ever otherwise.
        """
        deep = self._client.head().number - self._confirmations
        if not self._start <= saved.head.number <= deep or self._client.block(saved.head.number) != saved.head:
            return False
        blocks = saved.head.number - self._start + 1
        width = min(max(_LEAST_LOOKED_AT, _LOOKED_FOR * blocks // max(saved.events, 1)), _MOST_LOOKED_AT)
        drawn = self._start + secrets.randbelow(blocks)
        first = max(self._start, min(drawn - width // 2, saved.head.number - width + 1))
        last = min(first + width - 1, saved.head.number)
        return [e for e in fetch_events(self._client, first, last) if self._wanted(e)] == saved.within(first, last)

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


def _width(width: int, found: int) -> int:
    """How many blocks to ask about next, after so many held `found` events."""
    if found > _AT_ONCE:
        return max(width // 2, _LEAST_WIDTH)
    return min(2 * width, _MOST_WIDTH) if 2 * found < _AT_ONCE else width
