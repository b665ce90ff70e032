"""Blobs between embedded IPFS nodes: seconds, and bytes on the wire against the bytes wanted.

    python -m benchmarks.transport.bitswap [--sources 10] [--megabytes 6] [--at-once 4] [--repeat 3]

star: each source holds one blob; one more node fetches them all through KuboStore, so many at once.
mesh: every node holds one blob and fetches and pins everybody else's, all at the same time, as the organisations of a round do.
late: when all nodes hold everything, a newcomer fetches it all: everybody could send it every block.

Each runs twice: directly, for the seconds, and through proxies that count every byte of TCP payload (handshakes apart), for the overhead.
Results go to build/benchmarks/transport.json, a Markdown table to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.transport.proxy import CountingProxies
from defedbio.ipfs.cid import cid_of
from defedbio.ipfs.kubo import KuboStore
from defedbio.ipfs.node import EmbeddedNode

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "benchmarks" / "transport.json"
FETCH_SECONDS = 300.0
QUIET_SECONDS = 1.0


@dataclass(frozen=True)
class Site:
    """One organisation's node: its store, and the address at which the others dial it."""

    store: KuboStore
    address: str


@dataclass
class Swarm:
    sites: list[Site]
    count: Callable[[], int]

    def carried(self) -> int:
        """Bytes carried until now, once nothing moves any more."""
        before = self.count()
        while True:
            time.sleep(QUIET_SECONDS)
            after = self.count()
            if after == before:
                return after
            before = after


@contextmanager
def swarm(nodes: int, counted: bool) -> Iterator[Swarm]:
    """Embedded nodes, every one connected to every other."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="defedbio-transport-")))
        started = [EmbeddedNode(folder / str(index)) for index in range(nodes)]
        with ThreadPoolExecutor(nodes) as pool:
            ready = list(pool.map(EmbeddedNode.start, started))
        for node in started:
            stack.callback(node.stop)
        ports = [int(r.multiaddrs[0].split("/")[4]) for r in ready]
        proxies = stack.enter_context(CountingProxies(ports)) if counted else None
        shown = proxies.ports if proxies else ports
        sites = [
            Site(stack.enter_context(node.open_store()), f"/ip4/127.0.0.1/tcp/{port}/p2p/{r.peer_id}")
            for node, r, port in zip(started, ready, shown, strict=True)
        ]
        for index, site in enumerate(sites):
            for other in sites[:index]:
                site.store.connect(other.address)
        yield Swarm(sites, proxies.total if proxies else lambda: 0)


def fetch_all(site: Site, cids: Sequence[str], size: int, at_once: int, pin: bool = True) -> None:
    """Fetch and pin as a node of a round does."""

    def one(cid: str) -> None:
        data = site.store.get(cid, size, FETCH_SECONDS)
        assert len(data) == size
        if pin:
            site.store.pin(cid, FETCH_SECONDS)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, cids))


def measure(sources: int, size: int, at_once: int, counted: bool) -> dict[str, dict[str, float]]:
    results: dict[str, dict[str, float]] = {}
    with swarm(sources + 1, counted) as made:
        everyone, fetcher = made.sites[:sources], made.sites[sources]

        def timed(name: str, wanted: int, work: Callable[[], object]) -> None:
            before = made.carried()
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
            results[name] = {"seconds": seconds, "wanted": wanted, "carried": made.carried() - before}

        blobs = [os.urandom(size) for _ in everyone]
        cids = [site.store.add(blob) for site, blob in zip(everyone, blobs, strict=True)]
        timed("star", sources * size, lambda: fetch_all(fetcher, cids, size, at_once))
        fetcher.store.collect_garbage()
        for cid in cids:
            fetcher.store.unpin(cid)
        fetcher.store.collect_garbage()

        def mesh() -> None:
            with ThreadPoolExecutor(sources) as pool:
                others = [[cid for other, cid in enumerate(cids) if other != own] for own in range(sources)]
                list(pool.map(lambda pair: fetch_all(pair[0], pair[1], size, at_once), zip(everyone, others, strict=True)))

        timed("mesh", sources * (sources - 1) * size, mesh)
        timed("late", sources * size, lambda: fetch_all(fetcher, cids, size, at_once))
    assert [cid_of(blob) for blob in blobs] == cids
    return results


def rows(report: dict[str, Any]) -> Iterator[str]:
    yield "| | MB wanted | s (least to most) | MB/s | MB carried | overhead |"
    yield "|---|---|---|---|---|---|"
    for name, row in report["results"].items():
        seconds = row["seconds"]
        middle = median(seconds)
        yield (
            f"| {name} | {row['wanted'] / 1e6:.0f} | {middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) "
            f"| {row['wanted'] / middle / 1e6:.0f} | {row['carried'] / 1e6:.1f} | {100 * (row['carried'] / row['wanted'] - 1):.2f} % |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transport.bitswap", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sources", type=int, default=10, help="nodes that hold a blob each")
    parser.add_argument("--megabytes", type=float, default=6.0, help="size of a blob, in 10^6 bytes")
    parser.add_argument("--at-once", type=int, default=4, help="blobs that one node fetches at the same time (the agents': 4)")
    parser.add_argument("--repeat", type=int, default=3, help="direct runs for the seconds")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    size = int(arguments.megabytes * 1e6)
    counted = measure(arguments.sources, size, arguments.at_once, True)
    direct = [measure(arguments.sources, size, arguments.at_once, False) for _ in range(arguments.repeat)]
    report = {
        "options": {"sources": arguments.sources, "bytes": size, "at_once": arguments.at_once, "repeat": arguments.repeat},
        "results": {
            name: {"wanted": row["wanted"], "carried": row["carried"], "seconds": [run[name]["seconds"] for run in direct]}
            for name, row in counted.items()
        },
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1), "utf-8")
    print("\n".join(rows(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
