"""n is p q (D16): Z_i = X^(q_i') has the logarithm of Q_i, X = G^p, and X^q, which all Z_i make, is G^n.

abs(p q) and n are smaller than the group's order, so that equal powers are equal numbers. The proof is that of Chaum, Pedersen 1992.
"""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.crypto import numbers
from defedbio.crypto.keygen import elements
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.numbers import Rand
from defedbio.errors import BadProof

CHALLENGE_BITS = 128


@dataclass(frozen=True)
class Statement:
    """Contributor `position`'s Q_i = G^(q_i') and Z_i = X^(q_i'), for the survivor n."""

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


def prove(statement: Statement, secret: int, rand: Rand) -> SameLogarithm:
    """For the secret q_i'."""
    group = statement.terms.group
    (mask,) = group.scalars(rand, 1)
    first, second = elements.power(statement.terms, mask), numbers.powmod(statement.x, mask, group.p)
    challenge = _challenge(statement, first, second)
    return SameLogarithm(challenge, (mask + challenge * secret) % group.q)


def verify(statement: Statement, proof: SameLogarithm) -> None:
    """Raises BadProof unless Z_i has the logarithm of Q_i; all are elements of the group."""
    p, exponents = statement.terms.group.p, [proof.answer, -proof.challenge]
    first = numbers.multi_powmod([statement.terms.generator, statement.q], exponents, p)
    second = numbers.multi_powmod([statement.x, statement.z], exponents, p)
    if _challenge(statement, first, second) != proof.challenge:
        raise BadProof("its factor of G^n does not have the number of its request")


def _challenge(statement: Statement, first: int, second: int) -> int:
    transcript = elements.bound("defedbio/ceremony-product/1", statement.terms, statement.position, statement.n)
    elements.append(transcript, statement.terms, "statement", (statement.x, statement.q, statement.z))
    elements.append(transcript, statement.terms, "commitments", (first, second))
    return transcript.challenge_int("challenge", CHALLENGE_BITS)
