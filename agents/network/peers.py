"""Blobs from the organisations that published them, whose nodes the registry names (R1)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.errors import InvalidInput, PeerFault, StoreUnreachable, Unreachable
from defedbio.ipfs.store import BlobStore
from defedbio.report import Reporter

REDIAL_SECONDS = 30.0


@dataclass
class Peers:
    """Dials organisations' IPFS nodes at the multiaddresses that the registry holds (R1), and never the own one."""

    registry: ParticipantRegistry
    store: BlobStore
    report: Reporter
    _dialled: dict[str, float] = field(default_factory=dict, repr=False)

    @cached_property
    def own_peer_id(self) -> str:
        return self.store.identity().peer_id

    def connect(self, owner: str) -> None:
        """Dial unless done lately. A failure is only noted: the blob may come from another peer."""
        if time.monotonic() - self._dialled.get(owner, float("-inf")) < REDIAL_SECONDS:
            return
        try:
            multiaddr = self.registry.profile_of(owner).multiaddr
            if multiaddr and self.own_peer_id not in multiaddr:
                self.store.connect(multiaddr)
            self._dialled[owner] = time.monotonic()
        except StoreUnreachable:
            raise
        except (Unreachable, InvalidInput) as error:
            self.report.note(f"cannot dial the node of {owner}: {error.message}", peer=owner, retry="dial")

    def fetch(self, cid: str, owner: str, max_bytes: int, seconds: float) -> bytes:
        """Bytes of a CID that `owner` published, checked against the CID.

        Raises:
            BlobUnavailable: when no connected node delivers it in time.
            MalformedBlob, BlobMismatch: with the owner to blame.
        """
        self.connect(owner)
        try:
            return self.store.get(cid, max_bytes, seconds)
        except PeerFault as error:
            raise error.blame(owner) from None
