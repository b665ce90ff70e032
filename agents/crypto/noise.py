"""Discrete Gaussian noise, sampled exactly: integers in, integers out, no floating point (Mironov 2012 says why).

Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy" (2020): algorithm 1 (Bernoulli with an exponential
probability), algorithm 2 (discrete Laplace), algorithm 3 (discrete Gaussian by rejection), here for whole vectors at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from defedbio.domain import MAX_NOISE, NOISE_TAIL
from defedbio.errors import InvalidInput

if TYPE_CHECKING:
    from defedbio.crypto.numbers import Rand

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


def discrete_gaussian(size: int, deviation: int, rand: Rand) -> Int64:
    """int64 [size] of independent discrete Gaussians: the integer x has probability proportional to exp(-x² / (2 · deviation²)).

    A value beyond `NOISE_TAIL` deviations is drawn again, so that sums fit their slots: with 12 deviations the distribution changes by less
    than 2^-100 an element.

    Args:
        deviation: 1..`MAX_NOISE`, where all products fit 64 bits. rand: independent uniform bytes.

    Raises:
        InvalidInput: for another deviation or a negative size.
    """
    if not 1 <= deviation <= MAX_NOISE or size < 0:
        raise InvalidInput(f"noise needs a deviation of 1..{MAX_NOISE} and a size of at least 0")
    out = np.empty(size, dtype=np.int64)
    missing = np.arange(size)
    while len(missing):
        candidate = _discrete_laplace(len(missing), deviation, rand)
        near = np.abs(candidate) <= NOISE_TAIL * deviation
        # With a Laplace of the Gaussian's own scale s, the acceptance exponent is (|y| - s)² / (2 s²).
        distance = np.where(near, np.abs(candidate) - deviation, 0)
        kept = near & _bernoulli_exp(distance * distance, 2 * deviation * deviation, rand)
        out[missing[kept]] = candidate[kept]
        missing = missing[~kept]
    return out


def _discrete_laplace(size: int, scale: int, rand: Rand) -> Int64:
    """Probability proportional to exp(-|x| / scale). Geometric parts beyond 2^10 scales, which come once in e^1024, are cut."""
    out = np.empty(size, dtype=np.int64)
    missing = np.arange(size)
    while len(missing):
        below = _uniform(len(missing), scale, rand)
        kept = _bernoulli_exp(below, scale, rand)
        whole = _geometric(int(kept.sum()), rand)
        signs = 1 - 2 * _uniform(len(whole), 2, rand)
        value = below[kept] + scale * whole
        # Zero must not count twice, once for each sign.
        single = (value != 0) | (signs > 0)
        out[missing[kept][single]] = (signs * value)[single]
        undone = ~kept
        undone[np.flatnonzero(kept)[~single]] = True
        missing = missing[undone]
    return out


def _geometric(size: int, rand: Rand) -> Int64:
    """How often a coin of probability 1/e fell on its face before it did not."""
    out = np.zeros(size, dtype=np.int64)
    running = np.arange(size)
    while len(running) and out[running[0]] < 1 << 10:
        running = running[_bernoulli_exp(np.ones(len(running), dtype=np.int64), 1, rand)]
        out[running] += 1
    return out


def _bernoulli_exp(numerator: Int64, denominator: int, rand: Rand) -> Bool:
    """True with probability exp(-numerator / denominator), numerators at least 0."""
    whole, rest = np.divmod(numerator, denominator)
    result = _bernoulli_below_one(rest, denominator, rand)
    # exp(-g) is exp(-1) floor(g) times, and once the rest: a first False ends it.
    going = np.flatnonzero(result & (whole > 0))
    while len(going):
        heads = _bernoulli_below_one(np.ones(len(going), dtype=np.int64), 1, rand)
        result[going[~heads]] = False
        going = going[heads]
        whole[going] -= 1
        going = going[whole[going] > 0]
    return result


def _bernoulli_below_one(numerator: Int64, denominator: int, rand: Rand) -> Bool:
    """True with probability exp(-g) for g = numerator / denominator in [0, 1] (Forsythe, von Neumann)."""
    result = np.empty(len(numerator), dtype=bool)
    running = np.arange(len(numerator))
    count = 1
    while len(running):
        heads = _uniform(len(running), denominator * count, rand) < numerator[running]
        result[running[~heads]] = count % 2 == 1
        running = running[heads]
        count += 1
    return result


def _uniform(size: int, below: int, rand: Rand) -> Int64:
    """Uniform integers in [0, below), by rejection from as few bits as hold them; 1 <= below < 2^63."""
    out = np.empty(size, dtype=np.int64)
    missing = np.arange(size)
    spare = np.uint64(64 - max((below - 1).bit_length(), 1))
    while len(missing):
        drawn = (np.frombuffer(rand(8 * len(missing)), dtype="<u8") >> spare).astype(np.int64)
        fits = drawn < below
        out[missing[fits]] = drawn[fits]
        missing = missing[~fits]
    return out
