"""From an organisation's real vector to the integers that are packed, and from their sum to the weighted mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from defedbio.crypto.noise import discrete_gaussian
from defedbio.crypto.rotation import rotate, rotate_back
from defedbio.crypto.rules import Norm
from defedbio.domain import FULL_SHARE, MAX_PARTICIPANTS, NOISE_TAIL, Quantisation, Segment
from defedbio.errors import InvalidData, InvalidInput

if TYPE_CHECKING:
    from defedbio.crypto.numbers import Rand

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# Honest contributions are outside their rule with e^-_TAIL = 2^-30.
_TAIL = 20.8
# Of IEEE arithmetic, relative; `_clip` is within it.
_ARITHMETIC = 1e-9
_TRIES = 1000


@dataclass(frozen=True)
class Decoded:
    """By segment: the weighted mean (float64) over the participants, or the plain sum where the segment is not weighted; total weight."""

    vectors: tuple[Float64, ...]
    weight: int


def norm_rule(segment: Segment) -> Norm:
    """What `encode` keeps to, whatever it encodes, and what a proof can say of anybody's segment that has a clip norm.

    Values as they are have at most A·W/cap before they are rounded, with A = clip_norm · scale, and every one of d moves by less than one
    unit: (A·W/cap + √d)² bounds their square for certain. Noise of deviation s adds s·√(d + 2√(d t) + 2 t) to the norm but with
    e^-t (Hsu, Kakade, Zhang 2012; discrete Gaussians are sub-Gaussian).

    Rotated values have at most d·sigma² times the square of min(1, 16 W/cap), or of 1 where they are not weighted (`Quantisation.limit`).
    Stochastic rounding adds at most 1/4 to each square's expectation, and by Bernstein's inequality (Boucheron, Lugosi, Massart 2013,
    theorem 2.10) no more than √(2 d t)·(sigma + 1/2) + 2 b t / 3 to their sum, but with e^-t: a square moves by up to b = 2·largest + 1,
    and has a variance of at most (|r| + 1/2)².

    Raises:
        InvalidInput: for a segment without a clip norm.
    """
    q, d = segment.quantisation, segment.length
    if q.clip_norm is None:
        raise InvalidInput(f"the {segment.name} of a contribution has no clip norm")
    if q.rotated:
        squares = d * q.sigma * q.sigma * (1 + _ARITHMETIC)
        beside = d / 4 + sqrt(2 * d * _TAIL) * (q.sigma + 0.5) + 2 * (2 * q.largest + 1) * _TAIL / 3
        most, cap = ceil(squares + beside), q.weight_cap
        if not q.weighted or cap <= FULL_SHARE:
            return Norm(most, spread=True)
        return Norm(ceil(beside) * cap * cap, 0, ceil(squares * FULL_SHARE**2), cap * cap, True, most * cap * cap)
    whole = q.clip_norm * q.scale * (1 + _ARITHMETIC)
    beside = sqrt(d) + q.noise * sqrt(d + 2 * sqrt(d * _TAIL) + 2 * _TAIL)
    if not q.weighted:
        return Norm(ceil((whole + beside) * (whole + beside)))
    cap = q.weight_cap
    return Norm(ceil(beside * beside) * cap * cap, ceil(2 * whole * beside) * cap, ceil(whole * whole), cap * cap)


def encode(vectors: Sequence[Float64], weight: int, segments: Sequence[Segment], rand: Rand, rotation: bytes = b"") -> Int64:
    """int64 array of P + 1: the weight, then of every part round(weight / weight_cap · x · scale), or round(x · scale) if not weighted.

    x is clipped to the L2 norm `clip_norm`, then element-wise to `max_abs`. Rounding is stochastic on the magnitude, with 53 random
    bits an element: the expectation is the real value to within 2^-53. Whole numbers under a whole scale are exact. The segment's
    noise comes last. Where values are rotated, weight / weight_cap · x is what is clipped, to the norm `Quantisation.limit`, and then
    rotated by the round's public `rotation` and cut at `largest` units. No segment is outside its `norm_rule`: one that comes out above is
    rounded again from a vector that is shorter by a hundredth.

    Raises:
        InvalidData: for a part that is not 1-D float64 of its segment's length, or has NaN or infinite elements.
        InvalidInput: for a weight outside 1..weight_cap, vectors that are not one a segment, a quantisation too narrow for one, or no
            rotation where values are to be rotated.
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
        share = q.share(weight)
        if q.rotated:
            real = rotate(_shortened(x * share, q.limit(weight)), rotation, segment.name) * q.scale
        else:
            real = _clip(x, q) * (share * q.scale)
        out.append(_integers(real, weight, segment, rand) + q.shift)
    return np.concatenate(out)


def shrunk(vectors: Sequence[Float64], weight: int, segments: Sequence[Segment], factor: float) -> tuple[Float64, ...]:
    """The vectors with those that are clipped to a norm clipped and then made shorter by `factor`; numbers bounded one by one stay."""
    return tuple(
        x if s.quantisation.clip_norm is None else _limited(x, weight, s.quantisation) * factor
        for x, s in zip(vectors, segments, strict=True)
    )


def decode(totals: Int64, segments: Sequence[Segment], participants: int, rotation: bytes = b"", proven: bool = False) -> Decoded:
    """totals / scale (· weight_cap / total weight), element by element in IEEE double: the same bytes on every machine.

    Rotated values are turned back by the round's `rotation` before anything else.

    Args:
        proven: every contribution was shown to obey its rules. A total may be any then; without proofs, one beyond what honest
            contributions add up to says that a slot was overflown.

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
        piece = totals[start : start + segment.length] - participants * q.shift
        start += segment.length
        limit = participants * (q.largest + NOISE_TAIL * q.noise)
        if not proven and (np.any(piece > limit) or np.any(piece < -limit)):
            raise InvalidInput(f"a total is larger than {participants} contributions can make it")
        real: Float64 = piece.astype(np.float64)
        real = (rotate_back(real, rotation, segment.name) if q.rotated else real) / q.scale
        vectors.append(real * float(q.weight_cap) / float(weight) if q.weighted else real)
    return Decoded(tuple(vectors), weight)


def _integers(real: Float64, weight: int, segment: Segment, rand: Rand) -> Int64:
    """Rounded, with noise, and within the segment's rule: `real` is within it, so that a few tries are enough."""
    q = segment.quantisation
    rule = norm_rule(segment) if q.clip_norm is not None else None
    for _ in range(_TRIES):
        values = _round(real, q, rand)
        if q.noise:
            values = values + discrete_gaussian(segment.length, q.noise, rand)
        if rule is None or rule.holds(values, weight):
            return values
        real = real * 0.99
    raise InvalidInput(f"the {segment.name} of a contribution cannot be brought within its rule")


def _round(real: Float64, q: Quantisation, rand: Rand) -> Int64:
    magnitude = np.abs(real)
    whole = np.floor(magnitude)
    uniform = (np.frombuffer(rand(8 * len(real)), dtype="<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53
    rounded = np.minimum(whole + (uniform < magnitude - whole), float(q.largest))
    signed: Int64 = np.copysign(rounded, real).astype(np.int64)
    return signed


def _clip(vector: Float64, q: Quantisation) -> Float64:
    out = vector if q.clip_norm is None else _shortened(vector, q.clip_norm)
    return out if q.max_abs is None else np.clip(out, -q.max_abs, q.max_abs)


def _limited(vector: Float64, weight: int, q: Quantisation) -> Float64:
    return _shortened(vector, q.limit(weight) / q.share(weight)) if q.rotated else _clip(vector, q)


def _shortened(vector: Float64, norm: float) -> Float64:
    """The vector, with the L2 norm `norm` if it is longer."""
    largest = float(np.max(np.abs(vector)))
    if largest == 0:
        return vector
    # scaled by the largest element first, so that squares can neither overflow nor vanish
    relative = vector / largest
    own = float(np.sqrt(np.sum(relative * relative)))
    return relative * (norm / own) if largest > norm / own else vector
