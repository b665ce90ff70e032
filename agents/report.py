"""What a node says while it works: one stream of records, with seconds, bytes and gas by phase. Never a data value or a secret."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from types import MappingProxyType
from typing import Any

Sink = Callable[[dict[str, Any]], None]
MIN_SECONDS_BETWEEN_PROGRESS = 0.2


@dataclass
class PhaseRecord:
    """What the code inside a phase adds to its record. `bytes` is the size of what it made or read; `received` and `sent` are what
    crossed to and from the own IPFS node meanwhile, counted by `Reporter.traffic`."""

    emit: Sink
    facts: dict[str, Any]
    bytes: int = 0
    gas: int = 0
    received: int = 0
    sent: int = 0
    _last: float = field(default=0.0, repr=False)

    def progress(self, done: int, total: int) -> None:
        """Tell how far a long phase is; thinned out so that a tight loop may call it."""
        moment = time.monotonic()
        if done < total and moment - self._last < MIN_SECONDS_BETWEEN_PROGRESS:
            return
        self._last = moment
        self.emit({**self.facts, "status": "progress", "done": done, "total": total})


@dataclass(frozen=True)
class _Work:
    """What the calling thread is at."""

    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    phase: PhaseRecord | None = None


class Reporter:
    """Sends records to a sink: {"at", "time", "level", "phase", "status": start|progress|done|failed|note|state, ...}.

    `at` is unix seconds and `time` the same in ISO 8601 (UTC). `facts`, and those of the work in hand (`within`, `phase`), stand in every
    record. Records of status `state` are for machines: what is so now, without anything having been said.
    """

    def __init__(self, sink: Sink, **facts: Any) -> None:
        self._sink = sink
        self._facts = facts
        self._context: ContextVar[_Work | None] = ContextVar("work", default=None)
        self._counting = Lock()

    @property
    def _work(self) -> _Work:
        return self._context.get() or _Work()

    def emit(self, record: dict[str, Any]) -> None:
        at = round(time.time(), 3)
        whole = {**self._facts, **self._work.facts, **record}
        shown = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._sink({"at": at, "time": shown, "level": _level(whole), **whole})

    def note(self, message: str, **facts: Any) -> None:
        phase = self._work.phase
        during = {} if phase is None else {"during": phase.facts["phase"]}
        self.emit({"phase": "note", "status": "note", "message": message, **during, **facts})

    def state(self, **facts: Any) -> None:
        self.emit({"phase": "state", "status": "state", **facts})

    def traffic(self, received: int = 0, sent: int = 0) -> None:
        """Count bytes from and to the own IPFS node for the phase in hand."""
        phase = self._work.phase
        if phase is None:
            self.state(received=received, sent=sent)
            return
        with self._counting:  # a phase may fetch in several threads
            phase.received += received
            phase.sent += sent

    @contextmanager
    def within(self, **facts: Any) -> Iterator[None]:
        """Give `facts` to every record of this thread meanwhile, those of lower layers too."""
        work = self._work
        token = self._context.set(_Work({**work.facts, **facts}, work.phase))
        try:
            yield
        finally:
            self._context.reset(token)

    @contextmanager
    def phase(self, name: str, **facts: Any) -> Iterator[PhaseRecord]:
        record = PhaseRecord(self.emit, {"phase": name, **facts})
        work = self._work
        self.emit({**record.facts, "status": "start"})
        started = time.monotonic()
        status = "failed"
        token = self._context.set(_Work({**work.facts, **facts}, record))
        try:
            yield record
            status = "done"
        finally:
            self._context.reset(token)
            seconds = round(time.monotonic() - started, 4)
            amounts = {"seconds": seconds, "bytes": record.bytes, "gas": record.gas, "received": record.received, "sent": record.sent}
            self.emit({**record.facts, "status": status, **amounts})


class Tee:
    """One sink that gives every record to several, in order."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def add(self, sink: Sink) -> None:
        self._sinks = (*self._sinks, sink)

    def __call__(self, record: dict[str, Any]) -> None:
        for sink in self._sinks:
            sink(record)


def _level(record: dict[str, Any]) -> str:
    """debug, info, warning or error, unless the record says. What names a peer tells of its fault or absence."""
    if record["status"] in ("progress", "state"):
        return "debug"
    return "warning" if record["status"] == "failed" or "peer" in record else "info"
