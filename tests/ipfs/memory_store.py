"""A blob store in memory with the behaviour of the real one, for unit tests; tests/ipfs/test_store.py holds both to the same contract."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from defedbio.errors import BlobUnavailable, InvalidInput, MalformedBlob, StoreUnreachable, Unreachable
from defedbio.ipfs.cid import check_cid, cid_of, parse_cid
from defedbio.ipfs.store import NodeIdentity


@dataclass
class MemoryNetwork:
    """The nodes of one test, by peer id."""

    nodes: dict[str, MemoryStore] = field(default_factory=dict)


class MemoryStore:
    """One organisation's node. `running = False` stands for a dead one; `blobs[cid]` may be changed to stand for a lying one."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.network = network
        self.peer_id = "12D3KooW" + hashlib.sha256(name.encode()).hexdigest()[:44]
        self.running = True
        self.blobs: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.connected: set[str] = set()
        self.reserved: set[str] = set()
        network.nodes[self.peer_id] = self

    def add(self, data: bytes) -> str:
        self._check_running()
        cid = cid_of(data)
        self.blobs[cid] = bytes(data)
        self.pins.add(cid)
        return cid

    def get(self, cid: str, max_bytes: int, timeout: float, sources: Sequence[str] = ()) -> bytes:
        try:
            parse_cid(cid)
        except InvalidInput as error:
            raise MalformedBlob(error.message) from error
        self._check_running()
        data = self._find(cid, sources)
        if len(data) > max_bytes:
            raise MalformedBlob(f"{cid} is longer than the {max_bytes} bytes that it may have")
        check_cid(cid, data)
        return data

    def pin(self, cid: str, timeout: float = 60.0, sources: Sequence[str] = ()) -> None:
        parse_cid(cid)
        self._check_running()
        self.blobs[cid] = self._find(cid, sources)
        self.pins.add(cid)

    def unpin(self, cid: str) -> None:
        parse_cid(cid)
        self._check_running()
        self.pins.discard(cid)

    def is_pinned(self, cid: str) -> bool:
        parse_cid(cid)
        self._check_running()
        return cid in self.pins

    def pinned(self) -> list[str]:
        self._check_running()
        return list(self.pins)

    def connect(self, multiaddr: str) -> None:
        peer_id = multiaddr.rpartition("/p2p/")[2]
        if not multiaddr.startswith("/") or "/p2p/" not in multiaddr:
            raise InvalidInput(f"the multiaddress does not end in /p2p/<peer id>: {multiaddr}")
        self._check_running()
        peer = self.network.nodes.get(peer_id)
        if peer is None or not peer.running:
            raise Unreachable(f"no connection to {multiaddr}")
        self.connected.add(peer_id)
        peer.connected.add(self.peer_id)

    def reserve(self, multiaddrs: Sequence[str]) -> None:
        self._check_running()
        good = [address for address in multiaddrs if address.startswith("/") and "/p2p/" in address]
        self.reserved = {address.rpartition("/p2p/")[2] for address in good}
        if len(good) < len(multiaddrs):
            raise InvalidInput(f"not multiaddresses of nodes: {', '.join(set(multiaddrs) - set(good))}")

    def identity(self) -> NodeIdentity:
        self._check_running()
        return NodeIdentity(self.peer_id, (f"/memory/1/p2p/{self.peer_id}",), "memory/1")

    def peers(self) -> list[str]:
        self._check_running()
        return sorted(peer.peer_id for peer in self._peers())

    def presence(self, cid: str, peer_id: str, timeout: float = 10.0) -> bool:
        parse_cid(cid)
        self._check_running()
        peer = next((peer for peer in self._peers() if peer.peer_id == peer_id), None)
        if peer is None:
            raise Unreachable(f"{peer_id} did not say whether it has {cid}")
        return cid in peer.blobs

    def collect_garbage(self) -> None:
        self._check_running()
        self.blobs = {cid: data for cid, data in self.blobs.items() if cid in self.pins}

    def _peers(self) -> list[MemoryStore]:
        return [self.network.nodes[peer_id] for peer_id in self.connected.copy() if self.network.nodes[peer_id].running]

    def _find(self, cid: str, sources: Sequence[str]) -> bytes:
        order = {peer_id: place for place, peer_id in enumerate(sources)}
        strangers = self._peers()  # asked for once: another thread may connect meanwhile
        random.shuffle(strangers)
        for holder in [self, *sorted(strangers, key=lambda peer: order.get(peer.peer_id, len(order)))]:
            if cid in holder.blobs:
                self.blobs.setdefault(cid, holder.blobs[cid])
                return holder.blobs[cid]
        raise BlobUnavailable(f"no connected node delivered {cid} in time")

    def _check_running(self) -> None:
        if not self.running:
            raise StoreUnreachable("the IPFS node cannot be reached")
