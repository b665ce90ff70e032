"""Values that somebody else has to be asked for, so that a page never waits long for them."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from math import inf
from typing import Generic, TypeVar

from defedbio.errors import DefedError, InternalFault, Unreachable

log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")


class Lookup(Generic[K, V]):
    """`ask` gives one key's value and runs in `pool`, once at a time for a key.

    The newest `size` answers are remembered for `keep` seconds, a refusal (DefedError) for `patience` seconds. Whatever else `ask` raises
    is a refusal too, and logged.
    """

    def __init__(
        self,
        ask: Callable[[K], V],
        pool: Executor,
        size: int,
        keep: float = inf,
        patience: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._pool, self._size, self._keep, self._patience, self._clock = ask, pool, size, keep, patience, clock
        self._lock = threading.Lock()
        self._told: OrderedDict[K, tuple[V | DefedError, float]] = OrderedDict()
        self._asked: dict[K, Future[V | DefedError]] = {}

    def known(self, key: K) -> V | None:
        """The value if it is known; asks nobody."""
        found = self._fresh(key)
        return None if isinstance(found, DefedError) else found

    def get(self, key: K, seconds: float) -> V | None:
        """The value, asked for if need be; None when it has not come after so many seconds, which `known` may tell later.

        Raises:
            DefedError: why it cannot be had.
        """
        found = self._fresh(key)
        if found is None:
            asked = self.ask(key)
            wait([asked], max(seconds, 0.0))
            found = asked.result() if asked.done() and not asked.cancelled() else None
        if isinstance(found, DefedError):
            raise found
        return found

    def ask(self, key: K) -> Future[V | DefedError]:
        """The value or the refusal, as soon as there is one. Raises Unreachable once the pool has been shut down."""
        with self._lock:
            told, until = self._told.get(key, (None, -inf))
            if told is not None and until > self._clock():
                known: Future[V | DefedError] = Future()
                known.set_result(told)
                return known
            if key not in self._asked:
                try:
                    self._asked[key] = self._pool.submit(self._answer, key)
                except RuntimeError:
                    raise Unreachable("the explorer is being stopped") from None
            return self._asked[key]

    def _answer(self, key: K) -> V | DefedError:
        told: V | DefedError | None = None
        try:
            told = self._ask(key)
            return told
        except DefedError as error:
            told = error
            return error
        except Exception as error:
            log.error("asking for %s failed with %s", key, type(error).__name__)
            log.debug("asking for %s", key, exc_info=True)
            told = InternalFault(f"this explorer failed at it: {type(error).__name__}", "its maintainers should hear of it")
            return told
        finally:
            with self._lock:
                self._asked.pop(key, None)
                if told is not None:
                    until = self._clock() + (self._patience if isinstance(told, DefedError) else self._keep)
                    self._told[key] = (told, until)
                    self._told.move_to_end(key)
                    while len(self._told) > self._size:
                        self._told.popitem(last=False)

    def _fresh(self, key: K) -> V | DefedError | None:
        with self._lock:
            told, until = self._told.get(key, (None, -inf))
            return told if until > self._clock() else None
