"""Elements of the group in which n is bound to p and q: powers of G, and what every proof of a contributor is bound to."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto import numbers
from defedbio.crypto.keygen.sieve import FIRST, UNIT
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.transcript import Transcript


def is_element(terms: Terms, value: int) -> bool:
    p = terms.group.p
    return 0 < value < p and numbers.jacobi(value, p) == 1


def powers(terms: Terms, exponents: Sequence[int], digits: int) -> list[int]:
    """G^e for exponents of `digits` bytes."""
    table = numbers.comb_table(terms.generator, terms.group.p, digits)
    return table.powers(b"".join([e.to_bytes(digits, "little") for e in exponents]))


def power(terms: Terms, exponent: int) -> int:
    return numbers.powmod(terms.generator, exponent, terms.group.p)


def summand(terms: Terms, base: int, position: int, element: int) -> int:
    """base^(p_i) of base^(p_i'): p_i is 8 p_i', and 3 more for contributor 1."""
    p = terms.group.p
    return numbers.powmod(element, UNIT, p) * (numbers.powmod(base, FIRST, p) if position == 0 else 1) % p


def whole(terms: Terms, base: int, elements: Sequence[int]) -> int:
    """base^p of all base^(p_i')."""
    return numbers.product([summand(terms, base, i, element) for i, element in enumerate(elements)], terms.group.p)


def bound(domain: str, terms: Terms, position: int, n: int) -> Transcript:
    """A proof's transcript: the terms, who proves, and N."""
    transcript = Transcript(domain)
    transcript.append("terms", terms.hash)
    transcript.append("position", bytes((position,)))
    transcript.append("modulus", numbers.to_bytes(n, terms.width))
    return transcript


def append(transcript: Transcript, terms: Terms, label: str, elements: Sequence[int]) -> None:
    size = terms.group.element_bytes
    transcript.append(label, b"".join([numbers.to_bytes(element, size) for element in elements]))
