"""Slices that misbehave on a cluster's worker and not in the process that sent them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defedbio.compute.slices import Executor


@dataclass(frozen=True)
class KillsOnce:
    """The first worker that runs it dies of SIGKILL."""

    marker: Path
    function: Callable[[Any], Any]

    def __call__(self, part: Any) -> Any:
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return self.function(part)
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class FailsElsewhere:
    """Another process than its maker's fails, with a text that must not be repeated."""

    function: Callable[[Any], Any]
    home: int = field(default_factory=os.getpid)

    def __call__(self, part: Any) -> Any:
        if os.getpid() != self.home:
            raise RuntimeError(f"what it holds: {part.exponent}")
        return self.function(part)


@dataclass(frozen=True)
class HangsElsewhere:
    """Another process than its maker's writes to a pipe, and never ends."""

    pipe: Path
    function: Callable[[Any], Any]
    home: int = field(default_factory=os.getpid)

    def __call__(self, part: Any) -> Any:
        if os.getpid() != self.home:
            self.pipe.write_bytes(b"x")
            threading.Event().wait()
        return self.function(part)


@dataclass
class With:
    """An executor that runs every slice by way of `wrapper`."""

    executor: Executor
    wrapper: Callable[[Callable[[Any], Any]], Callable[[Any], Any]]

    def map(self, function: Callable[[Any], Any], work: Iterable[Any], /) -> Iterator[Any]:
        return self.executor.map(self.wrapper(function), work)
