"""One contract for every blob store: the in-memory one of the unit tests, and KuboStore in front of the real embedded node."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from defedbio.errors import BlobUnavailable, InvalidInput, MalformedBlob, StoreUnreachable, Unreachable
from defedbio.ipfs.cid import cid_of
from defedbio.ipfs.kubo import KuboStore, Retry
from defedbio.ipfs.node import EmbeddedNode
from defedbio.ipfs.store import BlobStore
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

CHUNK = 262144


def reserved(store: BlobStore) -> set[str]:
    if isinstance(store, MemoryStore):
        return store.reserved
    assert isinstance(store, KuboStore)
    (answer,) = store._client._client.request("/swarm/peering/ls", decoder="json")
    return {peer["ID"] for peer in answer["Peers"]}


class Pair(Protocol):
    """Two organisations' nodes, connected. `kill` ends the second at once, `revive` starts it again over the same repository."""

    first: BlobStore
    second: BlobStore

    def kill(self) -> None: ...
    def revive(self) -> None: ...


class MemoryPair:
    def __init__(self) -> None:
        network = MemoryNetwork()
        self._first, self._second = MemoryStore(network, "first"), MemoryStore(network, "second")
        self.first: BlobStore = self._first
        self.second: BlobStore = self._second

    def kill(self) -> None:
        self._second.running = False

    def revive(self) -> None:
        self._second.running = True


class EmbeddedPair:
    def __init__(self, folder: Path) -> None:
        self.nodes = [EmbeddedNode(folder / "first"), EmbeddedNode(folder / "second")]
        try:
            self.first: BlobStore = KuboStore(self.nodes[0].start().rpc)
            self.second: BlobStore = self._open_second()
        except BaseException:
            self.stop()
            raise

    def _open_second(self) -> BlobStore:
        return KuboStore(self.nodes[1].start().rpc, retry=Retry(tries=3, first=0.01, longest=0.02))

    def kill(self) -> None:
        pid = self.nodes[1].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def revive(self) -> None:
        self.second = self._open_second()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


@pytest.fixture(scope="module", params=["memory", "embedded"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if request.param == "memory":
        memory = MemoryPair()
        memory.second.connect(memory.first.identity().multiaddrs[0])
        yield memory
        return
    embedded = EmbeddedPair(tmp_path_factory.mktemp("nodes"))
    try:
        embedded.second.connect(embedded.first.identity().multiaddrs[0])
        yield embedded
    finally:
        embedded.stop()


class TestBlobStore:
    @pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
    def test_bytes_come_back_as_they_went_in(self, pair: Pair, size: int) -> None:
        data = os.urandom(size)
        cid = pair.first.add(data)
        assert cid == cid_of(data)
        assert pair.first.get(cid, size, 5.0) == data
        assert pair.first.add(data) == cid

    def test_a_blob_reaches_a_connected_node(self, pair: Pair) -> None:
        data = os.urandom(5 * CHUNK)
        assert pair.second.get(pair.first.add(data), len(data), 10.0) == data
        back = os.urandom(100)
        assert pair.first.get(pair.second.add(back), 100, 10.0) == back

    def test_the_cap_is_exact(self, pair: Pair) -> None:
        """C3: sizes are capped."""
        data = os.urandom(2 * CHUNK)
        cid = pair.first.add(data)
        assert pair.second.get(cid, len(data), 10.0) == data
        with pytest.raises(MalformedBlob, match=f"longer than the {len(data) - 1} bytes"):
            pair.second.get(cid, len(data) - 1, 10.0)

    def test_an_unknown_blob_is_unavailable_in_time(self, pair: Pair) -> None:
        """C4: what cannot be had costs the time given, no more."""
        begin = time.monotonic()
        with pytest.raises(BlobUnavailable, match="no connected node delivered"):
            pair.first.get(cid_of(os.urandom(32)), 32, 0.5)
        assert time.monotonic() - begin < 3.0

    @pytest.mark.parametrize("text", ["", "Qm" + "a" * 44, "b" + "a" * 58, "../../etc/passwd"])
    def test_what_is_no_cid_of_ours_is_refused(self, pair: Pair, text: str) -> None:
        with pytest.raises(MalformedBlob, match="not a CID"):
            pair.first.get(text, 10, 1.0)
        for call in (pair.first.pin, pair.first.unpin, pair.first.is_pinned):
            with pytest.raises(InvalidInput, match="not a CID"):
                call(text)

    def test_all_pins_are_told_by_whoever_they_were_made(self, pair: Pair) -> None:
        small, large = pair.second.add(os.urandom(10)), pair.first.add(os.urandom(3 * CHUNK))
        pair.first.pin(small)
        before = set(pair.first.pinned())
        assert {small, large} <= before and all(pair.first.is_pinned(cid) for cid in before)
        pair.first.unpin(large)
        assert set(pair.first.pinned()) == before - {large}

    def test_pinned_blobs_survive_collection_and_others_do_not(self, pair: Pair) -> None:
        """C5: blobs are pinned while they are needed."""
        kept, dropped = os.urandom(3 * CHUNK), os.urandom(3 * CHUNK)
        kept_cid, dropped_cid = pair.first.add(kept), pair.first.add(dropped)
        assert pair.first.is_pinned(kept_cid)
        pair.first.unpin(dropped_cid)
        assert not pair.first.is_pinned(dropped_cid)
        pair.first.collect_garbage()
        assert pair.first.get(kept_cid, len(kept), 5.0) == kept
        with pytest.raises(BlobUnavailable):
            pair.first.get(dropped_cid, len(dropped), 0.3)

    def test_a_pin_fetches_and_keeps_anothers_blob(self, pair: Pair) -> None:
        """C5: every member pins."""
        data = os.urandom(2 * CHUNK)
        cid = pair.first.add(data)
        pair.second.pin(cid, 10.0)
        pair.second.pin(cid, 10.0)
        assert pair.second.is_pinned(cid)
        pair.first.unpin(cid)
        pair.first.collect_garbage()
        pair.second.collect_garbage()
        assert pair.first.get(cid, len(data), 10.0) == data, "the other node still has it"

    def test_what_was_only_fetched_is_not_pinned(self, pair: Pair) -> None:
        data = os.urandom(1000)
        cid = pair.first.add(data)
        pair.second.get(cid, 1000, 10.0)
        assert not pair.second.is_pinned(cid)

    def test_blobs_that_share_chunks_are_collected_apart(self, pair: Pair) -> None:
        shared = os.urandom(CHUNK)
        one, two = shared + os.urandom(9), shared + os.urandom(10)
        one_cid, two_cid = pair.first.add(one), pair.first.add(two)
        pair.first.unpin(two_cid)
        pair.first.collect_garbage()
        assert pair.first.get(one_cid, len(one), 5.0) == one

    def test_pinning_an_unknown_blob_is_unavailable(self, pair: Pair) -> None:
        cid = cid_of(os.urandom(32))
        with pytest.raises(BlobUnavailable):
            pair.first.pin(cid, 0.3)
        assert not pair.first.is_pinned(cid)

    @pytest.mark.parametrize("size", [100, CHUNK, 3 * CHUNK])
    def test_a_peer_says_whether_it_has_a_blob(self, pair: Pair, size: int) -> None:
        """Asked again at once it answers again, also after its answer changed and after a fetch."""
        data = os.urandom(size)
        cid, peer = cid_of(data), pair.second.identity().peer_id
        assert [pair.first.presence(cid, peer) for _ in range(2)] == [False, False]
        pair.second.add(data)
        assert [pair.first.presence(cid, peer) for _ in range(3)] == [True, True, True]
        assert pair.first.get(cid, size, 10.0) == data
        assert pair.first.presence(cid, peer)
        pair.second.unpin(cid)
        pair.second.collect_garbage()
        # Bitswap's answers carry no question: one to the last question, or to the fetch, may still have been on its way.
        assert not all(pair.first.presence(cid, peer) for _ in range(5))

    def test_asking_for_a_blob_fetches_nothing(self, pair: Pair) -> None:
        cid = pair.second.add(os.urandom(CHUNK))
        assert pair.first.presence(cid, pair.second.identity().peer_id)
        assert not pair.second.presence(cid_of(os.urandom(9)), pair.first.identity().peer_id)
        assert not pair.second.presence(cid, pair.first.identity().peer_id), "the first one has not got it by asking"

    def test_a_stranger_says_nothing(self, pair: Pair) -> None:
        cid = pair.first.add(b"known here")
        with pytest.raises(Unreachable, match="did not say whether it has"):
            pair.first.presence(cid, "12D3KooWD3f8rMKF2sYEn3xVi9HrHGAWhLAa6sA5ciL8Ji36sSbS", 1.0)

    def test_unpinning_what_is_not_pinned_does_nothing(self, pair: Pair) -> None:
        pair.first.unpin(cid_of(os.urandom(32)))

    def test_nodes_know_themselves_and_each_other(self, pair: Pair) -> None:
        """R1: a member's multiaddress is what others connect to."""
        first, second = pair.first.identity(), pair.second.identity()
        assert first.peer_id != second.peer_id
        assert first.multiaddrs
        assert all(address.endswith(f"/p2p/{first.peer_id}") for address in first.multiaddrs)
        pair.second.connect(first.multiaddrs[0])
        assert pair.second.peers() == [first.peer_id]
        assert pair.first.peers() == [second.peer_id]

    def test_places_are_kept_for_exactly_the_members(self, pair: Pair) -> None:
        first = pair.first.identity().multiaddrs[0]
        another = "/dns4/ipfs.example/tcp/4001/p2p/12D3KooWD3f8rMKF2sYEn3xVi9HrHGAWhLAa6sA5ciL8Ji36sSbS"
        pair.second.reserve([first, another])
        with pytest.raises(InvalidInput, match="no-address"):
            pair.second.reserve(["no-address", first])
        assert reserved(pair.second) == {first.rpartition("/p2p/")[2]}
        pair.second.reserve([])
        assert reserved(pair.second) == set()

    @pytest.mark.parametrize("address", ["", "127.0.0.1:4001", "/ip4/127.0.0.1/tcp/4001"])
    def test_an_address_without_a_peer_is_refused(self, pair: Pair, address: str) -> None:
        with pytest.raises(InvalidInput, match="multiaddress"):
            pair.first.connect(address)

    def test_a_peer_that_does_not_answer_is_unreachable(self, pair: Pair) -> None:
        nobody = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWD3f8rMKF2sYEn3xVi9HrHGAWhLAa6sA5ciL8Ji36sSbS"
        with pytest.raises(Unreachable, match="no connection to"):
            pair.first.connect(nobody)

    def test_a_dead_node_is_named_and_a_revived_one_has_lost_nothing(self, pair: Pair) -> None:
        """C4: loss of the IPFS node costs a retry with back-off, never an inconsistent state."""
        data = os.urandom(3 * CHUNK)
        cid = pair.second.add(data)
        before = pair.second.identity().peer_id
        pair.kill()
        for call in (lambda: pair.second.add(b"x"), lambda: pair.second.get(cid, len(data), 5.0), pair.second.peers):
            with pytest.raises(StoreUnreachable, match="cannot be reached"):
                call()
        pair.revive()
        assert pair.second.identity().peer_id == before
        pair.second.collect_garbage()
        assert pair.second.is_pinned(cid)
        assert pair.second.get(cid, len(data), 5.0) == data
        pair.second.connect(pair.first.identity().multiaddrs[0])
        assert pair.first.get(cid, len(data), 10.0) == data
