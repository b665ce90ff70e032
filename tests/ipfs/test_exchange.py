"""Blocks between nodes: each comes once, from one peer, and from the next when that one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.transport.proxy import CountingProxies
from defedbio.errors import BlobUnavailable
from defedbio.ipfs.cid import cid_of
from defedbio.ipfs.kubo import KuboStore
from defedbio.ipfs.node import EmbeddedNode, find_node_binary

BLOB = 3_000_000
SECONDS = 60.0


class Swarm:
    """Nodes whose connections all go through proxies that count; every one is connected to every other."""

    def __init__(self, stack: ExitStack, folder: Path, count: int) -> None:
        self.nodes = [EmbeddedNode(folder / str(index)) for index in range(count)]
        for node in self.nodes:
            stack.callback(node.stop)
        with ThreadPoolExecutor(count) as pool:
            ready = list(pool.map(EmbeddedNode.start, self.nodes))
        self.proxies = stack.enter_context(CountingProxies([int(r.multiaddrs[0].split("/")[4]) for r in ready]))
        self.stores: list[KuboStore] = [stack.enter_context(node.open_store()) for node in self.nodes]
        for index, store in enumerate(self.stores):
            for r, port in list(zip(ready, self.proxies.ports, strict=True))[:index]:
                store.connect(f"/ip4/127.0.0.1/tcp/{port}/p2p/{r.peer_id}")

    def carried(self, work: Callable[[], object]) -> int:
        """Bytes between nodes until `work` is done and all is quiet."""
        before = self._quiet()
        work()
        return self._quiet() - before

    def _quiet(self) -> int:
        last = -1
        while last != (now := self.proxies.total()):
            last = now
            time.sleep(0.5)  # what would come late, of its own accord, has no event to wait for
        return now


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with ExitStack() as stack:
        yield Swarm(stack, tmp_path_factory.mktemp("swarm"), 4)


@contextmanager
def paused(nodes: Sequence[EmbeddedNode]) -> Iterator[None]:
    pids = [node.pid for node in nodes if node.pid is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def fetch(store: KuboStore, cids: list[str]) -> list[bytes]:
    with ThreadPoolExecutor(len(cids)) as pool:
        found = list(pool.map(lambda cid: store.get(cid, BLOB, SECONDS), cids))
        list(pool.map(store.pin, cids))
    return found


def test_threads_share_a_store_and_each_block_comes_once(swarm: Swarm) -> None:
    """More than a stream may hold unread is asked of one node at a time, by many threads of the other's one store."""
    blobs = [os.urandom(BLOB) for _ in range(8)]
    source, *others = swarm.stores
    with ThreadPoolExecutor(8) as pool:
        cids = list(pool.map(source.add, blobs))
    assert swarm.carried(lambda: _check(fetch(others[0], cids) == blobs)) < 1.02 * BLOB * 8
    # Two nodes could send it now, and the third asks both.
    assert swarm.carried(lambda: _check(fetch(others[1], cids) == blobs)) < 1.02 * BLOB * 8


def test_organisations_that_fetch_the_same_at_once_get_it_once_each(swarm: Swarm) -> None:
    blobs = [os.urandom(BLOB) for _ in swarm.stores]
    cids = [store.add(blob) for store, blob in zip(swarm.stores, blobs, strict=True)]

    def everybody() -> None:
        with ThreadPoolExecutor(len(swarm.stores)) as pool:
            _check(list(pool.map(lambda store: fetch(store, cids), swarm.stores)) == [blobs] * len(blobs))

    assert swarm.carried(everybody) < 1.02 * BLOB * len(blobs) * (len(blobs) - 1)


def test_who_has_only_the_beginning_does_not_say_that_it_has_a_blob(swarm: Swarm) -> None:
    source, partial, fetcher, _ = swarm.stores
    cid = source.add(blob := os.urandom(BLOB))
    root = partial._client.block.get(cid)
    assert partial._client.block.stat(cid).as_json()["Size"] == len(root) < 1000
    name = partial.identity().peer_id
    assert not fetcher.presence(cid, name)
    partial.pin(cid)
    assert fetcher.presence(cid, name)
    assert fetcher.get(cid, BLOB, SECONDS) == blob


def test_a_collection_amid_a_fetch_leaves_the_pin_whole(swarm: Swarm) -> None:
    source, store, *_ = swarm.stores
    done = threading.Event()

    def collect() -> None:
        while not done.is_set():
            store.collect_garbage()

    with ThreadPoolExecutor(1) as pool:
        collector = pool.submit(collect)
        try:
            blobs = [os.urandom(BLOB) for _ in range(4)]
            cids = [source.add(blob) for blob in blobs]
            for cid in cids:
                store.pin(cid)
        finally:
            done.set()
        collector.result()
    with paused([node for node in swarm.nodes if node is not swarm.nodes[1]]):
        assert [store.get(cid, BLOB, SECONDS) for cid in cids] == blobs


def test_a_fetch_that_begins_before_the_blob_is_there_is_served_when_it_comes(swarm: Swarm) -> None:
    source, store, *_ = swarm.stores
    blob = os.urandom(BLOB)
    with pytest.raises(BlobUnavailable):
        store.get(cid_of(blob), BLOB, 0.5)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.get, cid_of(blob), BLOB, SECONDS)
        source.add(blob)
        assert waiting.result() == blob


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_when_the_one_that_sends_dies_or_falls_silent_another_goes_on(swarm: Swarm, number: signal.Signals) -> None:
    """Last here: it ends a node."""
    *sources, fetcher = swarm.stores
    alive = [index for index in range(len(sources)) if swarm.nodes[index].running()]
    blob = os.urandom(8 * BLOB)
    (cid,) = {sources[index].add(blob) for index in alive}
    before = swarm.proxies.by_target()
    with ThreadPoolExecutor(1) as pool:
        fetched = pool.submit(fetcher.get, cid, len(blob), SECONDS)
        while not (sending := [i for i in alive if swarm.proxies.by_target()[i] > before[i] + BLOB]):
            assert not fetched.done()
            time.sleep(0.001)
        pid = swarm.nodes[sending[0]].pid
        assert pid is not None
        os.kill(pid, number)
        try:
            assert fetched.result() == blob
        finally:
            if number == signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("name", ["exchange_race.mjs", "gate_rules.mjs"])
def test_the_parts_alone(name: str) -> None:
    """What is said to a peer keeps its order: two nodes that dial each other at once have two connections, and a question asked anew must
    not take back the block asked for since. Who is let in."""
    script = Path(__file__).with_name(name)
    run = subprocess.run([str(find_node_binary()), "--test", "--test-force-exit", str(script)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]


def _check(condition: bool) -> None:
    assert condition
