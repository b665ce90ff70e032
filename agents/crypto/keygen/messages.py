"""The bytes of a step's message: a header that binds terms, step, contributor and what is answered, and a body of fixed lengths (D2).

Header, big-endian: magic "DFK1" (4), hash of the terms (32), step (4), position of who sends it (1), hash of all posts of the step before
(32, zeros in step 0). Lengths follow from the terms, and of a trial from the posts before; they are compared before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from defedbio.crypto import numbers
from defedbio.crypto.keygen import bounded, boxes, candidates, exponent, product
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.merkle import HASH_BYTES, keccak256
from defedbio.crypto.proofs import factors, two_primes
from defedbio.crypto.sealing import KEY_BYTES
from defedbio.crypto.threshold import ROOT_PROOFS
from defedbio.errors import InternalFault, MalformedBlob

MAGIC = b"DFK1"
NOTHING = bytes(HASH_BYTES)  # the hash of all posts before the first step
MASK_BITS = 204  # more than b, of u_i and w_i in the proof of the factors (D16)


class Kind(Enum):
    """A step's kind, as docs/ceremony.md names it."""

    REQUESTS = "B1"
    ANSWERS = "B2"
    SHARES = "B3"
    TRIALS = "B4"
    OPENING = "R1"
    PRODUCT = "R2"
    EXPONENT = "R3"
    PROMISE = "R4"
    DEALING = "R5"
    DONE = "R6"


@dataclass(frozen=True)
class Field:
    """`count` numbers below `below`, in `size` bytes each, or as many strings of bytes where `below` is 0."""

    size: int
    count: int
    below: int = 0


Layout = Mapping[str, Field]
Numbers = Sequence[int]


@dataclass(frozen=True)
class Body:
    """A parsed message: fields of numbers, and fields of bytes."""

    numbers: Mapping[str, list[int]]
    strings: Mapping[str, list[bytes]]


@dataclass(frozen=True)
class Header:
    terms: bytes
    step: int
    position: int
    before: bytes

    def to_bytes(self) -> bytes:
        """73 bytes."""
        return b"".join((MAGIC, self.terms, self.step.to_bytes(4, "big"), bytes((self.position,)), self.before))


_HEADER = (("magic", 4), ("terms", HASH_BYTES), ("step", 4), ("position", 1), ("hash of the step before", HASH_BYTES))
HEADER_BYTES = sum(size for _, size in _HEADER)


def posts_hash(posts: Sequence[bytes]) -> bytes:
    """Of all posts of a step."""
    return keccak256(b"".join([keccak256(post) for post in posts]))


def layout(terms: Terms, kind: Kind, position: int, batch: int, alive: int) -> Layout:
    """What the message of a step has. `batch` counts from 0, and `alive` is how many of its candidates are tried."""
    t, holders, width = terms.threshold, len(terms.holders), terms.width
    own = (terms.own_bits + 7) // 8
    cipher = terms.cipher_width
    digest, element = Field(HASH_BYTES, 1), terms.group.element_bytes
    if kind is Kind.REQUESTS:
        transport = {"transport": Field(KEY_BYTES, 1)} if batch == 0 else {"opened": digest}
        key = {"modulus": Field(own, 1, 1 << terms.own_bits), "roots": Field(own, ROOT_PROOFS, 1 << terms.own_bits)} if batch == 0 else {}
        asked = {"commitment": digest, "requests": Field(cipher, 2 * terms.candidates, 1 << 8 * cipher)}
        return transport | key | asked if position < t else transport
    if kind is Kind.ANSWERS:
        others = [other for other in range(t) if other != position]
        return {f"to {j}": Field(cipher, len(candidates.answered(terms, position, j)), 1 << 8 * cipher) for j in others}
    if kind is Kind.SHARES:
        return {"shares": Field((terms.bits + 9) // 8, terms.candidates, terms.share_modulus)}
    if kind is Kind.TRIALS:
        return {"factors": Field(width, alive, 1 << 8 * width)}
    pieces = {f"to {j}": Field(cipher, exponent.PIECES, 1 << 8 * cipher) for j in range(t) if j != position}
    if kind is Kind.OPENING:
        number, power = bounded.number_bits(terms), bounded.exponent_bits(terms)
        return {
            "nodes": Field(HASH_BYTES, (terms.candidates - 1).bit_length()),
            "kept": digest,
            "powers": Field(element, 2, terms.group.p),
            "challenge": Field(bounded.REPETITIONS // 8, 1, 1 << bounded.REPETITIONS),
            "number answers": Field((number + 7) // 8, 2 * bounded.REPETITIONS, 1 << number),
            "exponent answers": Field((power + 7) // 8, 2 * bounded.REPETITIONS, 1 << power),
            "square roots": Field(width, two_primes.SQUARE_ROOTS, 1 << 8 * width),
            **pieces,
        }
    if kind is Kind.PRODUCT:
        return {
            "factor": Field(element, 1, terms.group.p),
            "challenge": Field(product.CHALLENGE_BITS // 8, 1, 1 << product.CHALLENGE_BITS),
            "answer": Field(terms.group.scalar_bytes, 1, terms.group.q),
            "promise": digest,
            "share": Field(width, 1, 1 << 8 * width),
        }
    if kind is Kind.EXPONENT:
        return {"revealed": Field(element, 2, terms.group.p), **pieces}
    if kind is Kind.PROMISE:
        return {"promise": digest}
    if kind is Kind.DEALING:
        answer = terms.half + MASK_BITS + 1
        assert answer + 4 <= factors.answer_bits(terms.bits)
        return {
            "answers": Field((answer + 7) // 8, 2, 1 << answer),
            "commitments": Field(width, t, 1 << 8 * width),
            "roots": Field(width, ROOT_PROOFS, 1 << 8 * width),
            "boxes": Field(boxes.box_bytes(terms.bits, t, holders), holders),
        }
    raise InternalFault("no message is made of a step that has none")


def size(those: Layout) -> int:
    """The exact bytes of a message."""
    return HEADER_BYTES + sum(field.size * field.count for field in those.values())


def encode(header: Header, those: Layout, body: Body) -> bytes:
    return header.to_bytes() + encode_body(those, body)


def encode_body(those: Layout, body: Body) -> bytes:
    """What follows the header."""
    parts = []
    for name, field in those.items():
        found = body.strings[name] if not field.below else [numbers.to_bytes(x, field.size) for x in body.numbers[name]]
        if len(found) != field.count or any(len(part) != field.size for part in found):
            raise InternalFault(f"the {name} of a message have a wrong length")
        parts += found
    return b"".join(parts)


def decode(data: bytes, expected: Header, those: Layout) -> Body:
    """The fields of a message that is as `expected`.

    Raises:
        MalformedBlob: saying what differs.
    """
    if len(data) != size(those):
        raise MalformedBlob(f"its message has {len(data)} bytes, {size(those)} are expected")
    wanted, start = expected.to_bytes(), 0
    for name, length in _HEADER:
        if data[start : start + length] != wanted[start : start + length]:
            raise MalformedBlob(f"the {name} in its message differs from what this step expects")
        start += length
    found_numbers: dict[str, list[int]] = {}
    found_strings: dict[str, list[bytes]] = {}
    for name, field in those.items():
        parts = [data[start + i * field.size : start + (i + 1) * field.size] for i in range(field.count)]
        start += field.size * field.count
        if not field.below:
            found_strings[name] = parts
            continue
        values = [int.from_bytes(part, "big") for part in parts]
        if any(value >= field.below for value in values):
            raise MalformedBlob(f"a number among the {name} in its message is out of range")
        found_numbers[name] = values
    return Body(found_numbers, found_strings)
