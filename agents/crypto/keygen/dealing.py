"""How shares of d become shares of a threshold key (D18 to D20): integer polynomials with f(0) = Δ d, sealed to the holders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import factorial

from defedbio.crypto import numbers
from defedbio.crypto.keygen.terms import PUBLISH, Terms
from defedbio.crypto.numbers import Rand
from defedbio.crypto.share_sizes import carried, coefficient_bits
from defedbio.crypto.threshold import ROOT_PROOFS, base_square, commitment_at, root_target
from defedbio.errors import BadTranscript


@dataclass(frozen=True)
class Dealt:
    """A contributor's commitments A_(i,k), its factors of the n-th roots, and F_i(j) for every holder."""

    commitments: list[int]
    roots: list[int]
    sub_shares: list[int] = field(repr=False)


def deal(terms: Terms, n: int, secret: int, rand: Rand) -> Dealt:
    """Of d_i."""
    holders, v = len(terms.holders), base_square(n)
    bits = coefficient_bits(terms.bits, holders)
    coefficients = [factorial(holders) * secret, *(numbers.random_bits(rand, bits) for _ in range(terms.threshold - 1))]
    return Dealt(
        [numbers.powmod(v, a, n) for a in coefficients],
        [numbers.powmod(root_target(n, index), secret, n) for index in range(ROOT_PROOFS)],
        [sum(a * j**k for k, a in enumerate(coefficients)) for j in range(1, holders + 1)],
    )


def fits(terms: Terms, n: int, commitments: Sequence[int], index: int, value: int) -> bool:
    """Whether a sub-share of holder `index` (from 1) is below its bound, and the one that its dealer committed to."""
    return 0 <= value < terms.sub_share_bound and numbers.powmod(base_square(n), value, n) == commitment_at(commitments, index, n)


def carry(terms: Terms, n: int, posted: Sequence[Sequence[int]]) -> int:
    """κ: how often Q is to be added to Σ d_i, of all contributors' commitments.

    Raises:
        BadTranscript: when no κ fits.
    """
    v, delta = base_square(n), factorial(len(terms.holders))
    constant = numbers.product([commitments[0] for commitments in posted], n)
    step, target = numbers.powmod(v, delta * terms.quotient, n), numbers.powmod(v, delta, n)
    for kappa in range(terms.threshold):
        if numbers.powmod(constant, n, n) == target:
            return kappa
        constant = constant * step % n
    raise BadTranscript("the exponents that were dealt do not add up to the inverse of n", PUBLISH)


def joined_commitments(terms: Terms, n: int, posted: Sequence[Sequence[int]], kappa: int) -> tuple[int, ...]:
    """A_k of the key."""
    first, *others = (numbers.product(column, n) for column in zip(*posted, strict=True))
    return (first * numbers.powmod(base_square(n), carried(terms.bits, terms.threshold, len(terms.holders), kappa), n) % n, *others)


def joined_roots(terms: Terms, n: int, posted: Sequence[Sequence[int]], kappa: int) -> tuple[int, ...]:
    """The n-th roots of the key."""
    return tuple(
        numbers.product(column, n) * numbers.powmod(root_target(n, index), kappa * terms.quotient, n) % n
        for index, column in enumerate(zip(*posted, strict=True))
    )
