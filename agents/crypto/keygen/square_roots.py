"""The square roots of `two_primes`, made without the factors (D14)."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto import numbers
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.keygen.candidates import Candidate, exponent
from defedbio.crypto.proofs import two_primes


def factors(n: int, position: int, candidate: Candidate, arithmetic: Arithmetic = ONE_THREAD) -> list[int]:
    """A contributor's factor of every root."""
    e = exponent(n, position, candidate.p, candidate.q)
    powers = arithmetic.powers(two_primes.targets(n), abs(e), n)
    return powers if e >= 0 else numbers.invert_all(powers, n)


def joined(n: int, posted: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The roots: a square root of ±y has Jacobi symbol 1 when it is a power of y, and the one below n/2 is shown.

    Raises:
        BadTranscript: unless n is a product of two primes, or somebody's factors are wrong.
    """
    roots = tuple(min(x, n - x) for x in numbers.column_products(posted, n))
    two_primes.verify(n, roots)
    return roots
