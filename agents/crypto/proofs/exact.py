"""Sums of products of long integers through float64 matrix products, which are exact here: the fastest way numpy has to them.

A scalar modulo Q is written in limbs of 16 bits, a signed integer in planes of 22: sums of 2^13 products of one with the other stay within
2^51, and as int64 sums of 2^11 such sums are exact as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LIMB_BITS = 16
PLANE_BITS = 22
MOST_TERMS = 1 << 13
WEIGHTED_ROWS = 64  # at once: 8,192 numbers of each take 117 MB

NARROW_BITS = 45  # with a limb they leave room for carries in 63

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Integers = Sequence[int] | Int64
"""Signed integers of any size, or int64."""


def limbs(values: Sequence[int], count: int) -> Float64:
    """[values, count]: the limbs of numbers in [0, 2^(16 count)), the lowest first."""
    data = b"".join([v.to_bytes(2 * count, "little") for v in values])
    return np.frombuffer(data, dtype="<u2").reshape(len(values), count).astype(np.float64)


def planes(values: Integers) -> Float64:
    """[planes, values], at least one plane: x = sum over p of planes[p, x] 2^(22 p), all of x's sign."""
    if isinstance(values, np.ndarray):
        magnitude, sign = np.abs(values), np.sign(values)
        count = max(1, -(-int(magnitude.max(initial=0)).bit_length() // PLANE_BITS))
        return np.stack([((magnitude >> PLANE_BITS * p) & ((1 << PLANE_BITS) - 1)) * sign for p in range(count)]).astype(np.float64)
    count = max(1, -(-max((abs(v).bit_length() for v in values), default=0) // PLANE_BITS))
    mask = (1 << PLANE_BITS) - 1
    return np.array(
        [[(v >> PLANE_BITS * p & mask) if v >= 0 else -(-v >> PLANE_BITS * p & mask) for v in values] for p in range(count)], float
    )


def joined(sums: Int64) -> list[int]:
    """For each row of [rows, limbs] the sum over k of sums[row, k] 2^(16 k)."""
    rows, count = sums.shape
    digits, carry = np.empty((rows, count), dtype="<u2"), np.zeros(rows, dtype=np.int64)
    for k in range(count):
        total = sums[:, k] + carry
        digits[:, k] = total & ((1 << LIMB_BITS) - 1)
        carry = total >> LIMB_BITS
    data, size, top = digits.tobytes(), 2 * count, LIMB_BITS * count
    return [int.from_bytes(data[i * size : (i + 1) * size], "little") + (int(carry[i]) << top) for i in range(rows)]


def scaled(scales: Float64, values: Int64) -> Float64:
    """[values, limbs + 3]: each value, of at most `NARROW_BITS` bits, times the scalar of these limbs; the highest has the sign."""
    rows, count = scales.shape
    found, carry = np.zeros((rows, count + 3)), np.zeros(rows, dtype=np.int64)
    for k in range(count + 2):
        if k < count:
            carry += scales[:, k].astype(np.int64) * values
        found[:, k] = carry & ((1 << LIMB_BITS) - 1)
        carry >>= LIMB_BITS
    found[:, -1] = carry
    return found


def weighted(scalars: Sequence[int], rows: NDArray[np.uint16]) -> list[int]:
    """sum over a of scalars[a] · rows[a][t] for every t, where rows[a][t] are limbs, as many as the scalars have: [rows, t, limbs]."""
    _, width, count = rows.shape
    factors = limbs(scalars, count).T
    sums = np.zeros((count, width * count))
    for start in range(0, len(rows), WEIGHTED_ROWS):
        part = slice(start, start + WEIGHTED_ROWS)
        sums += factors[:, part] @ rows[part].reshape(-1, width * count).astype(np.float64)
    total = np.zeros((width, 2 * count), dtype=np.int64)
    for i, row in enumerate(sums.astype(np.int64)):
        total[:, i : i + count] += row.reshape(width, count)
    return joined(total)


class Matrix:
    """Vectors of one length, as the left side of products."""

    def __init__(self, vectors: Sequence[Integers]) -> None:
        split = [planes(v) for v in vectors]
        self._counts = [len(s) for s in split]
        self._planes = np.concatenate(split)

    def times(self, right: Sequence[Float64]) -> list[list[int]]:
        """For each vector its inner product with each of those on the right, which are limbs of their numbers, as many of each."""
        stacked = np.stack(right, axis=1)
        sums = (self._planes @ stacked.reshape(len(stacked), -1)).astype(np.int64)
        held, columns = joined(sums.reshape(-1, stacked.shape[2])), len(right)
        rows = iter([held[i : i + columns] for i in range(0, len(held), columns)])
        found = []
        for count in self._counts:
            total = next(rows)
            for p in range(1, count):
                total = [x + (y << PLANE_BITS * p) for x, y in zip(total, next(rows), strict=True)]
            found.append(total)
        return found


def combination(scalars: Sequence[int], rows: Sequence[Integers], count: int) -> list[int]:
    """sum over a of scalars[a] · rows[a][t] for every t, scalars in [0, 2^(16 count)); rows of one length, at least one."""
    width = len(rows[0])
    total = [0] * width
    written = limbs(scalars, count)
    split = [planes(row) for row in rows]
    for p in range(max(len(s) for s in split)):
        held = [a for a, s in enumerate(split) if len(s) > p]
        sums = np.zeros((width, count), dtype=np.int64)
        for start in range(0, len(held), MOST_TERMS):
            part = held[start : start + MOST_TERMS]
            sums += np.rint(np.stack([split[a][p] for a in part]).T @ written[part]).astype(np.int64)
        total = [x + (y << PLANE_BITS * p) for x, y in zip(total, joined(sums), strict=True)]
    return total
