"""n is p q (D16): Z_i = X^(q_i), which has the logarithm of Q_i, and the product of all Z_i is G^n.

Both sides are smaller than the group's order, so that equal powers are equal numbers. The proof is that of Chaum, Pedersen 1992.
"""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.crypto import numbers
from defedbio.crypto.keygen import elements
from defedbio.crypto.keygen.candidates import constant
from defedbio.crypto.keygen.sieve import UNIT
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.numbers import Rand
from defedbio.errors import BadProof

CHALLENGE_BITS = 128


@dataclass(frozen=True)
class Statement:
    """Contributor `position`'s Q_i = G^(q_i') and Z_i = X^(q_i), X = G^p, for the survivor n."""

    terms: Terms
    position: int
    n: int
    x: int
    q: int
    z: int


@dataclass(frozen=True)
class SameLogarithm:
    challenge: int
    answer: int


def factor(terms: Terms, x: int, q: int) -> int:
    """Z_i, of q_i."""
    return numbers.powmod(x, q, terms.group.p)


def prove(statement: Statement, q: int, rand: Rand) -> SameLogarithm:
    """For q = q_i'."""
    group = statement.terms.group
    (mask,) = group.scalars(rand, 1)
    first = elements.power(statement.terms, mask)
    second = numbers.powmod(_base(statement), mask, group.p)
    challenge = _challenge(statement, first, second)
    return SameLogarithm(challenge, (mask + challenge * q) % group.q)


def verify(statement: Statement, proof: SameLogarithm) -> None:
    """Raises BadProof unless Z_i has the logarithm of Q_i; all are elements of the group."""
    terms, p = statement.terms, statement.terms.group.p
    target = statement.z * numbers.powmod(statement.x, -constant(statement.position), p) % p
    first = numbers.multi_powmod([terms.generator, statement.q], [proof.answer, -proof.challenge], p)
    second = numbers.multi_powmod([_base(statement), target], [proof.answer, -proof.challenge], p)
    if _challenge(statement, first, second) != proof.challenge:
        raise BadProof("its factor of G^n does not have the number of its request")


def _base(statement: Statement) -> int:
    """X^8: Z_i is this to the power q_i', times X^3 for contributor 1."""
    return numbers.powmod(statement.x, UNIT, statement.terms.group.p)


def _challenge(statement: Statement, first: int, second: int) -> int:
    transcript = elements.bound("defedbio/ceremony-product/1", statement.terms, statement.position, statement.n)
    elements.append(transcript, statement.terms, "statement", (statement.x, statement.q, statement.z))
    elements.append(transcript, statement.terms, "commitments", (first, second))
    return transcript.challenge_int("challenge", CHALLENGE_BITS)
