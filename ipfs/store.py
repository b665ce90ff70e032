"""The port through which the product stores and fetches blobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from defedbio.errors import InvalidInput


@dataclass(frozen=True)
class NodeIdentity:
    """Who a node is: its libp2p peer id and the multiaddresses, each ending in /p2p/<peer id>, at which others reach it."""

    peer_id: str
    multiaddrs: tuple[str, ...]
    agent_version: str

    def __post_init__(self) -> None:
        if not self.peer_id:
            raise InvalidInput("a node identity needs a peer id")
        for address in self.multiaddrs:
            if not address.endswith(f"/p2p/{self.peer_id}"):
                raise InvalidInput(f"the address {address} does not end in /p2p/{self.peer_id}")


class BlobStore(Protocol):
    """Content-addressed blobs behind the organisation's own IPFS node.

    Every method raises StoreUnreachable when that node does not answer after a bounded number of tries.
    """

    def add(self, data: bytes) -> str:
        """Stores and pins `data`; returns its CIDv1 in base32 (see defedbio.ipfs.cid). Adding the same bytes again gives the same CID."""
        ...

    def get(self, cid: str, max_bytes: int, timeout: float, sources: Sequence[str] = ()) -> bytes:
        """Fetches a blob of at most `max_bytes` bytes within about `timeout` seconds, from this node or a connected one, unpinned.

        `sources` are the peer ids of those to ask first, in this order; members are asked before strangers. Kubo asks all alike.
        The bytes are checked against the CID before they are returned: MalformedBlob (not a CID of ours, or longer than the cap),
        BlobMismatch (other bytes than the CID's), BlobUnavailable (not delivered whole in time).
        """
        ...

    def pin(self, cid: str, timeout: float = 60.0, sources: Sequence[str] = ()) -> None:
        """Keeps a blob, fetching it first if need be, from `sources` like `get`. Twice is once.

        Raises BlobUnavailable when it does not come in time.
        """
        ...

    def unpin(self, cid: str) -> None:
        """Lets the next collection delete a blob; nothing happens when it is not pinned."""
        ...

    def is_pinned(self, cid: str) -> bool: ...

    def pinned(self) -> list[str]:
        """CIDs of all blobs pinned here, by whoever uses the node, in no order; pins of what cannot be a blob of ours are left out."""
        ...

    def connect(self, multiaddr: str) -> None:
        """Connects to another node (.../p2p/<peer id>): InvalidInput for a bad address, Unreachable when it does not answer."""
        ...

    def reserve(self, multiaddrs: Sequence[str]) -> None:
        """Keeps places for exactly these nodes (.../p2p/<peer id>), the members', whoever else connects; again, after a restart too.

        Raises InvalidInput for an address that is none, once the others have their places.
        """
        ...

    def identity(self) -> NodeIdentity: ...

    def peers(self) -> list[str]:
        """Peer ids of the nodes connected now, each once, sorted."""
        ...

    def presence(self, cid: str, peer_id: str, timeout: float = 10.0) -> bool:
        """Whether a connected node says that it has the blob's first block, all of a blob of at most 256 KiB. Nothing is fetched.

        Raises Unreachable when it is not connected or does not say in time, or when the own node has no way to ask (Kubo's RPC has none).
        """
        ...

    def collect_garbage(self) -> None:
        """Deletes every blob that is not pinned from this node."""
        ...
