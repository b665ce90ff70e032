"""What an organisation's node acts with: the chain, its store, its journal and its secrets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from defedbio.chain.records import Receipt, Transaction
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import FixedBaseTable
from defedbio.crypto.threshold import KeyShare
from defedbio.errors import InternalFault
from defedbio.ipfs.store import BlobStore
from defedbio.learning.state import GlobalState, genesis
from defedbio.network.sending import Sends, send
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.journal import Journal
from defedbio.protocol.view import RoundView, StudyView
from defedbio.report import Reporter

if TYPE_CHECKING:
    from defedbio.learning.data.port import Dataset
    from defedbio.learning.models import Installed


# What was found of others' updates among it: their proofs say which parent model they are for.
FOR_THE_START = frozenset({"update", "update-blob", "keep", "sits-out", "published", "checked"})
FOR_THE_SET = frozenset(
    {
        *("aggregate", "aggregate-blob", "weighed-products", "combining", "refused-shares", "weighed-shares"),
        *("part", "parts", "openings", "opening", "model", "withheld"),
    }
)


@dataclass
class Tools:
    """`dataset` and `share` are None where the node has none. `arithmetic` computes lists of powers. `updates`
    caches the ciphertexts of the round at hand by (round, its start, name of the reveal), `aggregates` this node's own product of them by
    the basis of its round."""

    frame: StudyFrame
    address: str
    chain: Sends
    store: BlobStore
    fetcher: Fetcher
    journal: Journal
    report: Reporter
    dataset: Dataset | None = None
    share: KeyShare | None = field(default=None, repr=False)
    installed: Installed = field(default_factory=dict)
    rand: Rand = os.urandom
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

    def record(self, view: RoundView, what: str) -> str:
        """The journal's key for a part of a round, filed under what that part rests on: where a reorganisation changed it, the part counts
        as not there. What may happen once a round whatever the chain says (the release) is filed under the round alone."""
        kind = what.partition("/")[0]
        if kind in FOR_THE_START:
            return f"round/{view.id}/{view.start}/{what}"
        return f"round/{view.id}/{view.basis}/{what}" if kind in FOR_THE_SET else f"round/{view.id}/{what}"

    def require(self, view: RoundView, what: str) -> dict[str, str]:
        """What the journal holds of this part of the round; the decider asks for an action only once it is there."""
        record = self.journal.get(self.record(view, what))
        if record is None:
            raise InternalFault(f"no journalled {what} for round {view.id}")
        return record

    def kept(self, study: StudyView) -> dict[str, npt.NDArray[np.float64]]:
        """What this organisation kept of its newest contribution that a finalised round counted (SCAFFOLD's own control variate). What
        it kept of older finalised rounds is deleted on the way; that of voided rounds and of the newest stays."""
        if self.frame.spec.strategy.kind != "scaffold":
            return {}
        newest: dict[str, npt.NDArray[np.float64]] = {}
        for view in reversed(study.finalised):
            key = self.record(view, "keep/control")
            if newest:
                self.journal.delete(key)
            elif any(r.participant == self.address for r in view.frozen_reveals()) and (raw := self.journal.get_bytes(key)) is not None:
                newest["control"] = np.frombuffer(raw, dtype=np.float64)
        return newest

    def parent_model(self, study: StudyView, view: RoundView) -> GlobalState:
        return genesis(self.frame.spec) if view.parent == 0 else self.model(study.rounds[view.parent])

    def model(self, view: RoundView) -> GlobalState:
        """The model of a finalised round, from the journal or fetched and then kept there."""
        key = f"model/{view.model_hash.hex()}"
        raw = self.journal.get_bytes(key)
        if raw is None:
            raw = self.fetcher.model_bytes(view)
            self.journal.put_bytes(key, raw)
        return GlobalState.from_bytes(raw, self.frame.spec)


def seen(posted: Sequence[object]) -> dict[str, Any]:
    """A record of having looked at all of these posts."""
    return {"seen": len(posted), "of": keccak256(repr(tuple(posted)).encode()).hex()}


def seen_in(record: dict[str, Any] | None, posted: Sequence[object]) -> int:
    """How many of these posts such a record covers: none, if a reorganisation put others in their place."""
    if record is None or record != seen(posted[: int(record["seen"])]):
        return 0
    return int(record["seen"])
