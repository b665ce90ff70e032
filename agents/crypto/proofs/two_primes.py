"""The proof that a modulus is the product of two primes, both 3 modulo 4.

128 numbers y with Jacobi symbol 1 are hashed from n, and for each a square root of y or of -y is shown (van de Graaf, Peralta 1987;
Gennaro, Micciancio, Rabin 1998; Goldberg, Reyzin, Sagga, Baldimtsi 2019). Let n be odd, without a square factor, and with k prime factors.
The numbers with Jacobi symbol 1 lie in 2^(k-1) classes of the squares, of which y or -y is a square for two at most: for three primes or
more half of all y have no such root. For two primes all have one if both are 3 modulo 4, and half of them otherwise. A prime n is for
`factors` to refuse.

Of the roots of ±y modulo such an n one is below n/2 with Jacobi symbol 1, and that one is shown: the proof is a function of n. Two roots of
one y that differ in more than their sign would give the factors away, so it matters that a modulus which is proven again shows the same
ones. Whoever answers for the hash makes the proof without the factors: it chooses a root x, and y = ±x².
"""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto import numbers
from defedbio.crypto.transcript import Transcript
from defedbio.errors import BadTranscript, InvalidKey

SQUARE_ROOTS = 128  # one in two is wrongly answered: 2^-128


def prove(n: int, p: int, q: int) -> tuple[int, ...]:
    """The root of each target, for primes p q = n that are 3 modulo 4; raises InvalidKey for others."""
    if p * q != n or p == q or p % 4 != 3 or q % 4 != 3:
        raise InvalidKey("the modulus is not the product of two different primes that are 3 modulo 4")
    hashed = targets(n)
    inverse = numbers.invert(q, p)
    # One by one: for lists the kernel keeps what it works out of a modulus, and these are secret.
    of_p, of_q = ([numbers.powmod(y, (prime + 1) // 4, prime) for y in hashed] for prime in (p, q))
    roots = []
    for x_p, x_q in zip(of_p, of_q, strict=True):
        if numbers.jacobi(x_p, p) != numbers.jacobi(x_q, q):
            x_p = -x_p
        x = x_q + q * ((x_p - x_q) * inverse % p)
        roots.append(min(x, n - x))
    return tuple(roots)


def verify(n: int, roots: Sequence[int]) -> None:
    """Check the proof for an odd n that has no small prime factor and no square factor, which the caller has seen.

    Raises:
        BadTranscript: naming the first root that is wrong.
    """
    if len(roots) != SQUARE_ROOTS:
        raise BadTranscript(f"{len(roots)} square roots, {SQUARE_ROOTS} are needed")
    for index, (x, y) in enumerate(zip(roots, targets(n), strict=True)):
        if not 0 < x <= n // 2 or numbers.jacobi(x, n) != 1:
            raise BadTranscript(f"square root {index} is not a number below n/2 with Jacobi symbol 1")
        if x * x % n not in (y, n - y):
            raise BadTranscript(f"square root {index} is none: the modulus may not be the product of two primes that are 3 modulo 4")


def targets(n: int) -> list[int]:
    """Numbers with Jacobi symbol 1 that the modulus gives, uniform but for 2^-128: about half of what is hashed is skipped."""
    transcript = Transcript("defedbio/modulus-square/1")
    transcript.append("modulus", n.to_bytes((n.bit_length() + 7) // 8, "big"))
    found: list[int] = []
    while len(found) < SQUARE_ROOTS:
        y = transcript.challenge_int("number", n.bit_length() + 128) % n
        if numbers.jacobi(y, n) == 1:
            found.append(y)
    return found
