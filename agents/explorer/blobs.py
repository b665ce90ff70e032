"""Blobs and the nodes that should have them: fetched and checked, dialled, asked. Every answer is given aside and soon asked for again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from defedbio.chain import events as ev
from defedbio.errors import DefedError, InvalidInput, Unreachable
from defedbio.explorer.index import Index
from defedbio.explorer.lookup import Lookup
from defedbio.explorer.tables import Tables
from defedbio.protocol.reading import Reader

MAX_BLOB_BYTES = 256 << 20
BLOB_SECONDS = 15.0
MOST_DIALLED = 4
REACH_SECONDS = 60.0
AGAIN_SECONDS = 5.0
_PUBLISHED: dict[type[ev.Event], str] = {
    ev.ParticipantRegistered: "published it",
    ev.KeyEpochProposed: "published the key's transcript",
    ev.StudyOpened: "published the spec",
    ev.UpdateRevealed: "published the update",
    ev.AggregatePosted: "posted the product",
    ev.ShareReleased: "released the share",
    ev.OpeningPartPosted: "combined a part of the opening",
    ev.OpeningPosted: "posted the opening",
    ev.ModelAttested: "attested to the model",
}


@dataclass(frozen=True)
class Answer:
    """What was found out: yes, no, or None for not known; in words; `size` in bytes where a blob was had."""

    ok: bool | None
    detail: str
    size: int | None = None


class Blobs:
    """`checks` by CID: the bytes are those of the CID. `reach` by address: its node answers. `presence` by (CID, address): its node has
    the blob; `pins` by CID: this explorer's own node keeps it."""

    def __init__(self, connection: Reader, index: Index) -> None:
        self._connection, self._index = connection, index
        # One blob at a time, since it is checked in memory.
        fetching, asking = ThreadPoolExecutor(1, "blob"), ThreadPoolExecutor(8, "ask")
        self._pools = (fetching, asking)
        self.checks: Lookup[str, Answer] = Lookup(self._check, fetching, 100, keep=AGAIN_SECONDS)
        self.reach: Lookup[str, Answer] = Lookup(self._dial, asking, 1000, keep=REACH_SECONDS)
        self.presence: Lookup[tuple[str, str], Answer] = Lookup(self._has, asking, 1000, keep=AGAIN_SECONDS)
        self.pins: Lookup[str, Answer] = Lookup(self._pinned, asking, 1000, keep=AGAIN_SECONDS)

    def stop(self) -> None:
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, cid: str) -> Answer:
        """Fetch a blob of at most 256 MiB from whoever published it; the store compares its bytes with the CID."""
        with self._index.read() as tables:
            owners = [who for event in tables.by_cid.get(cid, ()) if (who := publisher(event)[0]) in tables.admitted]
        try:
            for who in list(dict.fromkeys(owners))[:MOST_DIALLED]:
                self._connection.peers.connect(who)
            raw = self._connection.store.get(cid, MAX_BLOB_BYTES, BLOB_SECONDS)
        except DefedError as error:
            return Answer(False, f"not verified: {error.message}")
        return Answer(True, "verified: its bytes are those of the CID", len(raw))

    def _dial(self, address: str) -> Answer:
        with self._index.read() as tables:
            profile, admitted = tables.profiles.get(address), address in tables.admitted
        # INVARIANT: only who was once voted in can make this node dial somewhere.
        if not admitted:
            return Answer(None, "not a member: not dialled")
        if profile is None or not profile.multiaddr:
            return Answer(False, "registered no address")
        try:
            if self._is_own(profile.multiaddr):
                return Answer(True, "this explorer's own node")
            self._connection.store.connect(profile.multiaddr)
        except (Unreachable, InvalidInput) as error:
            return Answer(False, error.message)
        except DefedError as error:
            return Answer(None, error.message)
        return Answer(True, "answers")

    def _has(self, key: tuple[str, str]) -> Answer:
        cid, address = key
        reached = self._dial(address)
        if not reached.ok:
            return Answer(None, f"not known: {reached.detail}")
        with self._index.read() as tables:
            multiaddr = tables.profiles[address].multiaddr
        store = self._connection.store
        try:
            if self._is_own(multiaddr):
                pins = store.is_pinned(cid)
                return Answer(pins, "pins it" if pins else "does not pin it")
            has = store.presence(cid, multiaddr.rpartition("/p2p/")[2])
        except DefedError as error:
            return Answer(None, f"not known: {error.message}")
        return Answer(has, "has it" if has else "does not have it")

    def _pinned(self, cid: str) -> Answer:
        """Not pinning is no fault in itself: this organisation may have no part in it."""
        try:
            pins = self._connection.store.is_pinned(cid)
        except DefedError as error:
            return Answer(None, f"not known: {error.message}")
        return Answer(True, "pins it") if pins else Answer(None, "does not pin it")

    def _is_own(self, multiaddr: str) -> bool:
        return multiaddr.endswith(f"/p2p/{self._connection.peers.own_peer_id}")


def publisher(event: ev.Event) -> tuple[str, str]:
    """Who put an event's blob on IPFS, and in words; ("", "") if that cannot be said."""
    words = _PUBLISHED.get(type(event), "")
    return (event.actor, words) if words else ("", "")


def keepers(tables: Tables, cid: str) -> dict[str, str]:
    """Who should have the blob (C5), and why: its publishers, the key holders for updates, and every participant for models."""
    found: dict[str, str] = {}
    for event in tables.by_cid.get(cid, ()):
        who, words = publisher(event)
        if who:
            found.setdefault(who, words)
    for event in tables.by_cid.get(cid, ()):
        within = tables.round(int(getattr(event, "round", 0)))
        if within and isinstance(event, ev.UpdateRevealed):
            for holder in tables.holders(within[0]):
                found.setdefault(holder, "key holder: keeps every update")
        if within and isinstance(event, ev.RoundFinalised):
            for who in within[0].participants:
                found.setdefault(who, "participant: keeps the models it adopts")
    return found
