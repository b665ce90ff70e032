"""Whether a study's agent runs on this machine, and where it serves its metrics."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from defedbio import foreign_json
from defedbio.config import private_folder
from defedbio.errors import InvalidInput

FILE = "agent.json"
MAX_BYTES = 4096


@dataclass(frozen=True)
class RunningAgent:
    """`metrics` is the URL of its metrics, empty without any; `started` in unix seconds."""

    pid: int
    started: float
    metrics: str


@contextmanager
def announced(folder: Path, metrics: str) -> Iterator[None]:
    """Keep a file (0600) in the study's folder while this process runs the agent.

    The process holds a lock on it, which ends with the process however that ends: a file without one is stale. The journal's own lock
    has kept a second agent out before.
    """
    path = folder / FILE
    private_folder(folder)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        document = {"pid": os.getpid(), "started": round(time.time(), 3), "metrics": metrics}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(document).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def running_agent(folder: Path) -> RunningAgent | None:
    """The agent that runs the study whose files are in `folder`; None if none does."""
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def _read(descriptor: int) -> RunningAgent | None:
    try:
        document = foreign_json.read_object(os.pread(descriptor, MAX_BYTES + 1, 0), FILE, MAX_BYTES)
        return RunningAgent(int(document["pid"]), float(document["started"]), str(document["metrics"]))
    except (InvalidInput, ValueError, KeyError, TypeError):
        return None
