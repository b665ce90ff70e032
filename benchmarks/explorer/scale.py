"""The explorer at a consortium's full size: seconds to index its events, milliseconds a page, memory.

    PYTHONPATH=. python benchmarks/explorer/scale.py [--rounds 1000] [--members 100] [--delay 0.02]

The events come from an Ethereum endpoint in another process (chain.py) that answers every request after `--delay` seconds, and go through
the explorer's own client, index, background reading, pages and templates. What IPFS would deliver (the spec, metrics) is there already.
"first" is the first view, before anything that only this page needs was read; "again" the median of five more. Printed first: a tenth of
the rounds, to show what grows.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.explorer import chain
from defedbio.chain.client import ChainClient
from defedbio.chain.feed import EventFeed
from defedbio.crypto import threshold
from defedbio.explorer.index import Index
from defedbio.explorer.lookup import Lookup
from defedbio.explorer.lookups import Lookups
from defedbio.explorer.pages import Pages
from defedbio.explorer.render import Renderer
from defedbio.protocol.frame import StudyFrame
from defedbio.spec import StudySpec
from defedbio.web.paging import Numbers

VECTORS = Path(__file__).parents[2] / "tests" / "vectors" / "keys_3072.json"


@dataclass
class Connection:
    """Chain over HTTP; the study's spec and key are at hand."""

    client: ChainClient
    made: StudyFrame

    def frame(self, study: int) -> StudyFrame:
        return self.made


def frame(rounds: int, members: int) -> StudyFrame:
    seconds = dict.fromkeys(("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise"), 60)
    spec = {
        "format": "defedbio-study/1",
        "name": "scale",
        "task": {"kind": "binary", "target": "label"},
        "features": {"kind": "table", "columns": [{"name": f"f{i}", "min": 0, "max": 1} for i in range(50)]},
        "model": {"kind": "logistic"},
        "training": {"learning_rate": 0.3, "steps": 3, "batch_size": 8},
        "rounds": rounds,
        "quantisation": {"slot_bits": 48, "clip_norm": 5.0},
        "evaluation": {},
        "seed": 7,
        "key": {"epoch": 1, "modulus_bits": 3072},
        "participants": {"seats": members, "minimum": 3},
        "deadlines": seconds,
    }
    primes = json.loads(VECTORS.read_text("utf-8"))
    key, _ = threshold.deal_from_primes(int(primes["p"], 16), int(primes["q"], 16), chain.THRESHOLD, chain.HOLDERS, lambda n: b"\x07" * n)
    return StudyFrame(chain.CHAIN_ID, chain.ADDRESSES["RoundManager"], 1, StudySpec.from_bytes(json.dumps(spec).encode()), key)


def measure(rounds: int, members: int, delay: float) -> None:
    ours, theirs = multiprocessing.Pipe()
    node = multiprocessing.get_context("spawn").Process(target=chain.serve, args=(rounds, members, delay, theirs), daemon=True)
    node.start()
    endpoint, count = ours.recv()
    try:
        client = ChainClient(endpoint, chain.network(endpoint))
        index = Index(EventFeed(client))
        lookups = Lookups(Connection(client, frame(rounds, members)), index)  # type: ignore[arg-type]
        lookups._metrics = Lookup(lambda key: {"roc_auc": 0.9 - 0.1 / key[1]}, ThreadPoolExecutor(1), 20_000)
        indexed = seconds_of(index.poll)
        size = f"{rounds:,} x {members}"
        say(size, "index", f"{count:,} events, {indexed:.1f} s, then {1000 * seconds_of(index.poll):.0f} ms a poll", "")
        pages, renderer = Pages(index, lookups), Renderer(index)
        views: dict[str, Callable[[], Any]] = {
            "network": lambda: renderer.page("network", "", **pages.network()),
            "study": lambda: renderer.page("study", "", **pages.study(1)),
            "study, oldest rounds": lambda: renderer.page("study", "", **pages.study(1, Numbers({"rounds": "9999999"}))),
            "round": lambda: renderer.page("round", "", **pages.round(rounds // 2)),
            "organisation": lambda: renderer.page("address", "", **pages.address(chain.address(3))),
            "contract": lambda: renderer.page("address", "", **pages.address(chain.ADDRESSES["RoundManager"])),
            "key epoch": lambda: renderer.page("epoch", "", **pages.epoch(1)),
            "block": lambda: renderer.page("block", "", **pages.block(rounds)),
            "CID": lambda: renderer.page("cid", "", **pages.cid(chain.cid(rounds * 1000 + 3))),
            "search of a hash": lambda: pages.find("0x" + chain.value(2, rounds, 5).hex()),
        }
        firsts = {name: seconds_of(view) for name, view in views.items()}
        filled = seconds_of(lambda: [lookups.fill(study, view) for study in [index.study(1)] for view in study.rounds.values()])
        for name, view in views.items():
            say(size, name, f"{1000 * firsts[name]:.0f} ms", f"{1000 * statistics.median(seconds_of(view) for _ in range(5)):.0f} ms")
        say(size, "gas of every round, in the background", f"{filled:.0f} s", "")
        say(size, "peak memory", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB", "")
        lookups.stop()
    finally:
        node.kill()


def seconds_of(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def say(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that the endpoint takes for each answer")
    arguments = parser.parse_args()
    say("rounds x members", "what", "first", "again")
    say("---", "---", "---", "---")
    for rounds in (max(arguments.rounds // 10, 1), arguments.rounds):
        measure(rounds, arguments.members, arguments.delay)


if __name__ == "__main__":
    main()
