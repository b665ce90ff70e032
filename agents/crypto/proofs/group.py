"""The group of the contribution proof's commitments: the subgroup of prime order Q of the units modulo a prime P = 2KQ + 1.

Q has 448 bits, so that the proof's integers never wrap modulo it, and P has 3072, as much as a study's modulus. Both come from SHAKE256 and
nothing else (`derive`), so nobody knows a trapdoor; the generators are hashed, so nobody knows a logarithm of one to another's base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from defedbio.crypto import numbers
from defedbio.crypto.numbers import CombTable
from defedbio.crypto.transcript import hash_to_number

DOMAIN = "defedbio/proof-group/1"
GENERATORS = "defedbio/proof-generator/1"


@dataclass(frozen=True)
class Group:
    """Elements are numbers in (0, P), exponents ("scalars") in [0, Q)."""

    p: int
    q: int

    @property
    def element_bytes(self) -> int:
        return (self.p.bit_length() + 7) // 8

    @property
    def scalar_bytes(self) -> int:
        return (self.q.bit_length() + 7) // 8

    @property
    def cofactor(self) -> int:
        """What raises every unit modulo P into the group."""
        return (self.p - 1) // self.q

    def scalars(self, draw: Callable[[int], bytes], count: int) -> list[int]:
        """Uniform in [0, Q) to within 2^-128 each, from `draw`, which gives as many bytes as it is asked for."""
        size = self.scalar_bytes + 16
        data = draw(size * count) if count else b""
        return [int.from_bytes(data[i : i + size], "big") % self.q for i in range(0, len(data), size)]

    def generators(self, count: int) -> tuple[int, list[int]]:
        """H and the first `count` of G_1, G_2, …; they are made once in a process."""
        with _making:
            made = _made.setdefault(self, [])
            if len(made) <= count:
                raw = [hash_to_number(GENERATORS, self.p, i) for i in range(len(made), count + 1)]
                made += numbers.powmod_bases(raw, self.cofactor, self.p)
            return made[0], made[1 : count + 1]

    def blinds(self, scalars: Sequence[int]) -> list[int]:
        """H^r for each scalar."""
        table: CombTable = numbers.comb_table(self.generators(0)[0], self.p, self.scalar_bytes)
        return table.powers(b"".join(r.to_bytes(self.scalar_bytes, "little") for r in scalars))


_making = Lock()
_made: dict[Group, list[int]] = {}

# derive(3072, 448), the 105th candidate for Q and the 57th for K.
GROUP = Group(
    p=int(
        "e3ab2aa76aa15aa42c18753cc159e7d60cb5651264c32f3d1347d768b751d09609bb8d5b03a8c2a795973b453ff946d12f24358f90fc1ddab577e934e37c5d61"
        "95bb487359e55bce42b6241498758763c342724c3b65aad648526ec66d8cbc626e4dcd4d68d28a7649ffbe0aa7ad804173bccb49dfe47e39f56b25dc5b5fa7fb"
        "d5c5a0674ae1f9c217a3160b74106cde057551f796929bb14ea4bc9feeda7c96357eaa3525e50636360c48e8bfebf4194b7492eb61d92ec8b723aa1cc349bccf"
        "1bbab27feb97deac0cafa612e73bcb87cfcebfe005f12fb088dbdedc7d0b9c0070e18df01c468e97d9aca776d8a05cd46a4cc281b762c4f6e2cd08b1da8b048b"
        "a28cb16cb8d5476a6e1d5a8f9e586ebf6dccbf1df3e2e5fe40933512947fa5024073602b3e01a867b1c2eaa2d62b0d2660f59530c763e88503cca827f587d05c"
        "5dd375d24bb84c94c61c3bca28ce6179f770da2794fcb6be9ca8bb662fce74215b694c496ae58a2c75ae0c6c6f5356d40efae5f428ca899239f98b7664a74783",
        16,
    ),
    q=int("ff75aefc12698fad9f3f93d1c7f378d795a09458952b4ead3beb2f1c2225ea1e962b151eea43feef89561340900d0d99b239a0ec24222181", 16),
)


def derive(p_bits: int, q_bits: int) -> tuple[Group, int, int]:
    """The group of these sizes, and how many candidates for Q and for K were no primes.

    Q is the first prime among SHAKE256(domain, "Q", i) with the highest and the lowest bit set, and P the first prime 2(K + j)Q + 1, where
    K is SHAKE256(domain, "P") with the two highest bits set, divided by 2Q.
    """
    i = 0
    while not numbers.is_prime(q := _hashed(f"Q{q_bits}", i, q_bits) | 1 | 1 << (q_bits - 1)):
        i += 1
    start, j = (_hashed(f"P{p_bits}", 0, p_bits) | 3 << (p_bits - 2)) // (2 * q), 0
    while not numbers.is_prime(p := 2 * q * (start + j) + 1):
        j += 1
    return Group(p, q), i, j


def _hashed(tag: str, index: int, bits: int) -> int:
    return numbers.from_bytes(hashlib.shake_256(f"{DOMAIN}|{tag}|{index}".encode()).digest(bits // 8))
