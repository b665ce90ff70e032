"""Two threads: one keeps the index up with the chain, the other asks in the background for what pages will need."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from defedbio.errors import DefedError, NotFound
from defedbio.explorer.index import Index
from defedbio.explorer.lookups import SWEEP_SECONDS, Lookups
from defedbio.protocol.view import RoundView, StudyView
from defedbio.threads import Pauses, kept_up

IDLE_SECONDS = 15.0
TELL_SECONDS = 3.0
MOST_STUDIES = 100  # whose rounds are read without anybody looking


class Follower:
    """`trouble` is why the chain cannot be read now, "" while it can."""

    def __init__(self, index: Index, lookups: Lookups, poll_seconds: float, pauses: Pauses | None = None) -> None:
        self._index, self._lookups, self._poll_seconds, self._pauses = index, lookups, poll_seconds, pauses
        self._stopped = threading.Event()
        self._wanted: deque[int] = deque(maxlen=1000)
        self.trouble = ""

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def start(self) -> None:
        kept_up(self._follow, "following the chain", self._stopped, self._pauses, self._say)
        kept_up(self._fill, "asking ahead", self._stopped, self._pauses)

    def stop(self) -> None:
        self._stopped.set()
        self._index.touch()

    def want(self, rounds: list[int]) -> None:
        """Somebody looks at these rounds: ask for them first."""
        self._wanted.extend(rounds)

    def _follow(self) -> None:
        """Poll until stopped; while the chain cannot be read, pages say so and show what was known."""
        while not self.stopped:
            trouble = ""
            try:
                self._index.poll()
            except DefedError as error:
                trouble = error.message
            self._say(trouble)
            self._stopped.wait(self._poll_seconds)

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._index.touch()

    def _fill(self) -> None:
        """Go through what is not known yet, the newest first; again from the start as soon as there is something newer."""
        seen, told, new = -1, 0.0, False
        while not self.stopped:
            seen = self._index.wait(seen, IDLE_SECONDS)
            for found in self._unknown():
                new |= found
                if new and time.monotonic() - told >= TELL_SECONDS:
                    self._index.touch()
                    told, new = time.monotonic(), False
                if self.stopped or self._index.version != seen:
                    break
            else:
                if new:
                    self._index.touch()
                    told, new = time.monotonic(), False

    def _unknown(self) -> Iterator[bool]:
        """Ask for one thing after the other; whether each brought something new."""
        with self._index.read() as tables:
            studies = [study for _, study in sorted(tables.studies.items(), reverse=True)[:MOST_STUDIES]]
        for study in studies:
            yield self._frame(study)
        for study, view in self._rounds(studies):
            yield self._lookups.fill(study, view)

    def _rounds(self, studies: list[StudyView]) -> Iterator[tuple[StudyView, RoundView]]:
        for study in studies:
            for _, view in sorted(study.rounds.items(), reverse=True):
                while self._wanted:
                    with suppress(IndexError, NotFound):
                        yield self._index.round(self._wanted.popleft())
                yield study, view

    def _frame(self, study: StudyView) -> bool:
        if not study.spec_cid or self._lookups.known_frame(study.id) is not None:
            return False
        with suppress(DefedError):
            return self._lookups.frame(study.id, SWEEP_SECONDS) is not None
        return False
