"""The bytes that organisations exchange through IPFS. One value has one encoding; anything else is refused before values are read.

Blob = header (82 bytes) ‖ body. Header, big-endian: magic "DFB1" (4), kind (1), chain id (8), contract (20), study (8), round (8),
sender (20), modulus bits (2), slot bits (1), slots (2), count L (4), body bytes (4). Bodies, with n of N bytes:
update and aggregate: L ciphertexts of 2N bytes; share: L numbers of N bytes, the proof's length (4), the proof; opening: L pairs (w, M)
of N bytes each, and of a part of an opening those of its ciphertexts, which its header counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from defedbio.crypto import numbers
from defedbio.crypto.packing import SlotLayout
from defedbio.crypto.paillier import PublicKey, check_ciphertexts
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.threshold import Opening, check_share_values
from defedbio.domain import RoundContext
from defedbio.errors import InvalidInput, MalformedBlob

MAGIC = b"DFB1"
_FIELDS = (
    ("magic", 4),
    ("kind", 1),
    ("chain id", 8),
    ("contract", 20),
    ("study", 8),
    ("round", 8),
    ("sender", 20),
    ("modulus bits", 2),
    ("slot bits", 1),
    ("slots", 2),
    ("count", 4),
    ("body bytes", 4),
)
HEADER_BYTES = sum(size for _, size in _FIELDS)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class BlobKind(IntEnum):
    UPDATE = 1
    AGGREGATE = 2
    SHARE = 3
    OPENING = 4
    OPENING_PART = 5


OPENINGS = (BlobKind.OPENING, BlobKind.OPENING_PART)


@dataclass(frozen=True)
class Header:
    """What a blob is and belongs to. `count` is L, the ciphertexts; `slots` follows from the two sizes."""

    kind: BlobKind
    context: RoundContext
    sender: str
    modulus_bits: int
    slot_bits: int
    slots: int
    count: int

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.sender) or not _ADDRESS.fullmatch(self.context.contract):
            raise InvalidInput("sender and contract must be addresses of 20 bytes")
        if any(not 0 <= value < 1 << 64 for value in (self.context.chain_id, self.context.study, self.context.round)):
            raise InvalidInput("chain id, study and round must fit 64 bits")
        if not 1 <= self.modulus_bits < 1 << 16 or self.slots != SlotLayout(self.modulus_bits, self.slot_bits).slots:
            raise InvalidInput("the slots do not follow from the modulus and slot sizes")
        if self.count < 1 or blob_size(self.kind, self.modulus_bits, self.count) - HEADER_BYTES >= 1 << 32:
            raise InvalidInput("a blob holds at least one value and less than 4 GiB")

    @classmethod
    def make(cls, kind: BlobKind, context: RoundContext, sender: str, modulus_bits: int, slot_bits: int, length: int) -> Header:
        """The header for a vector of `length` packed values."""
        layout = SlotLayout(modulus_bits, slot_bits)
        return cls(kind, context, sender, modulus_bits, slot_bits, layout.slots, layout.ciphertexts(length))

    def of(self, kind: BlobKind, sender: str) -> Header:
        """The same round's header for another blob."""
        return replace(self, kind=kind, sender=sender)

    def to_bytes(self) -> bytes:
        """82 bytes."""
        body = blob_size(self.kind, self.modulus_bits, self.count) - HEADER_BYTES
        return b"".join(
            (
                MAGIC,
                self.kind.to_bytes(1, "big"),
                self.context.to_bytes(),
                bytes.fromhex(self.sender[2:]),
                self.modulus_bits.to_bytes(2, "big"),
                self.slot_bits.to_bytes(1, "big"),
                self.slots.to_bytes(2, "big"),
                self.count.to_bytes(4, "big"),
                body.to_bytes(4, "big"),
            )
        )


@dataclass(frozen=True)
class SharePayload:
    """A holder's share values and the encoded proof that came with them."""

    values: list[int]
    proof: bytes


def blob_size(kind: BlobKind, modulus_bits: int, count: int) -> int:
    """The exact bytes of a blob, to cap its download before a byte is fetched."""
    width = (modulus_bits + 7) // 8
    if kind is BlobKind.SHARE:
        return HEADER_BYTES + count * width + 4 + share_proof.size(modulus_bits)
    return HEADER_BYTES + 2 * count * width


def encode_update(header: Header, ciphertexts: Sequence[int]) -> bytes:
    return _encode(header, BlobKind.UPDATE, ciphertexts, 2)


def encode_aggregate(header: Header, ciphertexts: Sequence[int]) -> bytes:
    return _encode(header, BlobKind.AGGREGATE, ciphertexts, 2)


def encode_share(header: Header, values: Sequence[int], proof: bytes) -> bytes:
    if len(proof) != share_proof.size(header.modulus_bits):
        raise InvalidInput("the proof has a wrong length")
    return _encode(header, BlobKind.SHARE, values, 1) + len(proof).to_bytes(4, "big") + proof


def encode_opening(header: Header, openings: Sequence[Opening]) -> bytes:
    """A whole opening, or a part of one, as the header's kind says."""
    if len(openings) != header.count:
        raise InvalidInput(f"{len(openings)} openings for a header of {header.count}")
    return _encode(header, _opening_kind(header), [x for o in openings for x in (o.w, o.m)], 1)


def decode_update(data: bytes, expected: Header, key: PublicKey) -> list[int]:
    """The ciphertexts, all units below n².

    Raises:
        MalformedBlob: saying what differs from `expected`. BadCiphertext: naming the first that is no unit.
    """
    return _decode_ciphertexts(data, expected, key, BlobKind.UPDATE)


def decode_aggregate(data: bytes, expected: Header, key: PublicKey) -> list[int]:
    """As `decode_update`, for an aggregate."""
    return _decode_ciphertexts(data, expected, key, BlobKind.AGGREGATE)


def decode_share(data: bytes, expected: Header, key: PublicKey) -> SharePayload:
    """A holder's values, all units below n, and its proof (not verified here).

    Raises:
        MalformedBlob: saying what differs from `expected`. BadShare: for values that are no units.
    """
    body = _body(data, expected, key, BlobKind.SHARE)
    end, size = expected.count * key.modulus_bytes, share_proof.size(key.bits)
    if int.from_bytes(body[end : end + 4], "big") != size:
        raise MalformedBlob(f"the share's proof must have {size} bytes")
    values = _split(body[:end], key.modulus_bytes)
    check_share_values(key, values, expected.count)
    return SharePayload(values, body[end + 4 :])


def decode_opening(data: bytes, expected: Header, key: PublicKey) -> list[Opening]:
    """Openings (w, M), all or a part of them as the header's kind says, not checked: that is `threshold.check_openings`.

    Raises:
        MalformedBlob: saying what differs from `expected`.
    """
    flat = _split(_body(data, expected, key, _opening_kind(expected)), key.modulus_bytes)
    return [Opening(w, m) for w, m in zip(flat[::2], flat[1::2], strict=True)]


def _encode(header: Header, kind: BlobKind, values: Sequence[int], widths: int) -> bytes:
    if header.kind is not kind:
        raise InvalidInput(f"a header of kind {header.kind.name} for a blob of kind {kind.name}")
    expected = 2 * header.count if kind in OPENINGS else header.count
    if len(values) != expected:
        raise InvalidInput(f"{len(values)} values for a header of {header.count}")
    size = widths * ((header.modulus_bits + 7) // 8)
    return header.to_bytes() + b"".join(numbers.to_bytes(value, size) for value in values)


def _opening_kind(header: Header) -> BlobKind:
    return header.kind if header.kind in OPENINGS else BlobKind.OPENING


def _decode_ciphertexts(data: bytes, expected: Header, key: PublicKey, kind: BlobKind) -> list[int]:
    values = _split(_body(data, expected, key, kind), key.ciphertext_bytes)
    check_ciphertexts(key, values)
    return values


def _body(data: bytes, expected: Header, key: PublicKey, kind: BlobKind) -> bytes:
    if expected.kind is not kind or expected.modulus_bits != key.bits:
        raise InvalidInput("the expected header is of another kind or key")
    size = blob_size(kind, key.bits, expected.count)
    if len(data) != size:
        raise MalformedBlob(f"the blob has {len(data)} bytes, {size} are expected")
    wanted, start = expected.to_bytes(), 0
    for name, length in _FIELDS:
        if data[start : start + length] != wanted[start : start + length]:
            raise MalformedBlob(f"the blob's {name} differs from what this round expects")
        start += length
    return data[HEADER_BYTES:]


def _split(body: bytes, size: int) -> list[int]:
    return [int.from_bytes(body[i : i + size], "big") for i in range(0, len(body), size)]
