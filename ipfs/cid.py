"""Content identifiers, computed and checked without a node.

A blob's CID is the CIDv1 (base32, sha2-256) of its UnixFS file: 256 KiB chunks as raw leaves, a balanced tree with 174 links a node,
as `ipfs add --cid-version=1` gives (IPFS UnixFS and DAG-PB specifications). One chunk or less is the raw leaf itself.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from defedbio.errors import CidMismatch, InvalidInput

CHUNK_BYTES = 262144
LINKS_PER_NODE = 174

_RAW = 0x55
_DAG_PB = 0x70
_SHA2_256 = bytes((0x12, 0x20))
_UNIXFS_FILE = 2
_CODECS = (_RAW, _DAG_PB)


@dataclass(frozen=True)
class _Node:
    """A block of the tree: its binary CID, the file bytes below it and the block bytes below it (DAG-PB's Tsize)."""

    cid: bytes
    file_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Cid:
    """A parsed CIDv1 over sha2-256; `codec` is 0x55 (raw) or 0x70 (dag-pb)."""

    codec: int
    digest: bytes

    def __post_init__(self) -> None:
        if self.codec not in _CODECS:
            raise InvalidInput(f"the CID's codec is 0x{self.codec:x}, not raw or dag-pb")
        if len(self.digest) != 32:
            raise InvalidInput(f"the CID's digest has {len(self.digest)} bytes, not 32")

    @property
    def is_raw(self) -> bool:
        return self.codec == _RAW

    def __str__(self) -> str:
        return _text(_binary(self.codec, self.digest))


def cid_of(data: bytes) -> str:
    """The CID that adding `data` (any length) to IPFS gives, as lower-case base32 text."""
    view = memoryview(data)
    level = [_leaf(view[start : start + CHUNK_BYTES]) for start in range(0, max(len(data), 1), CHUNK_BYTES)]
    while len(level) > 1:
        level = [_parent(level[start : start + LINKS_PER_NODE]) for start in range(0, len(level), LINKS_PER_NODE)]
    return _text(level[0].cid)


def check_cid(cid: str, data: bytes) -> None:
    """Raises CidMismatch unless `cid` is the CID of `data`."""
    actual = cid_of(data)
    if actual != cid:
        raise CidMismatch(f"{len(data)} bytes delivered for {cid} have the CID {actual}")


def parse_cid(text: str) -> Cid:
    """Reads a CIDv1 in canonical lower-case base32 (raw or dag-pb, sha2-256); anything else raises InvalidInput."""
    if not text.startswith("b") or len(text) != 59 or text != text.lower():
        raise InvalidInput(f"not a CIDv1 in base32: {text[:80]!r}")
    try:
        binary = base64.b32decode(text[1:].upper() + "=" * (-(len(text) - 1) % 8))
    except ValueError as error:
        raise InvalidInput(f"not a CIDv1 in base32: {text[:80]!r}") from error
    if binary[0] != 1 or binary[2:4] != _SHA2_256:
        raise InvalidInput(f"not a CIDv1 over sha2-256: {text}")
    cid = Cid(binary[1], binary[4:])
    if str(cid) != text:  # base32's unused last bits allow a second spelling
        raise InvalidInput(f"not the canonical spelling of a CID: {text}")
    return cid


def is_blob(text: str) -> bool:
    """Whether this can be the CID of a blob of ours."""
    try:
        parse_cid(text)
    except InvalidInput:
        return False
    return True


def file_size_below(cid: Cid, root_block: bytes) -> int | None:
    """The file length that the root block of `cid` declares; None when the block is not the CID's or is no UnixFS file."""
    if hashlib.sha256(root_block).digest() != cid.digest:
        return None
    if cid.is_raw:
        return len(root_block)
    try:
        unixfs = _fields(root_block).get(1)
        size = _fields(unixfs).get(3) if isinstance(unixfs, bytes) else None
    except (ValueError, IndexError):
        return None
    return size if isinstance(size, int) else None


def _leaf(chunk: memoryview) -> _Node:
    return _Node(_binary(_RAW, hashlib.sha256(chunk).digest()), len(chunk), len(chunk))


def _parent(children: list[_Node]) -> _Node:
    links = b"".join(
        _bytes_field(2, _bytes_field(1, child.cid) + _bytes_field(2, b"") + _number_field(3, child.total_bytes)) for child in children
    )
    file_bytes = sum(child.file_bytes for child in children)
    unixfs = _number_field(1, _UNIXFS_FILE) + _number_field(3, file_bytes)
    unixfs += b"".join(_number_field(4, child.file_bytes) for child in children)
    block = links + _bytes_field(1, unixfs)  # DAG-PB puts the links before the data
    total = len(block) + sum(child.total_bytes for child in children)
    return _Node(_binary(_DAG_PB, hashlib.sha256(block).digest()), file_bytes, total)


def _binary(codec: int, digest: bytes) -> bytes:
    return bytes((1, codec)) + _SHA2_256 + digest


def _text(binary: bytes) -> str:
    return "b" + base64.b32encode(binary).decode("ascii").rstrip("=").lower()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes_field(index: int, value: bytes) -> bytes:
    return _varint(index << 3 | 2) + _varint(len(value)) + value


def _number_field(index: int, value: int) -> bytes:
    return _varint(index << 3) + _varint(value)


def _fields(message: bytes) -> dict[int, int | bytes]:
    """The last value of each field of a protobuf message made of varints and byte strings."""
    found: dict[int, int | bytes] = {}
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        if tag & 7 == 0:
            found[tag >> 3], position = _read_varint(message, position)
        elif tag & 7 == 2:
            length, position = _read_varint(message, position)
            if position + length > len(message):
                raise ValueError("a field runs past the end")
            found[tag >> 3] = message[position : position + length]
            position += length
        else:
            raise ValueError("an unexpected wire type")
    return found


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 64, 7):
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise ValueError("a varint of more than 64 bits")
