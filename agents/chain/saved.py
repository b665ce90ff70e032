"""A feed's final events on the own disk, so that a node that starts again reads its chain from where it was.

The file only grows: a piece is written behind the others, and all are read one after another, so that never more than one is in memory.
What it says is checked, not trusted: it counts only for the same contracts, study and Ethereum node, as far as it is whole (each piece
comes with a digest over all before it), where the block that it ends at still stands, and where the events of a range of blocks drawn at
random are the chain's (`EventFeed`). Another file is passed over and written anew. Whoever can write it can write the journal beside it,
too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import IO, Any, get_type_hints

from defedbio.chain.events import EVENTS, Event, EventMeta, RoundOpened
from defedbio.chain.network import Network
from defedbio.chain.records import Head
from defedbio.chain.values import StudyRules
from defedbio.config import write_private_bytes
from defedbio.domain import BitSet
from defedbio.errors import InvalidInput

FORMAT = "defedbio-events/2"
MOST_LINE, MOST_PIECE = 1 << 20, 1 << 26  # bytes
_DIGEST = hashlib.sha256().digest_size
_Codec = tuple[tuple[str, Callable[[Any], Any], Callable[[Any], Any]], ...]
_KINDS = {kind.__name__: kind for kind in EVENTS}
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, InvalidInput)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """Every event wanted of the blocks after the piece before and up to `head`."""

    head: Head
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Saved:
    """What a file holds: so many `events`, of the blocks up to `head`, in which these `rounds` were opened."""

    file: EventsFile
    head: Head
    events: int
    rounds: frozenset[int]

    def pieces(self) -> Iterator[Piece]:
        """One after another, as they are on the disk now; what cannot be read any more is left to the chain."""
        try:
            with self.file.reading() as stream:
                for found in self.file.whole(stream):
                    yield Piece(_head(found.header), tuple(map(_event, json.loads(found.rows))))
        except (OSError, *_UNREADABLE) as error:
            log.warning("the saved events cannot be read on (%s): what is left is read from the chain", type(error).__name__)

    def within(self, first: int, last: int) -> list[Event]:
        """The events of the blocks from..to inclusive."""
        found: list[Event] = []
        for piece in self.pieces():
            found += [event for event in piece.events if first <= event.meta.block <= last]
            if piece.head.number >= last:
                break
        return found


@dataclass(frozen=True)
class _Whole:
    """A piece as it is written, and where in the file it ends."""

    header: dict[str, Any]
    rows: bytes
    digest: bytes
    end: int


class EventsFile:
    """The file of one study's events, as `rpc` (how the Ethereum node is shown) told them: a line that says of what it is, and for each
    piece two, a header and its events. Lines but those of events begin with a digest over all before them and what they announce."""

    def __init__(self, path: Path, network: Network, rpc: str, study: int) -> None:
        self._path = path
        scope = [network.chain_id, network.deploy_block, *network.contracts.addresses().values(), rpc, study]
        self._about: dict[str, Any] = {"format": FORMAT, "scope": scope}
        self._end, self._digest = 0, b""

    def load(self) -> Saved | None:
        """What was saved; None where that is nothing, or of something else. Pieces are added behind it from now on: what is not whole
        behind it is cut off."""
        self._end, self._digest = 0, b""
        head: Head | None = None
        events, rounds = 0, set[int]()
        try:
            with self.reading() as stream:
                for piece in self.whole(stream):
                    head = _head(piece.header)
                    events += piece.header["events"]
                    rounds.update(piece.header["rounds"])
                    self._end, self._digest = piece.end, piece.digest
        except FileNotFoundError:
            return None
        except (OSError, *_UNREADABLE) as error:
            log.warning("the saved events %s cannot be read (%s): they are read from the chain", self._path, type(error).__name__)
            self._end, self._digest = 0, b""
            return None
        return Saved(self, head, events, frozenset(rounds)) if head is not None else None

    def add(self, piece: Piece) -> None:
        """Write a piece behind what was loaded and added; durable when this returns.

        Raises:
            InvalidInput: if the disk refuses. What it wrote of the piece counts for nothing, and nothing can be added any more.
        """
        try:
            if not self._end:
                self._begin()
            rows = json.dumps([_row(event) for event in piece.events], separators=(",", ":")).encode()
            opened = [event.round for event in piece.events if isinstance(event, RoundOpened)]
            where = [piece.head.number, piece.head.hash.hex(), piece.head.timestamp]
            header = {"head": where, "events": len(piece.events), "rounds": opened, "bytes": len(rows)}
            digest, line = _line(self._digest, header, rows)
            with self._path.open("r+b") as stream:
                stream.truncate(self._end)
                stream.seek(self._end)
                stream.write(line + rows + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
                self._end, self._digest = stream.tell(), digest
        except OSError as error:
            raise InvalidInput(f"{self._path} cannot be written: {error.strerror}", "is the disk full?") from None

    def remove(self) -> None:
        """Have nothing saved."""
        self._end, self._digest = 0, b""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the saved events %s cannot be removed: %s", self._path, type(error).__name__)

    def reading(self) -> IO[bytes]:
        return self._path.open("rb")

    def whole(self, stream: IO[bytes]) -> Iterator[_Whole]:
        """The pieces of a file of this format and scope, as far as they are whole."""
        digest, document = _announced(stream)
        if document != self._about or _line(b"", document)[0] != digest:
            return
        while True:
            claimed, header = _announced(stream)
            size = header.get("bytes") if header is not None else None
            if header is None or not isinstance(size, int) or not 0 <= size <= MOST_PIECE:
                return
            rows = stream.read(size)
            digest, _ = _line(digest, header, rows)
            if digest != claimed or stream.read(1) != b"\n":
                return
            yield _Whole(header, rows, digest, stream.tell())

    def _begin(self) -> None:
        self._digest, line = _line(b"", self._about)
        write_private_bytes(self._path, line, replace=True)
        self._end = len(line)


def _line(before: bytes, document: dict[str, Any], rows: bytes = b"") -> tuple[bytes, bytes]:
    """A line that announces what follows, and its digest, in which that before it goes in."""
    body = json.dumps(document, separators=(",", ":")).encode()
    digest = hashlib.sha256(b"%b%b\n%b" % (before, body, rows)).digest()
    return digest, digest.hex().encode() + b" " + body + b"\n"


def _announced(stream: IO[bytes]) -> tuple[bytes, dict[str, Any] | None]:
    """The next such line's digest and document; no document where there is none."""
    digest, _, body = stream.readline(MOST_LINE).partition(b" ")
    try:
        document = json.loads(body) if body.endswith(b"\n") and len(digest) == 2 * _DIGEST else None
        return bytes.fromhex(digest.decode()), document if isinstance(document, dict) else None
    except _UNREADABLE:
        return b"", None


def _head(header: dict[str, Any]) -> Head:
    number, block_hash, timestamp = header["head"]
    return Head(number, bytes.fromhex(block_hash), timestamp)


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
