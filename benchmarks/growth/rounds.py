"""What more rounds cost a node: reading all events again after a start, the view, polling, the transactions of its journal."""

from __future__ import annotations

import multiprocessing
import time
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.explorer import chain
from defedbio.chain.client import ChainClient
from defedbio.chain.feed import EventFeed
from defedbio.chain.snapshot import SnapshotFile
from defedbio.protocol.decide import Clock, Facts, Role, decide
from defedbio.protocol.journal import Journal
from defedbio.protocol.view import StudyView, fold

ENTRIES = 6  # transactions of a holder that is a member: commit, reveal, set, share, model, and in its turn a shared one
ENTRY = {"raw": ["0x" + "ab" * 450], "data": "0x" + "cd" * 330, "hashes": ["0x" + "ef" * 32]}
REPEAT = 9


def measure(folder: Path, sizes: list[int], members: int) -> dict[str, Any]:
    return {str(rounds): _measure(folder, rounds, members) for rounds in sizes}


def _measure(folder: Path, rounds: int, members: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=chain.serve, args=(rounds, members, 0.0, there), daemon=True)
    server.start()
    try:
        endpoint, count = here.recv()
        feed = EventFeed(ChainClient(endpoint, chain.network(endpoint)))
        started = time.process_time()
        events = feed.poll().events
        read = time.process_time() - started
        polled = [_seconds(feed.poll) for _ in range(REPEAT)]

        def started_again() -> EventFeed:
            network = chain.network(endpoint)
            return EventFeed(ChainClient(endpoint, network), study=1, saved=SnapshotFile(saved, network, endpoint, 1))

        saved = folder / f"events-{rounds}"
        started_again().poll()
        restarted = [_seconds(started_again().poll) for _ in range(REPEAT)]
    finally:
        server.terminate()
        server.join()
    started = time.process_time()
    fold(StudyView(1), events)
    folded = time.process_time() - started
    tracemalloc.start()
    view = fold(StudyView(1), events)
    view_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    role, clock = Role(chain.address(0), 0, 1, chain.THRESHOLD), Clock(time.time(), 1.0)
    decided = [_seconds(lambda: decide(role, view, Facts(adopted=True), clock)) for _ in range(REPEAT)]
    return {
        "events": count,
        "read_s": read,
        "fold_s": folded,
        "view_bytes": view_bytes,
        "decide_s": median(decided),
        "poll_s": median(polled),
        "restart_s": median(restarted),
        "saved_bytes": saved.stat().st_size if saved.exists() else 0,
        "journal_bytes": _journal(folder / f"journal-{rounds}", rounds),
    }


def _seconds(work: Any) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _journal(path: Path, rounds: int) -> int:
    """Bytes of a journal that keeps every transaction, which is what makes it grow; updates and aggregates go when a round ends."""
    journal = Journal(path)
    journal._db.execute("BEGIN")  # its size is measured, not its durability
    for number in range(rounds * ENTRIES):
        journal.put(f"round/{number // ENTRIES}/{number}", ENTRY)
    journal._db.execute("COMMIT")
    journal.close()
    return path.stat().st_size
