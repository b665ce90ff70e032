"""What pages need beyond the events: block times, gas, specs, metrics, blobs and who answers. Read once, then remembered."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from agents.chain.events import Event
from agents.crypto import wire
from agents.domain import Phase
from agents.errors import DefedError, InvalidInput, NotFound, Unreachable
from agents.explorer.index import Index
from agents.learning.evaluation_sums import summary
from agents.learning.tasks import open_task
from agents.nodes.connection import Connection
from agents.protocol.frame import StudyFrame
from agents.protocol.view import RoundView, StudyView

K = TypeVar("K")
V = TypeVar("V")
MAX_BLOB_BYTES = 256 << 20
BLOB_SECONDS = 15.0
REACH_SECONDS = 60.0


class Cache(Generic[K, V]):
    """The newest `size` results; an error is not remembered."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._known: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        value = make()
        with self._lock:
            self._known[key] = value
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return value

    def peek(self, key: K) -> V | None:
        with self._lock:
            return self._known.get(key)


@dataclass(frozen=True)
class Reach:
    """Whether an organisation's IPFS node answered when it was dialled, at unix time `at`."""

    ok: bool
    detail: str
    at: float


@dataclass(frozen=True)
class Blob:
    """A blob as it was fetched: its size, or why it could not be had or was refused."""

    size: int | None
    detail: str


class Facts:
    def __init__(self, connection: Connection, index: Index) -> None:
        self.connection, self.index = connection, index
        self._gas: Cache[bytes, int] = Cache(200_000)
        self._round_gas: Cache[int, int] = Cache(100_000)
        self._frames: Cache[int, StudyFrame] = Cache(64)
        self._metrics: Cache[int, dict[str, float | None]] = Cache(20_000)
        self._reach: dict[str, Reach] = {}

    def time_of(self, event: Event) -> int:
        """Unix seconds of the event's block."""
        return self.connection.client.block_by_hash(event.meta.block_hash).timestamp

    def gas_of_tx(self, tx_hash: bytes) -> int:
        def read() -> int:
            receipt = self.connection.client.receipt(tx_hash)
            if receipt is None:
                raise NotFound("the chain has no such transaction")
            return receipt.gas_used

        return self._gas.get(tx_hash, read)

    def gas_of_round(self, round_: int) -> int:
        """All gas that transactions of the round paid for."""
        events = self.index.tables.by_round.get(round_, [])
        return sum(self.gas_of_tx(tx) for tx in {e.meta.tx_hash for e in list(events)})

    def known_gas(self, round_: int) -> int | None:
        """As `gas_of_round` for an ended round, if it was read already."""
        return self._round_gas.peek(round_)

    def fill(self, study: StudyView, view: RoundView) -> bool:
        """Read an ended round's gas, and its metrics if it is final; whether anything is newly known. What cannot be had now stays open."""
        new = False
        if view.phase.ended and self._round_gas.peek(view.id) is None:
            with suppress(DefedError):
                self._round_gas.get(view.id, lambda: self.gas_of_round(view.id))
                new = True
        if view.phase == Phase.FINALISED and self._metrics.peek(view.id) is None:
            with suppress(DefedError):
                self.read_metrics(study, view)
                new = True
        return new

    def frame(self, study: int) -> StudyFrame:
        """The study's spec and key, checked against the chain.

        Raises:
            DefedError: if IPFS does not deliver them, or they are not those of the chain's hashes.
        """
        return self._frames.get(study, lambda: self.connection.frame(study))

    def update_bytes(self, study: int, view: RoundView) -> int:
        """Bytes of one organisation's update in this round."""
        frame = self.frame(study)
        count = frame.layout(view).ciphertexts(frame.values(view))
        return wire.blob_size(wire.BlobKind.UPDATE, frame.spec.modulus_bits, count)

    def known_metrics(self, round_: int) -> dict[str, float | None] | None:
        """The metrics of the model that the round started from, if they were read already."""
        return self._metrics.peek(round_)

    def read_metrics(self, study: StudyView, view: RoundView) -> None:
        """Fetch the round's model and remember what its encrypted evaluation says; nothing where the study has none.

        Raises:
            DefedError: if IPFS does not deliver the model.
        """
        frame = self.frame(study.id)
        if frame.spec.evaluation is None or frame.step(view).kind not in ("train", "evaluate"):
            self._metrics.get(view.id, dict)
            return
        state = self.connection.fetcher(frame).model(view)
        self._metrics.get(view.id, lambda: summary(frame.spec, state))

    def aim(self, study: int) -> str:
        """The metric that the study goes by."""
        return open_task(self.frame(study).spec).aim.metric

    def blob(self, cid: str) -> Blob:
        """Fetch a blob of at most 256 MiB that the chain names, and check its bytes against the CID."""
        owners = [getattr(e, name) for e in list(self.index.tables.by_cid.get(cid, [])) for name in _OWNERS if hasattr(e, name)]
        try:
            if owners:
                raw = self.connection.peers.fetch(cid, owners[0], MAX_BLOB_BYTES, BLOB_SECONDS)
            else:
                raw = self.connection.store.get(cid, MAX_BLOB_BYTES, BLOB_SECONDS)
        except DefedError as error:
            return Blob(None, error.message)
        return Blob(len(raw), "fetched; its bytes are those of the CID")

    def pinned_here(self, cid: str) -> bool | None:
        """Whether this explorer's own IPFS node pins the blob; None if the node does not answer."""
        try:
            return self.connection.store.is_pinned(cid)
        except DefedError:
            return None

    def reach(self, address: str) -> Reach | None:
        return self._reach.get(address)

    def dial(self, address: str) -> Reach:
        """Dial an organisation's registered IPFS node, at most once a minute."""
        known = self._reach.get(address)
        if known is not None and time.time() - known.at < REACH_SECONDS:
            return known
        profile = self.index.tables.profiles.get(address)
        try:
            if profile is None or not profile.multiaddr:
                found = Reach(False, "registered no address", time.time())
            elif self.connection.peers.own_peer_id in profile.multiaddr:
                found = Reach(True, "this explorer's own node", time.time())
            else:
                self.connection.store.connect(profile.multiaddr)
                found = Reach(True, "answers", time.time())
        except (Unreachable, InvalidInput) as error:
            found = Reach(False, error.message, time.time())
        except DefedError as error:
            found = Reach(False, f"unknown: {error.message}", time.time())
        self._reach[address] = found
        return found


_OWNERS = ("participant", "aggregator", "holder", "poster", "coordinator", "proposer")
