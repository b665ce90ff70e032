"""A feed's events on the own disk, so that a node that starts again reads its chain from where it was.

What the file says is checked, not trusted: it counts only for the same contracts, study and Ethereum node, whole (by a digest), where the
block that it ends at still stands, and where the events of a range of blocks drawn at random are the chain's (`EventFeed`). Another file
is passed over and written anew. Whoever can write it can write the journal beside it, too.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from defedbio.chain.events import EVENTS, Event, EventMeta
from defedbio.chain.network import Network
from defedbio.chain.records import Head
from defedbio.chain.values import StudyRules
from defedbio.config import write_private_bytes
from defedbio.domain import BitSet
from defedbio.errors import InvalidInput

FORMAT = "defedbio-events/1"
MOST_BYTES = 1 << 30
_Codec = tuple[tuple[str, Callable[[Any], Any], Callable[[Any], Any]], ...]
_KINDS = {kind.__name__: kind for kind in EVENTS}
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, InvalidInput)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """Every event wanted of the blocks up to `head`."""

    head: Head
    events: tuple[Event, ...]


class SnapshotFile:
    """The file of one study's events, as `rpc` (how the Ethereum node is shown) told them."""

    def __init__(self, path: Path, network: Network, rpc: str, study: int) -> None:
        self._path = path
        self._scope = [network.chain_id, network.deploy_block, *network.contracts.addresses().values(), rpc, study]

    def load(self) -> Snapshot | None:
        """What was saved last; None where that is nothing, not whole or of something else."""
        try:
            if self._path.stat().st_size > MOST_BYTES:
                return None
            digest, _, body = self._path.read_bytes().partition(b"\n")
            if digest != hashlib.sha256(body).hexdigest().encode():
                return None
            document = json.loads(body)
            if document["format"] != FORMAT or document["scope"] != self._scope:
                return None
            number, block_hash, timestamp = document["head"]
            return Snapshot(Head(number, bytes.fromhex(block_hash), timestamp), tuple(map(_event, document["events"])))
        except FileNotFoundError:
            return None
        except (OSError, *_UNREADABLE) as error:
            log.warning("the saved events %s cannot be read (%s): they are read from the chain", self._path, type(error).__name__)
            return None

    def save(self, snapshot: Snapshot) -> None:
        """Replace what was saved. A disk that refuses costs the next start its time, and not the node."""
        head = [snapshot.head.number, snapshot.head.hash.hex(), snapshot.head.timestamp]
        document = {"format": FORMAT, "scope": self._scope, "head": head, "events": [_row(event) for event in snapshot.events]}
        body = json.dumps(document, separators=(",", ":")).encode()
        try:
            write_private_bytes(self._path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body, replace=True)
        except InvalidInput as error:
            log.warning("events are not saved: %s", error.message)

    def remove(self) -> None:
        """Have nothing saved."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the saved events %s cannot be removed: %s", self._path, type(error).__name__)


def _row(event: Event) -> list[Any]:
    meta = event.meta
    where = [meta.block, meta.block_hash.hex(), meta.tx_hash.hex(), meta.log_index, meta.contract]
    values = (write(getattr(event, name)) for name, write, _ in _codec(type(event).__name__))
    return [type(event).__name__, *where, *values]


def _event(row: list[Any]) -> Event:
    name, block, block_hash, tx_hash, log_index, contract, *values = row
    kind = _KINDS[name]
    meta = EventMeta(block, bytes.fromhex(block_hash), bytes.fromhex(tx_hash), log_index, contract)
    return kind(**{field: read(value) for (field, _, read), value in zip(_codec(name), values, strict=True)}, meta=meta)


@cache
def _codec(name: str) -> _Codec:
    """By field in order: its name, how it is written, and how it is read."""
    kind = _KINDS[name]
    hints = get_type_hints(kind)
    return tuple((field.name, *_forms(hints[field.name])) for field in fields(kind) if field.name != "meta")


def _forms(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if hint is bytes:
        return bytes.hex, bytes.fromhex
    if hint is BitSet:
        return lambda value: value.bits, BitSet
    if hint is StudyRules:
        return lambda value: list(vars(value).values()), lambda values: StudyRules(*values)
    if hint == tuple[str, ...]:
        return list, tuple
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return int, hint
    return (lambda value: value), (lambda value: value)
