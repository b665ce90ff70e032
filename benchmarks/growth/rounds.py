"""What more rounds cost a node: reading all events again after a start, the view, polling, its journal."""

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
from defedbio.chain.saved import EventsFile
from defedbio.crypto.merkle import keccak256
from defedbio.protocol.catalogue import JSON, KEEP, KINDS, MODEL_BYTES, Filed
from defedbio.protocol.decide import Clock, Facts, Role, decide
from defedbio.protocol.effects.keeping import sizes_by_kind
from defedbio.protocol.memory import Memory, open_journal
from defedbio.protocol.retention import Needed, depth, going
from defedbio.protocol.view import StudyView, fold

EFFECTS = ("commit", "reveal", "attest-set", "share", "model", "aggregate")  # of a holder that is a member; the last in its turn
TRANSACTION = {"raw": ["0x" + "ab" * 450], "data": "0x" + "cd" * 330, "hashes": ["0x" + "ef" * 32], "nonce": 0}
RECORD = {"cid": "bafkrei" + "a" * 52, "root": "ab" * 32, "proof": "cd" * 32, "set": "ef" * 32}
BLOB, VARIATE, MODEL = bytes(61_000), bytes(80_000), bytes(40_000)  # of 10^4 parameters
UNFORGOTTEN = 2  # rounds that are not deep enough yet
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

        def start_again() -> None:
            network = chain.network(endpoint)
            again = EventFeed(ChainClient(endpoint, network), study=1, depth=depth(0), file=EventsFile(saved, network, endpoint, 1))
            while again.poll().behind:
                pass

        saved = folder / f"events-{rounds}"
        start_again()
        restarted = [_seconds(start_again) for _ in range(REPEAT)]
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
        **_journal(folder / f"journal-{rounds}.sqlite", view),
    }


def _seconds(work: Any) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _journal(path: Path, study: StudyView) -> dict[str, float]:
    """A key holder that is a member of a SCAFFOLD study writes an entry of every kind and its transactions in each round, and forgets the
    rounds as a node does: the bytes of its journal at its largest and in the end, and CPU seconds to forget a round then."""
    journal = open_journal(path)
    journal._db.execute("PRAGMA synchronous=OFF")  # its size is measured, not its durability
    memory, largest, forgotten = Memory(journal), 0, 0.0
    of_rounds = [kind for kind in KINDS if kind.filed in (Filed.ROUND, Filed.START, Filed.SET)]
    for number, view in sorted(study.rounds.items()):
        for kind in of_rounds:
            json = kind.codec is JSON
            memory.put(kind, view, RECORD if json else VARIATE if kind is KEEP else BLOB, "control" if kind.parts else "")
        memory.put(MODEL_BYTES, None, MODEL, keccak256(str(number).encode()).hex())
        for effect in EFFECTS:
            journal.put(f"round/{number}/{effect}/{'ab' * 32}", TRANSACTION)
        largest = max(largest, path.stat().st_size)
        through = number - UNFORGOTTEN
        if through > 0:
            needed = Needed(chain.address(0), {keccak256(str(n).encode()).hex() for n in range(through, number + 1)}, (), (), False)
            started = time.process_time()
            memory.forget(through, through)
            memory.drop(list(going(study, memory.sizes(), through, needed)))
            forgotten = time.process_time() - started
    sizes = sizes_by_kind(memory.sizes())
    running = sum(sizes[kind.name] for kind in (*of_rounds, MODEL_BYTES) if kind.codec is not JSON)
    journal.close()
    return {"journal_bytes": path.stat().st_size, "journal_most": largest, "journal_blobs": running, "forget_s": forgotten}
