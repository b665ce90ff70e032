"""Non-negative integers as sums of three squares, which is how a proof shows that a number is not negative.

By Legendre (1798) all are such sums but those of the form 4^a(8b + 7). A random square is taken off until the rest is a prime that is
1 mod 4, or twice one, and such a prime is a sum of two squares (Rabin and Shallit, Randomized algorithms in number theory, 1986). In C
where the kernel was compiled (native/squares.h), else in Python. Neither runs in constant time, nor wipes what it worked with.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, isqrt, prod

from defedbio.crypto import kernel, numbers
from defedbio.crypto.numbers import Rand
from defedbio.errors import InternalFault, InvalidInput

LIMIT = 1 << 126
Roots = tuple[int, int, int]

_SMALL = 1 << 20  # below it a number may have no such prime: all squares are tried
_MOST_TRIES = 20_000  # one in 45 is right for the longest numbers
_DIVISORS = prod((3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53))


def three_squares(values: Sequence[int], rand: Rand) -> list[Roots]:
    """(a, b, c), each at least 0, with a² + b² + c² = value, for each value in [0, 2^126].

    Which of the many triples it is must say nothing of interest to anyone: the first square is drawn uniformly from those of the parity
    that the others need. No more is asked of the 32 bytes from `rand`, since whoever uses the roots keeps them as secret as the value.

    Raises:
        InvalidInput: for a value out of this range, or one that is no sum of three squares.
    """
    for value in values:
        if not 0 <= value <= LIMIT:
            raise InvalidInput("three squares are found for numbers from 0 to 2^126")
        if value and _without_fours(value)[0] % 8 == 7:
            raise InvalidInput("a number of the form 4^a(8b + 7) is no sum of three squares")
    if kernel.compiled():
        return kernel.three_squares(values, rand(32))
    return [_three_squares(value, rand) for value in values]


def _without_fours(value: int) -> tuple[int, int]:
    """(rest, twos) with value = rest · 4^twos for a value above 0."""
    twos = ((value & -value).bit_length() - 1) // 2
    return value >> 2 * twos, twos


def _three_squares(value: int, rand: Rand) -> Roots:
    if not value:
        return 0, 0, 0
    rest, twos = _without_fours(value)
    a, b, c = _of_small(rest, rand) if rest < _SMALL else _of_large(rest, rand)
    return a << twos, b << twos, c << twos


def _of_small(value: int, rand: Rand) -> Roots:
    root = isqrt(value)
    start = numbers.random_below(rand, root + 1)
    for i in range(root + 1):
        x = (start + i) % (root + 1)
        rest = value - x * x
        for a in range(isqrt(rest // 2) + 1):
            b = isqrt(rest - a * a)
            if a * a + b * b == rest:
                return x, a, b
    raise InternalFault("no three squares for a number that must have them")


def _of_large(value: int, rand: Rand) -> Roots:
    odd, twice, root = value % 4 != 1, value % 4 == 3, isqrt(value)
    if root * root == value:
        return root, 0, 0  # no value - x² is prime then
    for _ in range(_MOST_TRIES):
        x = 2 * numbers.random_below(rand, (root - odd) // 2 + 1) + odd
        found = _two_squares(value - x * x >> twice)
        if found is not None:
            a, b = found
            return (x, a + b, abs(a - b)) if twice else (x, a, b)
    raise InternalFault("no three squares in a number of tries that must find them")


def _two_squares(p: int) -> tuple[int, int] | None:
    """p = a² + b² for a prime p that is 1 mod 4: the remainders of Euclid's algorithm on p and a root of -1 (Hermite 1848, Brillhart 1972).

    None for numbers that are no such prime, but for a few that come out all the same.
    """
    if p < 2 or gcd(p, _DIVISORS) != 1 or isqrt(p) ** 2 == p:
        return None
    base = 2
    while numbers.jacobi(base, p) != -1:
        base += 1
    above, x = p, numbers.powmod(base, (p - 1) // 4, p)
    if x * x % p != p - 1:
        return None
    while x * x > p:
        above, x = x, above % x
    y = above % x
    return (x, y) if x * x + y * y == p else None
