"""Which residues every contributor's numbers take (D6).

The odd primes up to B are dealt out, so that each has one owner. t-1 contributors who put their heads together know p modulo the product of
their primes and no more, which is a twelfth of n's bits at most: a quarter would be needed (Coppersmith 1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod

from defedbio.crypto import numbers

HINT = 12  # of the modulus' bits one in so many may be known to t-1
SPARE_BYTES = 16  # more than a number needs, before it is reduced: bias below 2^-128
UNIT = 8
FIRST = 3  # contributor 1's numbers modulo 8


@dataclass(frozen=True)
class Sieve:
    """owned[i] are the primes of contributor i (from 0); numbers have `half` bits."""

    half: int
    owned: tuple[tuple[int, ...], ...]

    @classmethod
    @cache
    def of(cls, bits: int, threshold: int) -> Sieve:
        """The sieve for a modulus of `bits` bits and `threshold` contributors: B is the largest that D6 allows."""
        found: tuple[tuple[int, ...], ...] = ((),) * threshold
        odd, most = numbers.primes_below(bits)[1:], bits // HINT
        for count in range(1, len(odd)):
            owned = _dealt(odd[:count], threshold)
            loads = sorted(map(prod, owned))
            if prod(loads).bit_length() > 2 * most + 2:  # then those of t-1 have more than half
                break
            if prod(loads[1:]).bit_length() <= most:
                found = owned
        return cls(bits // 2, found)

    @property
    def bound(self) -> int:
        """B."""
        return max(map(max, filter(None, self.owned)), default=2)

    @cached_property
    def modulus(self) -> int:
        """M: eight times all the primes."""
        return UNIT * prod(map(prod, self.owned))

    @cached_property
    def span(self) -> int:
        """How many multiples of M one contributor may add: all of them together stay below 2^(b-2)."""
        return ((1 << (self.half - 2)) - self.modulus) // (len(self.owned) * self.modulus)

    @cached_property
    def top(self) -> int:
        """The multiple of M that contributor 1 adds, so that p is at least 3/4 2^b."""
        return -(-(3 << (self.half - 2)) // self.modulus) * self.modulus

    @property
    def number_bytes(self) -> int:
        """How many random bytes a number is made of."""
        return (self.modulus * self.span).bit_length() // 8 + 1 + SPARE_BYTES

    @cached_property
    def _bases(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For every own prime l: l, and what is 1 modulo l and 0 modulo the rest of M."""
        return tuple(tuple((prime, self._unit(prime)) for prime in owned) for owned in self.owned)

    def _unit(self, modulus: int) -> int:
        rest = self.modulus // modulus
        return rest * numbers.invert(rest, modulus)

    def number(self, position: int, drawn: bytes) -> int:
        """Contributor `position`'s summand of a prime, from `number_bytes` random bytes: modulo its own primes it is 2 to l-1, modulo all
        others 0, and modulo 8 it is 3 for the first and 0 for all others."""
        rest = int.from_bytes(drawn, "big")
        residue = FIRST * self._unit(UNIT) if position == 0 else 0
        for prime, base in self._bases[position]:
            rest, choice = divmod(rest, prime - 2)
            residue += (choice + 2) * base
        found = residue % self.modulus + self.modulus * (rest % self.span)
        return found + self.top if position == 0 else found


def _dealt(primes: Sequence[int], threshold: int) -> tuple[tuple[int, ...], ...]:
    """Each, the greatest first, to the contributor whose primes have the least product so far, the first of several."""
    owned: list[list[int]] = [[] for _ in range(threshold)]
    loads = [1] * threshold
    for prime in reversed(primes):
        least = loads.index(min(loads))
        owned[least].append(prime)
        loads[least] *= prime
    return tuple(map(tuple, owned))
