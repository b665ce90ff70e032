"""A public random rotation that spreads a vector's norm evenly over its elements, which then look Gaussian whatever they were.

Random signs, then a Walsh-Hadamard transform over m elements, m the largest power of two that is no larger than the length: first of the
first m elements and then, with signs of their own, of the last m (Ailon and Chazelle 2009; DRIVE, Vargaftik et al. 2021). The two overlap,
so any length is rotated without padding, and no element's deviation is above √2 times the mean one. Both are orthogonal: norms are kept.

Every step is one IEEE addition, subtraction or multiplication of each element by itself, in a fixed order: the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from defedbio.crypto.transcript import Transcript
from defedbio.domain import LEAST_ROTATED
from defedbio.errors import InvalidInput

Float64 = NDArray[np.float64]


def rotate(vector: Float64, seed: bytes, name: str) -> Float64:
    """The rotated vector, float64 of the same length, at least `LEAST_ROTATED`.

    Args:
        seed: what is public of the round and unlike all others, not empty. name: of what the vector holds: each gets signs of its own.

    Raises:
        InvalidInput: for a shorter vector or an empty seed.
    """
    out = vector.copy()
    for part, signs in _passes(len(vector), seed, name):
        out[part] = _hadamard(out[part] * signs)
    return out


def rotate_back(vector: Float64, seed: bytes, name: str) -> Float64:
    """The inverse of `rotate`, but for the rounding of floating point; raises as it does."""
    out = vector.copy()
    for part, signs in reversed(list(_passes(len(vector), seed, name))):
        out[part] = _hadamard(out[part]) * signs
    return out


def _passes(length: int, seed: bytes, name: str) -> Iterator[tuple[slice, Float64]]:
    """What is transformed, in this order, and the signs before it. One pass covers a power of two."""
    if length < LEAST_ROTATED or not seed:
        raise InvalidInput(f"a rotation needs a seed and at least {LEAST_ROTATED} elements")
    m = 1 << length.bit_length() - 1
    starts = (0,) if m == length else (0, length - m)
    transcript = Transcript("defedbio/rotation/1")
    transcript.append("round", seed)
    transcript.append("segment", name.encode())
    drawn = np.frombuffer(transcript.challenge_bytes("signs", len(starts) * m // 8), dtype=np.uint8)
    bits = np.unpackbits(drawn, bitorder="little").reshape(len(starts), m)
    for start, row in zip(starts, bits, strict=True):
        yield slice(start, start + m), np.where(row, -1.0, 1.0)


def _hadamard(vector: Float64) -> Float64:
    """H x / √m, H the Walsh-Hadamard matrix in natural order: its own inverse. m is a power of two.

    Each pass takes pairs of neighbours to their sum, in the first half, and their difference, in the second; after log2 m passes every
    element is back at its place.
    """
    out = vector
    for _ in range(len(vector).bit_length() - 1):
        even, odd = out[0::2], out[1::2]
        out = np.concatenate((even + odd, even - odd))
    return out * (1.0 / sqrt(len(vector)))
