"""What a member's fetches lose while a crowd is at the door of the node that it fetches from.

    python -m benchmarks.transport.crowd [--hostile 1000] [--guests 40] [--megabytes 24] [--repeat 10] [--apart]

A member fetches a blob from another's node over a connection that stands, in quiet and under attack in turn. The crowd: `hostile`
connections from fifty addresses that never finish their handshake and are opened again a second after the node closes them, and `guests`
strangers that do finish it and come back when they are sent off. Both live on the same machine and take part of its time as well. Results
go to build/benchmarks/crowd.json, a Markdown table to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing as mp
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from defedbio.ipfs.kubo import KuboStore
from defedbio.ipfs.node import EmbeddedNode, find_node_binary

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "benchmarks" / "crowd.json"
STRANGER = ROOT / "tests" / "adversary" / "stranger.mjs"
ADDRESSES = 50
AGAIN_SECONDS = 1.0
FETCH_SECONDS = 300.0


async def _knock(port: int, address: str) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            while await reader.read(1000):
                pass
            writer.close()
        await asyncio.sleep(AGAIN_SECONDS)


async def _knocks(port: int, count: int, ready: Connection) -> None:
    knocks = [asyncio.create_task(_knock(port, f"127.9.0.{index % ADDRESSES + 1}")) for index in range(count)]
    await asyncio.sleep(AGAIN_SECONDS)
    ready.send(True)
    await asyncio.gather(*knocks)


def _run(port: int, count: int, ready: Connection, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    os.nice(19)  # their own work is to cost the node little: they would be on other machines
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_knocks(port, count, ready))


@contextmanager
def crowd(victim: EmbeddedNode, hostile: int, guests: int, core: int | None) -> Iterator[None]:
    address = victim.ready.multiaddrs[0]
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    knocking = context.Process(target=_run, args=(int(address.split("/")[4]), hostile, there, core), daemon=True)
    command = [
        *([] if core is None else ["taskset", "-c", str(core)]),
        "nice",
        "-n",
        "19",
        str(find_node_binary()),
        str(STRANGER),
        "--dial",
        address,
        "--crowd",
        str(guests),
    ]
    strangers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    knocking.start()
    try:
        assert strangers.stdout is not None
        strangers.stdout.readline()
        here.recv()
        yield
    finally:
        knocking.terminate()
        strangers.kill()
        strangers.communicate()
        knocking.join()


def fetched(there: KuboStore, here: KuboStore, size: int, source: str) -> float:
    """Seconds of one fetch, of a new blob: what was just sent is not sent again for five seconds."""
    cid = there.add(os.urandom(size))
    began = time.perf_counter()
    assert len(here.get(cid, size, FETCH_SECONDS, [source])) == size
    seconds = time.perf_counter() - began
    there.unpin(cid)
    for store in (there, here):
        store.collect_garbage()
    return seconds


def measure(hostile: int, guests: int, size: int, repeat: int, core: int | None) -> dict[str, list[float]]:
    results: dict[str, list[float]] = {"in quiet": [], "under attack": []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="defedbio-crowd-")))
        victim, member = (stack.enter_context(EmbeddedNode(folder / name)) for name in ("victim", "member"))
        there, here = (stack.enter_context(node.open_store()) for node in (victim, member))
        there.reserve([member.ready.multiaddrs[0]])
        here.reserve([victim.ready.multiaddrs[0]])
        here.connect(victim.ready.multiaddrs[0])
        source = victim.ready.peer_id
        fetched(there, here, size, source)
        for _ in range(repeat):
            results["in quiet"] += [fetched(there, here, size, source) for _ in range(3)]
            with crowd(victim, hostile, guests, core):
                results["under attack"] += [fetched(there, here, size, source) for _ in range(3)]
    return results


def rows(results: dict[str, list[float]], size: int) -> Iterator[str]:
    yield "| | s (least to most) | MB/s | slower |"
    yield "|---|---|---|---|"
    quiet = median(results["in quiet"])
    for name, seconds in results.items():
        middle = median(seconds)
        slower = f"{100 * (middle / quiet - 1):.0f} %" if name != "in quiet" else ""
        yield f"| {name} | {middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) | {size / middle / 1e6:.0f} | {slower} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transport.crowd", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hostile", type=int, default=1000, help="connections that never finish their handshake")
    parser.add_argument("--guests", type=int, default=40, help="strangers that do")
    parser.add_argument("--megabytes", type=float, default=24.0, help="size of the blob, in 10^6 bytes")
    parser.add_argument("--repeat", type=int, default=10, help="times that quiet and attack take turns, three fetches each")
    parser.add_argument("--apart", action="store_true", help="a core for the crowd alone, and the others for the nodes, quiet or not")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    size = int(arguments.megabytes * 1e6)
    cores = sorted(os.sched_getaffinity(0))
    if arguments.apart:
        os.sched_setaffinity(0, set(cores[:-1]))
    results = measure(arguments.hostile, arguments.guests, size, arguments.repeat, cores[-1] if arguments.apart else None)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"options": vars(arguments) | {"output": ""}, "seconds": results}, indent=1), "utf-8")
    print("\n".join(rows(results, size)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
