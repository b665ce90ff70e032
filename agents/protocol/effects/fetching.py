"""Blobs of several organisations fetched side by side: one that does not answer holds up nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

FETCHES = 4
LEAST_SECONDS = 1.0

K = TypeVar("K")
V = TypeVar("V")


def patience(count: int, whole: float, most: float) -> float:
    """Seconds for each of `count` fetches, at most `most` and at least one, so that all end within a quarter of the `whole` phase even if
    nobody delivers. What came of a blob until then is kept, and the next try goes on from there."""
    passes = -(-count // FETCHES)
    return min(most, max(LEAST_SECONDS, whole / 4 / max(passes, 1)))


@contextmanager
def fetching(wanted: Iterable[K], fetch: Callable[[K], V]) -> Iterator[dict[K, Future[V]]]:
    """What `fetch` gives for each, at most `FETCHES` at a time; what was not begun when the context ends is dropped."""
    pool = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")
    try:
        # Each in the context of the work in hand, so that what it notes and counts is the phase's.
        yield {one: pool.submit(copy_context().run, fetch, one) for one in wanted}
    finally:
        pool.shutdown(cancel_futures=True)
