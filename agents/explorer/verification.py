"""The Verify button: `defedbio verify` in the server, told check by check."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from threading import BoundedSemaphore
from typing import Any

from starlette.concurrency import iterate_in_threadpool

from defedbio.errors import DefedError, Unreachable
from defedbio.explorer.index import Index
from defedbio.explorer.lookups import Lookups
from defedbio.protocol.reading import Reader
from defedbio.protocol.verify import verify_round

AT_ONCE = 2
SPEC_SECONDS = 60.0

Telling = tuple[str, dict[str, Any]]


class Verifications:
    """At most `AT_ONCE` at a time: each holds a round's updates in memory and takes a core."""

    def __init__(self, connection: Reader, index: Index, lookups: Lookups) -> None:
        self._connection, self._index, self._lookups = connection, index, lookups
        self._free = BoundedSemaphore(AT_ONCE)

    async def tell(self, round_: int) -> AsyncGenerator[Telling]:
        """A "check" after each check, then "done"; "failed" if it cannot be gone through with. Whoever stops listening stops it."""
        if not self._free.acquire(blocking=False):
            yield "failed", {"detail": f"{AT_ONCE} verifications are running: try again when one is done"}
            return
        try:
            async for telling in iterate_in_threadpool(self._checks(round_)):
                yield telling
        finally:
            self._free.release()

    def _checks(self, round_: int) -> Iterator[Telling]:
        try:
            study, view = self._index.round(round_)
            frame = self._lookups.frame(study.id, SPEC_SECONDS)
            if frame is None:
                raise Unreachable("the study's spec has not come from IPFS yet")
            holders = self._connection.keys.epoch_of(frame.spec.key_epoch).holders
            good, started = True, time.monotonic()
            for check in verify_round(self._connection.fetcher(frame), study, view, holders):
                good &= check.ok
                yield "check", {"name": check.name, "ok": check.ok, "detail": check.detail, "peer": check.peer, "seconds": check.seconds}
            yield "done", {"verified": good, "seconds": round(time.monotonic() - started, 2)}
        except DefedError as error:
            yield "failed", {"detail": error.message}
