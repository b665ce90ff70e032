"""The bytes that organisations exchange through IPFS. One value has one encoding; anything else is refused before values are read.

Blob = header (115 bytes) ‖ body. Header, big-endian: magic "DFB2" (4), kind (1), chain id (8), contract (20), study (8), round (8),
sender (20), modulus bits (2), keccak256 of the layout's bytes (32), count L (4), proof bytes (4), body bytes (4). Bodies, with n of N
bytes: update: L ciphertexts of 2N bytes, the proof; aggregate: L ciphertexts; share: L numbers of N bytes, the proof; opening: L pairs
(w, M) of N bytes each, and of a part of an opening those of its ciphertexts, which its header counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from defedbio.crypto import numbers
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.packing import Layout
from defedbio.crypto.paillier import PublicKey, check_ciphertexts
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.threshold import Opening, check_share_values
from defedbio.domain import RoundContext, check_hash32
from defedbio.errors import InvalidInput, MalformedBlob

MAGIC = b"DFB2"
_FIELDS = (
    ("magic", 4),
    ("kind", 1),
    ("chain id", 8),
    ("contract", 20),
    ("study", 8),
    ("round", 8),
    ("sender", 20),
    ("modulus bits", 2),
    ("layout", 32),
    ("count", 4),
    ("proof bytes", 4),
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
    """What a blob is and belongs to. `count` is L, the ciphertexts; `layout` is the hash of how values lie in them; a proof of
    `proof_bytes` ends the blob."""

    kind: BlobKind
    context: RoundContext
    sender: str
    modulus_bits: int
    layout: bytes
    count: int
    proof_bytes: int = 0

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.sender) or not _ADDRESS.fullmatch(self.context.contract):
            raise InvalidInput("sender and contract must be addresses of 20 bytes")
        if any(not 0 <= value < 1 << 64 for value in (self.context.chain_id, self.context.study, self.context.round)):
            raise InvalidInput("chain id, study and round must fit 64 bits")
        if not 1 <= self.modulus_bits < 1 << 16:
            raise InvalidInput("the modulus must have fewer than 2^16 bits")
        check_hash32(self.layout, "the layout's hash")
        if self.count < 1 or self.proof_bytes < 0 or self.size - HEADER_BYTES >= 1 << 32:
            raise InvalidInput("a blob holds at least one value and less than 4 GiB")

    @classmethod
    def make(cls, kind: BlobKind, context: RoundContext, sender: str, layout: Layout, proof_bytes: int = 0) -> Header:
        """The header for a vector that lies so; of a share, the proof's size follows from the modulus."""
        proof_bytes = share_proof.size(layout.modulus_bits) if kind is BlobKind.SHARE else proof_bytes
        return cls(kind, context, sender, layout.modulus_bits, keccak256(layout.to_bytes()), layout.ciphertexts, proof_bytes)

    @property
    def size(self) -> int:
        """The exact bytes of the blob, to cap its download before a byte is fetched."""
        width = (self.modulus_bits + 7) // 8
        return HEADER_BYTES + self.count * width * (1 if self.kind is BlobKind.SHARE else 2) + self.proof_bytes

    def to_bytes(self) -> bytes:
        """115 bytes."""
        return b"".join(
            (
                MAGIC,
                self.kind.to_bytes(1, "big"),
                self.context.to_bytes(),
                bytes.fromhex(self.sender[2:]),
                self.modulus_bits.to_bytes(2, "big"),
                self.layout,
                self.count.to_bytes(4, "big"),
                self.proof_bytes.to_bytes(4, "big"),
                (self.size - HEADER_BYTES).to_bytes(4, "big"),
            )
        )


@dataclass(frozen=True)
class UpdatePayload:
    """An organisation's ciphertexts and the encoded proof that came with them, empty where the study asks for none."""

    ciphertexts: list[int]
    proof: bytes


@dataclass(frozen=True)
class SharePayload:
    """A holder's share values and the encoded proof that came with them."""

    values: list[int]
    proof: bytes


def encode_update(header: Header, ciphertexts: Sequence[int], proof: bytes = b"") -> bytes:
    return _encode(header, BlobKind.UPDATE, ciphertexts, 2, proof)


def encode_aggregate(header: Header, ciphertexts: Sequence[int]) -> bytes:
    return _encode(header, BlobKind.AGGREGATE, ciphertexts, 2)


def encode_share(header: Header, values: Sequence[int], proof: bytes) -> bytes:
    return _encode(header, BlobKind.SHARE, values, 1, proof)


def encode_opening(header: Header, openings: Sequence[Opening]) -> bytes:
    """A whole opening, or a part of one, as the header's kind says."""
    if len(openings) != header.count:
        raise InvalidInput(f"{len(openings)} openings for a header of {header.count}")
    return _encode(header, _opening_kind(header), [x for o in openings for x in (o.w, o.m)], 1)


def decode_update(data: bytes, expected: Header, key: PublicKey) -> UpdatePayload:
    """The ciphertexts, all units below n², and the encoded proof that came with them (not verified here).

    Raises:
        MalformedBlob: saying what differs from `expected`. BadCiphertext: naming the first that is no unit.
    """
    body = _body(data, expected, key, BlobKind.UPDATE)
    end = expected.count * key.ciphertext_bytes
    values = _split(body[:end], key.ciphertext_bytes)
    check_ciphertexts(key, values)
    return UpdatePayload(values, body[end:])


def decode_aggregate(data: bytes, expected: Header, key: PublicKey) -> list[int]:
    """The ciphertexts, as of an update."""
    values = _split(_body(data, expected, key, BlobKind.AGGREGATE), key.ciphertext_bytes)
    check_ciphertexts(key, values)
    return values


def decode_share(data: bytes, expected: Header, key: PublicKey) -> SharePayload:
    """A holder's values, all units below n, and its proof (not verified here).

    Raises:
        MalformedBlob: saying what differs from `expected`. BadShare: for values that are no units.
    """
    body = _body(data, expected, key, BlobKind.SHARE)
    end = expected.count * key.modulus_bytes
    values = _split(body[:end], key.modulus_bytes)
    check_share_values(key, values, expected.count)
    return SharePayload(values, body[end:])


def decode_opening(data: bytes, expected: Header, key: PublicKey) -> list[Opening]:
    """Openings (w, M), all or a part of them as the header's kind says, not checked: that is `threshold.check_openings`.

    Raises:
        MalformedBlob: saying what differs from `expected`.
    """
    flat = _split(_body(data, expected, key, _opening_kind(expected)), key.modulus_bytes)
    return [Opening(w, m) for w, m in zip(flat[::2], flat[1::2], strict=True)]


def _encode(header: Header, kind: BlobKind, values: Sequence[int], widths: int, proof: bytes = b"") -> bytes:
    if header.kind is not kind:
        raise InvalidInput(f"a header of kind {header.kind.name} for a blob of kind {kind.name}")
    expected = 2 * header.count if kind in OPENINGS else header.count
    if len(values) != expected:
        raise InvalidInput(f"{len(values)} values for a header of {header.count}")
    if len(proof) != header.proof_bytes:
        raise InvalidInput("the proof has a wrong length")
    size = widths * ((header.modulus_bits + 7) // 8)
    return header.to_bytes() + b"".join(numbers.to_bytes(value, size) for value in values) + proof


def _opening_kind(header: Header) -> BlobKind:
    return header.kind if header.kind in OPENINGS else BlobKind.OPENING


def _body(data: bytes, expected: Header, key: PublicKey, kind: BlobKind) -> bytes:
    if expected.kind is not kind or expected.modulus_bits != key.bits:
        raise InvalidInput("the expected header is of another kind or key")
    if len(data) != expected.size:
        raise MalformedBlob(f"the blob has {len(data)} bytes, {expected.size} are expected")
    wanted, start = expected.to_bytes(), 0
    for name, length in _FIELDS:
        if data[start : start + length] != wanted[start : start + length]:
            raise MalformedBlob(f"the blob's {name} differs from what this round expects")
        start += length
    return data[HEADER_BYTES:]


def _split(body: bytes, size: int) -> list[int]:
    return [int.from_bytes(body[i : i + size], "big") for i in range(0, len(body), size)]
