"""What more rounds cost a node: a start with and without saved events, memory, deciding and polling, its journal."""

from __future__ import annotations

import gc
import multiprocessing
import resource
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.explorer import chain
from defedbio.chain.client import ChainClient
from defedbio.chain.events import fetch_events
from defedbio.chain.feed import EventFeed
from defedbio.chain.saved import EventsFile
from defedbio.crypto.merkle import keccak256
from defedbio.nodes.watching.telling import study_facts
from defedbio.protocol.catalogue import JSON, KEEP, KINDS, MODEL_BYTES, Filed
from defedbio.protocol.decide import Clock, Facts, Role, decide
from defedbio.protocol.effects.keeping import sizes_by_kind
from defedbio.protocol.following import Following
from defedbio.protocol.memory import Memory, open_journal
from defedbio.protocol.retention import Needed, depth, going
from defedbio.protocol.view import StudyView, fold

EFFECTS = ("commit", "reveal", "attest-set", "share", "model", "aggregate")  # of a holder that is a member; the last in its turn
TRANSACTION = {"raw": ["0x" + "ab" * 450], "data": "0x" + "cd" * 330, "hashes": ["0x" + "ef" * 32], "nonce": 0}
RECORD = {"cid": "bafkrei" + "a" * 52, "root": "ab" * 32, "proof": "cd" * 32, "set": "ef" * 32}
BLOB, VARIATE, MODEL = bytes(61_000), bytes(80_000), bytes(40_000)  # of 10^4 parameters
UNFORGOTTEN = 2  # rounds that are not deep enough yet
REPEAT, STARTS = 9, 3


def measure(folder: Path, sizes: list[int], members: int) -> dict[str, Any]:
    return {str(rounds): _measure(folder, rounds, members) for rounds in sizes}


def _measure(folder: Path, rounds: int, members: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=chain.serve, args=(rounds, members, 0.0, there), daemon=True)
    server.start()
    try:
        endpoint, count = here.recv()
        path = folder / f"events-{rounds}"
        read = _apart(_followed, endpoint, path, rounds)
        again = [_apart(_followed, endpoint, path, rounds) for _ in range(STARTS)]
        whole = EventFeed(ChainClient(endpoint, chain.network(endpoint))).poll().events
    finally:
        server.terminate()
        server.join()
    return {
        "events": count,
        "read_s": read["start_s"],
        "restart_s": min(each["start_s"] for each in again),
        "restart_bytes": again[0]["grown_bytes"],
        "read_bytes": read["grown_bytes"],
        "saved_bytes": path.stat().st_size if path.exists() else 0,
        **{name: again[0][name] for name in ("kept_bytes", "past_bytes")},
        **{name: min(each[name] for each in again) for name in ("decide_s", "poll_s", "tell_s")},
        **_journal(folder / f"journal-{rounds}.sqlite", fold(StudyView(1), whole)),
    }


class Forgotten:
    """In place of a node's memory: the rounds up to this number are forgotten."""

    def __init__(self, swept: int) -> None:
        self.swept = swept


def _apart(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """What this gives in a process of its own, whose memory holds nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _followed(endpoint: str, path: Path, rounds: int) -> dict[str, float]:
    """A start of a node that has forgotten all rounds but the last, and what it holds and does then."""
    network = chain.network(endpoint)

    def follow() -> Following:
        file = EventsFile(path, network, endpoint, 1)
        feed = EventFeed(ChainClient(endpoint, network), study=1, depth=depth(0), file=file)
        made = Following(feed, StudyView(1), chain.THRESHOLD, Forgotten(rounds - UNFORGOTTEN))  # type: ignore[arg-type]
        for _ in made.news():
            pass
        return made

    fetch_events(ChainClient(endpoint, network), 0, 1)  # what is read once a process, whatever the chain holds
    before, started = _resident(), time.process_time()
    following = follow()
    start, grown = time.process_time() - started, _resident() - before
    gc.collect()
    tracemalloc.start()
    held = follow()
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    past = held.study.past
    held._study = held._final = held.beginning
    gc.collect()
    rest = tracemalloc.get_traced_memory()[0]
    del past
    gc.collect()
    past_bytes = rest - tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    study = following.study
    role, clock = Role(chain.address(0), 0, 1, chain.THRESHOLD), Clock(time.time(), 1.0)
    return {
        "start_s": start,
        "grown_bytes": grown,
        "kept_bytes": kept,
        "past_bytes": past_bytes,
        "decide_s": _best(lambda: decide(role, study, Facts(adopted=True), clock)),
        "tell_s": _best(lambda: study_facts(study, role.address, None)),
        "poll_s": _best(following.feed.poll),
    }


def _resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _best(work: Callable[[], object]) -> float:
    return min(_seconds(work) for _ in range(REPEAT))


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
