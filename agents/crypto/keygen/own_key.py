"""A contributor's own Paillier key: its public half as others use it (D8), and its secret half."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto import numbers
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.threshold import ROOT_PROOFS, SMALL_FACTOR_BOUND, root_target
from defedbio.errors import BadTranscript


def encrypt(
    key: PublicKey, table: numbers.CombTable, plaintexts: Sequence[int], exponents: bytes, arithmetic: Arithmetic = ONE_THREAD
) -> list[int]:
    """(1 + n)^x h^ρ for every x, any integer, and exponents ρ as long as those of the `table`."""
    rows = [[1 + x % key.n * key.n for x in plaintexts], arithmetic.comb_powers(table, exponents)]
    return numbers.column_products(rows, key.n, squared=True)


def table(key: PublicKey, digits: int) -> numbers.CombTable:
    """Powers of the key's h for exponents of `digits` bytes: 109 MB for an answer's at 3072 bits, so nobody keeps it beyond a step."""
    return numbers.CombTable(key.hs, key.n, digits, squared=True)


def check_modulus(n: int, bits: int, roots: Sequence[int]) -> PublicKey:
    """Another contributor's key.

    Raises:
        BadTranscript: unless n has `bits` bits and no factor below 2^16, and the roots show gcd(n, φ(n)) = 1 (`ThresholdKey.check`).
    """
    if n.bit_length() != bits or n % 2 == 0:
        raise BadTranscript(f"its own modulus is not an odd number of {bits} bits")
    if numbers.has_factor_below(n, SMALL_FACTOR_BOUND):
        raise BadTranscript("its own modulus has a small factor")
    targets = [root_target(n, index) for index in range(ROOT_PROOFS)]
    if any(not 0 < root < n for root in roots) or numbers.powmod_bases(roots, n, n) != targets:
        raise BadTranscript("a root of its own modulus is none: the modulus may share a factor with its order")
    return PublicKey(n, bits)


class OwnKey:
    """The secret half; nothing of it stays in a cache. Decryption after Paillier 1999, section 7."""

    def __init__(self, bits: int, rand: Rand) -> None:
        """A modulus of `bits` bits from two primes of half of them."""
        while True:
            p, q = (numbers.prime(bits // 2, rand) for _ in range(2))
            n = p * q
            if p != q and numbers.gcd(n, (p - 1) * (q - 1)) == 1:
                break
        self.public = PublicKey(n, bits)
        self._p, self._q = p, q
        self._inverse = numbers.invert(p, q)
        self._halves = [(prime, numbers.SecretModulus(prime), numbers.invert(-n // prime, prime)) for prime in (p, q)]

    def roots(self) -> list[int]:
        """The n-th roots of the hashed numbers."""
        n = self.public.n
        exponents = [numbers.invert(n, prime - 1) for prime in (self._p, self._q)]
        # One by one: for lists the kernel keeps what it works out of a modulus.
        found = []
        for index in range(ROOT_PROOFS):
            target = root_target(n, index)
            of_p, of_q = (numbers.powmod(target, e, prime) for e, prime in zip(exponents, (self._p, self._q), strict=True))
            found.append(self._joined(of_p, of_q))
        return found

    def decrypt(self, ciphertexts: Sequence[int]) -> list[int]:
        """The plaintexts, in [0, n), of units modulo n²."""
        parts = []
        for prime, field, factor in self._halves:
            powers = field.powers(ciphertexts, prime - 1)
            parts.append([(x - 1) // prime * factor % prime for x in powers])
        return [self._joined(of_p, of_q) for of_p, of_q in zip(*parts, strict=True)]

    def _joined(self, of_p: int, of_q: int) -> int:
        return of_p + self._p * ((of_q - of_p) * self._inverse % self._q)
