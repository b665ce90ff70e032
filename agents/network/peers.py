"""Blobs from the organisations that published them, whose nodes the registry names (R1)."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import Lock, Thread

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.errors import InvalidInput, NotFound, PeerFault, StoreUnreachable, Unreachable
from defedbio.ipfs.store import BlobStore
from defedbio.report import Reporter
from defedbio.threads import started

REDIAL_SECONDS = 30.0
REDIAL_LOST_SECONDS = 2.0
DIAL_PATIENCE = 1.0  # a dial that takes longer goes on while the blob is asked for
MEMBERS_SECONDS = 300.0
LONG_AGO = float("-inf")
MOST_SOURCES = 32
PEER_ID = re.compile(r"[0-9A-Za-z]{1,64}")


@dataclass
class Peers:
    """Dials organisations' IPFS nodes at the multiaddresses that the registry holds (R1), and never the own one; tells the own one whose
    nodes are members', for which it keeps places that nobody else can take."""

    registry: ParticipantRegistry
    store: BlobStore
    report: Reporter
    _addresses: dict[str, str] = field(default_factory=dict, repr=False)
    _dial_after: dict[str, float] = field(default_factory=dict, repr=False)
    _dials: dict[str, tuple[Thread, float]] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)
    _introduce_after: float = field(default=LONG_AGO, repr=False)

    @cached_property
    def own_peer_id(self) -> str:
        return self.store.identity().peer_id

    def connect(self, owner: str) -> None:
        """Dial unless done lately. A failure is only noted: the blob may come from another peer."""
        if self._due(owner):
            self._dial(owner)

    def fetch(self, cid: str, owner: str, max_bytes: int, seconds: float, others: Sequence[str] = ()) -> bytes:
        """Bytes of a CID that `owner` published, checked against the CID: from its node, else from those of `others`, who have the blob too
        by what the chain says, in this order, else from whoever is connected.

        Raises:
            BlobUnavailable: when no connected node delivers it in time.
            MalformedBlob, BlobMismatch: with the owner to blame.
        """
        self._introduce()
        holders = list(dict.fromkeys((owner, *others)))
        with self._lock:
            for holder in holders:
                if self._due(holder):
                    # Daemons: a dial to a dead node takes long, and no process is to wait for one at its end.
                    self._dials[holder] = started(partial(self._dial, holder), "dial"), time.monotonic() + DIAL_PATIENCE
            # Those too that a fetch beside this one began: whom nobody knows the address of, nobody asks.
            dials = [self._dials[holder] for holder in holders if holder in self._dials]
        for dial, patience in dials:
            dial.join(max(patience - time.monotonic(), 0.0))
        sources = [peer for holder in holders if (peer := peer_id_of(self._addresses.get(holder, "")))]
        try:
            return self.store.get(cid, max_bytes, seconds, sources[:MOST_SOURCES])
        except PeerFault as error:
            raise error.blame(owner) from None

    def _due(self, owner: str) -> bool:
        """Whether it is to be dialled now: `connect` and `fetch` of other threads then take it as done."""
        now = time.monotonic()
        if now < self._dial_after.get(owner, LONG_AGO):
            return False
        self._dial_after[owner] = now + REDIAL_SECONDS
        return True

    def _dial(self, owner: str) -> None:
        try:
            self._addresses[owner] = multiaddr = self.registry.profile_of(owner).multiaddr
            if multiaddr and self.own_peer_id not in multiaddr:
                self.store.connect(multiaddr)
        except (Unreachable, InvalidInput) as error:
            self._dial_after[owner] = time.monotonic() + REDIAL_LOST_SECONDS
            if not isinstance(error, StoreUnreachable):  # whoever asks the own node for the blob is told
                self.report.note(f"cannot dial the node of {owner}: {error.message}", peer=owner, retry="dial")

    def _introduce(self) -> None:
        """Tell the own node who is a member now."""
        now = time.monotonic()
        if now < self._introduce_after:
            return
        self._introduce_after = now + MEMBERS_SECONDS
        try:
            addresses = [self._registered(member) for member in self.registry.members()]
            self.store.reserve([address for address in addresses if address and self.own_peer_id not in address])
        except (Unreachable, InvalidInput) as error:
            self.report.note(f"the IPFS node was not told of every member: {error.message}", retry="dial")

    def _registered(self, member: str) -> str:
        try:
            return self.registry.profile_of(member).multiaddr
        except NotFound:
            return ""


def peer_id_of(multiaddr: str) -> str:
    """The peer id at the end of a multiaddress; empty for one that names none, and for what is none: it is its owner's word."""
    found = multiaddr.rpartition("/p2p/")[2]
    return found if PEER_ID.fullmatch(found) else ""
