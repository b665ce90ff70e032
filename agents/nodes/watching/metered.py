"""The own IPFS node, with what goes in and comes out counted where it happens."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.ipfs.store import BlobStore, NodeIdentity
from defedbio.report import Reporter


class MeteredStore:
    """A BlobStore that tells a reporter how many bytes of blobs it handed over and got."""

    def __init__(self, store: BlobStore, report: Reporter) -> None:
        self._store, self._report = store, report

    def add(self, data: bytes) -> str:
        cid = self._store.add(data)
        self._report.traffic(sent=len(data))
        return cid

    def get(self, cid: str, max_bytes: int, timeout: float, sources: Sequence[str] = ()) -> bytes:
        data = self._store.get(cid, max_bytes, timeout, sources)
        self._report.traffic(received=len(data))
        return data

    def pin(self, cid: str, timeout: float = 60.0, sources: Sequence[str] = ()) -> None:
        self._store.pin(cid, timeout, sources)

    def unpin(self, cid: str) -> None:
        self._store.unpin(cid)

    def is_pinned(self, cid: str) -> bool:
        return self._store.is_pinned(cid)

    def pinned(self) -> list[str]:
        return self._store.pinned()

    def connect(self, multiaddr: str) -> None:
        self._store.connect(multiaddr)

    def reserve(self, multiaddrs: Sequence[str]) -> None:
        self._store.reserve(multiaddrs)

    def presence(self, cid: str, peer_id: str, timeout: float = 10.0) -> bool:
        return self._store.presence(cid, peer_id, timeout)

    def identity(self) -> NodeIdentity:
        return self._store.identity()

    def peers(self) -> list[str]:
        return self._store.peers()

    def collect_garbage(self) -> None:
        self._store.collect_garbage()
