"""Many signed integers in one Paillier plaintext: m = sum v_i 2^(b i) mod n, without offset, so that sums of plaintexts are
sums of vectors.

Digits are taken from the low end after lifting to (-n/2, n/2). Every digit that goes in satisfies |v| < 2^(b-1); then |m| < 2^(Sb-1)
<= 2^(|n|-27) < n/2 and the digits are unique. What comes out is whatever digits a plaintext has: reading refuses none, since one
contribution with a digit out of place would else keep everybody from the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from defedbio.domain import GUARD_BITS, Run
from defedbio.errors import InvalidInput

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class SlotLayout:
    """`slot_bits` (8..62) bits a slot in a plaintext of a modulus of `modulus_bits` bits."""

    modulus_bits: int
    slot_bits: int

    def __post_init__(self) -> None:
        if not 8 <= self.slot_bits <= 62:
            raise InvalidInput("slot_bits must be 8..62")
        if self.modulus_bits < self.slot_bits + GUARD_BITS:
            raise InvalidInput("the modulus is too short for one slot")

    @property
    def slots(self) -> int:
        """S, the slots of one ciphertext: S·b <= |n| - 26."""
        return (self.modulus_bits - GUARD_BITS) // self.slot_bits

    def ciphertexts(self, length: int) -> int:
        """L, the ciphertexts that `length` values fill."""
        if length < 1:
            raise InvalidInput("a vector needs at least one value")
        return -(-length // self.slots)

    @property
    def half(self) -> int:
        """2^(b-1); digits lie strictly between -half and half."""
        return 1 << (self.slot_bits - 1)

    @property
    def offset(self) -> int:
        """sum half·2^(b i): added, it makes every digit of a packed number non-negative."""
        return self.half * (((1 << self.slots * self.slot_bits) - 1) // ((1 << self.slot_bits) - 1))


def pack(values: Int64, layout: SlotLayout, n: int) -> list[int]:
    """Plaintexts in [0, n) for a 1-D int64 array; the last one is filled up with zeros.

    Raises:
        InvalidInput: when a value does not satisfy |v| < 2^(b-1), naming its index but not its value, or when the array is unfit.
    """
    _check_modulus(layout, n)
    if values.ndim != 1 or values.dtype != np.int64:
        raise InvalidInput("values to pack must be a 1-D int64 array")
    count = layout.ciphertexts(len(values))
    outside = np.flatnonzero((values >= layout.half) | (values <= -layout.half))
    if len(outside):
        raise InvalidInput(f"value {int(outside[0])} does not fit a slot of {layout.slot_bits} bits")
    padded = np.zeros(count * layout.slots, dtype=np.int64)
    padded[: len(values)] = values
    digits = (padded + layout.half).astype("<u8").view(np.uint8).reshape(-1, 8)
    bits = np.unpackbits(digits, axis=1, bitorder="little")[:, : layout.slot_bits].reshape(count, -1)
    rows = np.packbits(bits, axis=1, bitorder="little")
    return [(int.from_bytes(row.tobytes(), "little") - layout.offset) % n for row in rows]


def unpack(plaintexts: Sequence[int], layout: SlotLayout, n: int, length: int) -> Int64:
    """The first `length` digits, int64, each in [-2^(b-1), 2^(b-1)): what `pack` gave, or sums of it that keep the slot rule.

    Of any other plaintext it gives the digits that the number has modulo 2^(S b); what lies above its slots or behind the last value
    counts for nothing.

    Raises:
        InvalidInput: for a wrong count, or a plaintext outside [0, n).
    """
    _check_modulus(layout, n)
    if len(plaintexts) != layout.ciphertexts(length):
        raise InvalidInput(f"{len(plaintexts)} plaintexts, {layout.ciphertexts(length)} are needed for {length} values")
    width = layout.slots * layout.slot_bits
    row_bytes, mask = (width + 7) // 8, (1 << width) - 1
    rows = bytearray()
    for index, m in enumerate(plaintexts):
        if not 0 <= m < n:
            raise InvalidInput(f"plaintext {index} is outside 0..n-1")
        rows += ((m - n if 2 * m > n else m) + layout.offset & mask).to_bytes(row_bytes, "little")
    packed = np.frombuffer(bytes(rows), dtype=np.uint8).reshape(len(plaintexts), row_bytes)
    bits = np.unpackbits(packed, axis=1, bitorder="little")[:, :width].reshape(-1, layout.slot_bits)
    padded = np.zeros((len(bits), 64), dtype=np.uint8)
    padded[:, : layout.slot_bits] = bits
    digits = np.packbits(padded, axis=1, bitorder="little").view("<u8").reshape(-1).astype(np.int64) - layout.half
    return digits[:length]


@dataclass(frozen=True)
class Layout:
    """How a whole vector lies in ciphertexts of a modulus of `modulus_bits` bits: run after run."""

    modulus_bits: int
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        if not self.runs:
            raise InvalidInput("a layout needs at least one run")

    @cached_property
    def slots(self) -> tuple[SlotLayout, ...]:
        """The slots of each run's ciphertexts."""
        return tuple(SlotLayout(self.modulus_bits, run.slot_bits) for run in self.runs)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How many ciphertexts each run fills."""
        return tuple(slots.ciphertexts(run.values) for slots, run in zip(self.slots, self.runs, strict=True))

    @property
    def ciphertexts(self) -> int:
        return sum(self.counts)

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many values each run has."""
        return tuple(run.values for run in self.runs)

    @property
    def length(self) -> int:
        """Values of the whole vector."""
        return sum(self.lengths)

    def to_bytes(self) -> bytes:
        """Canonical: 2 bytes of modulus bits, then 1 byte of slot bits and 8 of the number of values for each run, big-endian."""
        return self.modulus_bits.to_bytes(2, "big") + b"".join(
            r.slot_bits.to_bytes(1, "big") + r.values.to_bytes(8, "big") for r in self.runs
        )

    def pack(self, values: Int64, n: int) -> list[int]:
        """Plaintexts of a 1-D int64 array of `length`; raises InvalidInput as `pack` does."""
        if len(values) != self.length:
            raise InvalidInput(f"{len(values)} values for a layout of {self.length}")
        return [m for part, slots in zip(self.split(values), self.slots, strict=True) for m in pack(part, slots, n)]

    def unpack(self, plaintexts: Sequence[int], n: int) -> Int64:
        """The vector, int64 [length]; raises InvalidInput as `unpack` does."""
        if len(plaintexts) != self.ciphertexts:
            raise InvalidInput(f"{len(plaintexts)} plaintexts, {self.ciphertexts} are needed")
        parts, start = [], 0
        for run, slots, count in zip(self.runs, self.slots, self.counts, strict=True):
            parts.append(unpack(plaintexts[start : start + count], slots, n, run.values))
            start += count
        return np.concatenate(parts)

    def split(self, values: Int64) -> list[Int64]:
        """The vector's runs."""
        return np.split(values, np.cumsum(self.lengths)[:-1])


def _check_modulus(layout: SlotLayout, n: int) -> None:
    if n.bit_length() != layout.modulus_bits:
        raise InvalidInput(f"the layout is for {layout.modulus_bits} bits, the modulus has {n.bit_length()}")
