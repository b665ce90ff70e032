"""From an organisation's real vector to the integers that are packed, and from their sum to the weighted mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defedbio.crypto.noise import discrete_gaussian
from defedbio.crypto.numbers import Rand
from defedbio.domain import MAX_PARTICIPANTS, NOISE_TAIL, Quantisation, Segment
from defedbio.errors import InvalidData, InvalidInput

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Decoded:
    """By segment: the weighted mean (float64) over the participants, or the plain sum where the segment is not weighted; total weight."""

    vectors: tuple[Float64, ...]
    weight: int


def encode(vectors: Sequence[Float64], weight: int, segments: Sequence[Segment], rand: Rand) -> Int64:
    """int64 array of P + 1: the weight, then of every part round(weight / weight_cap · x · scale), or round(x · scale) if not weighted.

    x is clipped to the L2 norm `clip_norm`, then element-wise to `max_abs`. Rounding is stochastic on the magnitude, with 53 random
    bits an element: the expectation is the real value to within 2^-53. Whole numbers under a whole scale are exact. The segment's
    noise comes last.

    Raises:
        InvalidData: for a part that is not 1-D float64 of its segment's length, or has NaN or infinite elements.
        InvalidInput: for a weight outside 1..weight_cap, vectors that are not one a segment, or a quantisation too narrow for one.
    """
    if len(vectors) != len(segments) or not segments:
        raise InvalidInput("a contribution needs one part for every segment")
    out = [np.array([weight], dtype=np.int64)]
    for x, segment in zip(vectors, segments, strict=True):
        q = segment.quantisation
        if x.shape != (segment.length,) or x.dtype != np.float64:
            raise InvalidData(f"the {segment.name} of a contribution must be {segment.length} float64 numbers")
        if not np.all(np.isfinite(x)):
            raise InvalidData(f"the {segment.name} has elements that are not finite", "lower the learning rate or check the data")
        if not 1 <= weight <= q.weight_cap:
            raise InvalidInput(f"the weight must be 1..{q.weight_cap}")
        q.check_slot_rule(1)
        rounded = _round(x, weight / q.weight_cap if q.weighted else 1.0, q, rand)
        out.append(rounded + discrete_gaussian(segment.length, q.noise, rand) if q.noise else rounded)
    return np.concatenate(out)


def decode(totals: Int64, segments: Sequence[Segment], participants: int) -> Decoded:
    """totals / scale (· weight_cap / total weight), element by element in IEEE double: the same bytes on every machine.

    Raises:
        InvalidInput: when the sum cannot come from `participants` contributions within the slot rule.
    """
    if totals.dtype != np.int64 or not segments or totals.shape != (1 + sum(s.length for s in segments),):
        raise InvalidInput("totals must be a 1-D int64 array of a weight and the segments' values")
    if not 1 <= participants <= MAX_PARTICIPANTS:
        raise InvalidInput(f"participants must be 1..{MAX_PARTICIPANTS}")
    weight, start = int(totals[0]), 1
    vectors = []
    for segment in segments:
        q = segment.quantisation
        q.check_slot_rule(participants)
        if not participants <= weight <= participants * q.weight_cap:
            raise InvalidInput(f"the total weight is impossible for {participants} participants")
        piece = totals[start : start + segment.length]
        start += segment.length
        limit = participants * (q.largest + NOISE_TAIL * q.noise)
        if np.any(piece > limit) or np.any(piece < -limit):
            raise InvalidInput(f"a total is larger than {participants} contributions can make it")
        real: Float64 = piece.astype(np.float64) / q.scale
        vectors.append(real * float(q.weight_cap) / float(weight) if q.weighted else real)
    return Decoded(tuple(vectors), weight)


def _round(x: Float64, factor: float, q: Quantisation, rand: Rand) -> Int64:
    real = _clip(x, q) * (factor * q.scale)
    magnitude = np.abs(real)
    whole = np.floor(magnitude)
    uniform = (np.frombuffer(rand(8 * len(real)), dtype="<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53
    rounded = np.minimum(whole + (uniform < magnitude - whole), float(q.largest))
    signed: Int64 = np.copysign(rounded, real).astype(np.int64)
    return signed


def _clip(vector: Float64, q: Quantisation) -> Float64:
    out = vector
    largest = float(np.max(np.abs(vector)))
    if q.clip_norm is not None and largest > 0:
        # scaled by the largest element first, so that squares can neither overflow nor vanish
        relative = vector / largest
        norm = float(np.sqrt(np.sum(relative * relative)))
        if largest > q.clip_norm / norm:
            out = relative * (q.clip_norm / norm)
    return out if q.max_abs is None else np.clip(out, -q.max_abs, q.max_abs)
