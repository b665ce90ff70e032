"""What a node says while it works: one record a phase, with seconds, bytes and gas. Never a data value or a secret."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Sink = Callable[[dict[str, Any]], None]
MIN_SECONDS_BETWEEN_PROGRESS = 0.2


@dataclass
class PhaseRecord:
    """What the code inside a phase adds to its record."""

    emit: Sink
    facts: dict[str, Any]
    bytes: int = 0
    gas: int = 0
    _last: float = field(default=0.0, repr=False)

    def progress(self, done: int, total: int) -> None:
        """Tell how far a long phase is; thinned out so that a tight loop may call it."""
        moment = time.monotonic()
        if done < total and moment - self._last < MIN_SECONDS_BETWEEN_PROGRESS:
            return
        self._last = moment
        self.emit({**self.facts, "status": "progress", "done": done, "total": total})


class Reporter:
    """Sends records to a sink: {"at", "phase", "status": start|progress|done|failed|note, ...}."""

    def __init__(self, sink: Sink, **facts: Any) -> None:
        self._sink = sink
        self._facts = facts

    def emit(self, record: dict[str, Any]) -> None:
        self._sink({"at": round(time.time(), 3), **self._facts, **record})

    def note(self, message: str, **facts: Any) -> None:
        self.emit({"phase": "note", "status": "note", "message": message, **facts})

    @contextmanager
    def phase(self, name: str, **facts: Any) -> Iterator[PhaseRecord]:
        record = PhaseRecord(self.emit, {"phase": name, **facts})
        self.emit({**record.facts, "status": "start"})
        started = time.monotonic()
        status = "failed"
        try:
            yield record
            status = "done"
        finally:
            seconds = round(time.monotonic() - started, 4)
            self.emit({**record.facts, "status": status, "seconds": seconds, "bytes": record.bytes, "gas": record.gas})
