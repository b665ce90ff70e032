"""From an organisation's real vector to the integers that are packed, and from their sum to the weighted mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.crypto.numbers import Rand
from agents.domain import MAX_PARTICIPANTS, Quantisation
from agents.errors import InvalidData, InvalidInput

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Decoded:
    """The weighted mean (float64, P elements) over the participants, and the sum of their weights."""

    mean: Float64
    weight: int


def encode(vector: Float64, weight: int, q: Quantisation, rand: Rand) -> Int64:
    """int64 array of P + 1: the weight, then round(weight / weight_cap · x · scale) for the clipped x.

    x is clipped to the L2 norm `q.clip_norm`, then element-wise to `q.max_abs`. Rounding is stochastic on the magnitude, with 53 random
    bits an element: the expectation is the real value to within 2^-53.

    Raises:
        InvalidData: for a vector that is not 1-D float64, is empty or has NaN or infinite elements.
        InvalidInput: for a weight outside 1..weight_cap, or a quantisation that one contribution alone overflows.
    """
    if vector.ndim != 1 or vector.dtype != np.float64 or not len(vector):
        raise InvalidData("a contribution must be a 1-D float64 vector with at least one element")
    if not np.all(np.isfinite(vector)):
        raise InvalidData("a contribution has elements that are not finite", "lower the learning rate or check the data")
    if not 1 <= weight <= q.weight_cap:
        raise InvalidInput(f"the weight must be 1..{q.weight_cap}")
    q.check_slot_rule(1)
    real = _clip(vector, q) * (weight / q.weight_cap * q.scale)
    magnitude = np.abs(real)
    whole = np.floor(magnitude)
    uniform = (np.frombuffer(rand(8 * len(real)), dtype="<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53
    rounded = np.minimum(whole + (uniform < magnitude - whole), float(_element_bound(q)))
    out = np.empty(len(vector) + 1, dtype=np.int64)
    out[0] = weight
    out[1:] = np.copysign(rounded, real).astype(np.int64)
    return out


def decode(totals: Int64, q: Quantisation, participants: int) -> Decoded:
    """mean = totals[1:] / scale · weight_cap / totals[0], element by element in IEEE double: the same bytes on every machine.

    Raises:
        InvalidInput: when the sum cannot come from `participants` contributions within the slot rule.
    """
    if totals.ndim != 1 or totals.dtype != np.int64 or len(totals) < 2:
        raise InvalidInput("totals must be a 1-D int64 array of a weight and at least one value")
    if not 1 <= participants <= MAX_PARTICIPANTS:
        raise InvalidInput(f"participants must be 1..{MAX_PARTICIPANTS}")
    q.check_slot_rule(participants)
    weight = int(totals[0])
    if not participants <= weight <= participants * q.weight_cap:
        raise InvalidInput(f"the total weight is impossible for {participants} participants")
    limit = participants * _element_bound(q)
    if np.any(totals[1:] > limit) or np.any(totals[1:] < -limit):
        raise InvalidInput(f"a total is larger than {participants} contributions can make it")
    mean: Float64 = totals[1:].astype(np.float64) / q.scale * float(q.weight_cap) / float(weight)
    return Decoded(mean, weight)


def _element_bound(q: Quantisation) -> int:
    """Largest magnitude of one rounded element: the real bound and one unit for rounding."""
    return int(min(b for b in (q.clip_norm, q.max_abs) if b is not None) * q.scale) + 1


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
