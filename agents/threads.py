"""Threads beside the main one: none dies in silence, and what must go on is begun again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from traceback import extract_tb

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pauses:
    """Seconds before work that died is begun again: `first`, then each time twice as long up to `longest`. Work that has lived for
    `longest` starts from `first` again."""

    first: float = 1.0
    longest: float = 60.0


def started(work: Callable[[], None], name: str) -> threading.Thread:
    """Do `work` once in a thread of its own; whoever needs its outcome sees for itself whether it is there. A death is logged."""
    thread = threading.Thread(target=_once, args=(work, name), name=name, daemon=True)
    thread.start()
    return thread


def kept_up(
    work: Callable[[], None],
    name: str,
    stopped: threading.Event,
    pauses: Pauses | None = None,
    told: Callable[[str], None] = lambda why: None,
) -> threading.Thread:
    """Do `work` in a thread of its own until it returns or `stopped` is set; `told` gets why it died, each time."""
    args = (work, name, stopped, pauses or Pauses(), told)
    thread = threading.Thread(target=_again_and_again, args=args, name=name, daemon=True)
    thread.start()
    return thread


def _again_and_again(work: Callable[[], None], name: str, stopped: threading.Event, pauses: Pauses, told: Callable[[str], None]) -> None:
    pause = pauses.first
    while not stopped.is_set():
        began = time.monotonic()
        why = _once(work, name)
        if not why:
            return
        if time.monotonic() - began >= pauses.longest:
            pause = pauses.first
        with suppress(Exception):  # whoever is told may be what is broken
            log.error("%s is begun again in %g s", name, pause)
            told(why)
        stopped.wait(pause)
        pause = min(2 * pause, pauses.longest)


def _once(work: Callable[[], None], name: str) -> str:
    """Why the work died, "" if it did not. Of the error its kind and place are told: its words may hold what must not be logged."""
    try:
        work()
    except Exception as error:
        last = extract_tb(error.__traceback__)[-1]
        why = f"{name} died of {type(error).__name__} at {PurePath(last.filename).name}:{last.lineno}"
        with suppress(Exception):
            log.error("%s", why)
            log.debug("%s", why, exc_info=True)
        return why
    return ""
