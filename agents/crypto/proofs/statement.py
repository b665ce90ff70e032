"""What a proof of a contribution says of the numbers in its ciphertexts, and what it is bound to.

A contribution is a weight W and the values of its segments, packed into blocks of equally wide slots: W is the first value of the
first block, the segments follow in their order. Every value belongs to one segment and is under that segment's rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from defedbio.crypto.packing import Layout
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.rules import Range, Rule
from defedbio.domain import RoundContext, Run, check_hash32
from defedbio.errors import InvalidInput

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """The values of one segment, and their rule."""

    name: str
    length: int
    rule: Rule


@dataclass(frozen=True)
class Block:
    """Consecutive ciphertexts whose slots are `slot_bits` wide. The first block of a form holds W before its pieces."""

    slot_bits: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Form:
    """What every contribution to a step looks like: `weight_cap` is the most that W may be, and the least is 1."""

    modulus_bits: int
    weight_cap: int
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not self.blocks or self.weight_cap < 1:
            raise InvalidInput("a form needs a block, and a weight of at least 1")

    def to_bytes(self) -> bytes:
        """The one encoding of this form, of which two different forms never share the bytes."""
        parts = [self.modulus_bits, self.weight_cap, len(self.blocks)]
        out = [_number(x) for x in parts]
        for block in self.blocks:
            out += [_number(block.slot_bits), _number(len(block.pieces))]
            for piece in block.pieces:
                rule = piece.rule
                if isinstance(rule, Range):
                    kind, numbers = b"R", [rule.offset, rule.slope, rule.divisor]
                else:
                    kind, numbers = b"N", [rule.constant, rule.linear, rule.square, rule.divisor, int(rule.spread), rule.most or 0]
                out += [_text(piece.name.encode()), _number(piece.length), kind, *(_number(x) for x in numbers)]
        return b"".join(out)

    @cached_property
    def layout(self) -> Layout:
        """How the values lie in ciphertexts: a run a block, W included in the first."""
        runs = (Run(b.slot_bits, sum(p.length for p in b.pieces) + (i == 0)) for i, b in enumerate(self.blocks))
        return Layout(self.modulus_bits, tuple(runs))


def _number(x: int) -> bytes:
    return _text(x.to_bytes((x.bit_length() + 7) // 8, "big"))


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@dataclass(frozen=True)
class Statement:
    """`sender` knows what is in these ciphertexts, it obeys the form, and it was made for this round, key epoch and parent model.

    `parent` is keccak256 of the parent model's bytes. The ciphertexts are those of all blocks in their order.
    """

    form: Form
    key: PublicKey
    context: RoundContext
    key_epoch: int
    sender: str
    parent: bytes
    ciphertexts: Sequence[int]

    def __post_init__(self) -> None:
        check_hash32(self.parent, "the parent model's hash")
        if self.key.bits != self.form.modulus_bits:
            raise InvalidInput("the form is for a key of another size")
        if len(self.ciphertexts) != self.form.layout.ciphertexts:
            raise InvalidInput("a contribution of this form has another number of ciphertexts")


@dataclass(frozen=True)
class Witness:
    """What only the sender knows: the values of each block (int64, W first in the first), and every ciphertext's exponent of h_s."""

    values: tuple[Int64, ...] = field(repr=False)
    exponents: Sequence[int] = field(repr=False)
