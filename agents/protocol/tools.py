"""What an organisation's node acts with: the chain, its store, its memory and its secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from defedbio.chain.records import Receipt, Transaction
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import FixedBaseTable
from defedbio.crypto.threshold import KeyShare
from defedbio.errors import InternalFault
from defedbio.ipfs.cid import cid_of
from defedbio.ipfs.store import BlobStore
from defedbio.learning.state import GlobalState, genesis
from defedbio.network.sending import Sends, send
from defedbio.protocol.catalogue import KEEP, MODEL_BYTES
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.memory import Memory
from defedbio.protocol.past import PastRound
from defedbio.protocol.retention import counted
from defedbio.protocol.view import RoundView, StudyView
from defedbio.report import Reporter

if TYPE_CHECKING:
    from defedbio.learning.data.port import Dataset
    from defedbio.learning.models import Installed


class TellsPins(Protocol):
    """Whether it is known of a study which blobs it keeps, so that no other study's end unpins them."""

    def told(self) -> bool: ...

    def tell(self, cids: Iterable[str]) -> None: ...


def _no_recall(past: PastRound) -> RoundView:
    raise InternalFault(f"round {past.id} is past, and nothing here reads its details again")


@dataclass
class Tools:
    """`dataset` and `share` are None where the node has none. `agreed` are the CIDs of spec and key transcript. Where other studies use the
    IPFS node as well, `claims` is where this one says what it keeps, and `store` unpins nothing that another does. `recall` reads a past
    round with its details from the chain. `arithmetic` computes lists of powers. `updates` caches the ciphertexts of the round at hand by
    (round, its start, name of the reveal), `aggregates` this node's own product of them by the basis of its round. In rounds up to
    `sits_out_through` the journal does not know what this organisation did (C7): none is 0, and any may be while it is None."""

    frame: StudyFrame
    address: str
    chain: Sends
    store: BlobStore
    fetcher: Fetcher
    memory: Memory
    report: Reporter
    dataset: Dataset | None = None
    share: KeyShare | None = field(default=None, repr=False)
    installed: Installed = field(default_factory=dict)
    agreed: tuple[str, ...] = ()
    claims: TellsPins | None = None
    recall: Callable[[PastRound], RoundView] = _no_recall
    rand: Rand = os.urandom
    sits_out_through: int | None = 0
    arithmetic: Arithmetic = ONE_THREAD
    updates: dict[tuple[int, str, str], list[int]] = field(default_factory=dict, repr=False)
    aggregates: dict[str, list[int]] = field(default_factory=dict, repr=False)
    checked_at: dict[int, float] = field(default_factory=dict, repr=False)

    @cached_property
    def table(self) -> FixedBaseTable:
        """Made once a process: fixed-base powers of the key's obfuscator base."""
        return FixedBaseTable(self.frame.key.public_key)

    def send(self, transaction: Transaction, **facts: int) -> Receipt:
        """See `network.sending.send`."""
        return send(self.chain, self.report, transaction, **facts)

    def publish(self, view: RoundView, what: str, blob: bytes) -> str:
        """Add a blob of the round to the own IPFS node, pinned; gives its CID. `what` as in `catalogue.BLOBS`."""
        self.memory.pinning(view, what, [cid_of(blob)])
        return self.store.add(blob)

    def unaccounted(self, view: RoundView | PastRound) -> bool:
        """Whether the round began, or may have begun, before the journal was restored from a backup (C7)."""
        return self.sits_out_through is None or view.id <= self.sits_out_through

    def kept(self, study: StudyView) -> dict[str, npt.NDArray[np.float64]]:
        """What this organisation kept of its newest contribution that a finalised round counted (SCAFFOLD's own control variate)."""
        if self.frame.spec.strategy.kind == "scaffold":
            for view in counted(study, self.address):
                if (raw := self.memory.get(KEEP, view, "control")) is not None:
                    return {"control": np.frombuffer(raw, dtype=np.float64)}
        return {}

    def parent_model(self, study: StudyView, view: RoundView) -> GlobalState:
        return genesis(self.frame.spec) if view.parent == 0 else self.model(study.rounds[view.parent])

    def model(self, view: RoundView) -> GlobalState:
        """The model of a finalised round, from the journal or fetched and then kept there."""
        raw = self.memory.get(MODEL_BYTES, None, view.model_hash.hex())
        if raw is None:
            raw = self.fetcher.model_bytes(view)
            self.memory.put(MODEL_BYTES, None, raw, view.model_hash.hex())
        return GlobalState.from_bytes(raw, self.frame.spec)


def seen(posted: Sequence[object]) -> dict[str, Any]:
    """A record of having looked at all of these posts."""
    return {"seen": len(posted), "of": keccak256(repr(tuple(posted)).encode()).hex()}


def seen_in(record: dict[str, Any] | None, posted: Sequence[object]) -> int:
    """How many of these posts such a record covers: none, if a reorganisation put others in their place."""
    if record is None or record != seen(posted[: int(record["seen"])]):
        return 0
    return int(record["seen"])
