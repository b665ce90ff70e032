"""Keys of moduli of any kind, with every proof of them that can be made, written out apart from the product's provers."""

from __future__ import annotations

import os
from itertools import product
from math import lcm, prod

from defedbio.crypto import numbers, threshold
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.proofs import factors, two_primes
from defedbio.crypto.proofs.factors import FactorsProof
from defedbio.crypto.threshold import KeyShare, ThresholdKey

MERSENNE = (1 << 521) - 1  # a prime, 3 modulo 4, of which nobody says that it is safe
SMALL = (1 << 40) - 213  # a prime of 40 bits, 3 modulo 4


def square_root(y: int, p: int) -> int:
    """A root of y, which has one, modulo the prime p, which is 3 modulo 4 or 5 modulo 8."""
    x = numbers.powmod(y, (p + 1) // 4 if p % 4 == 3 else (p + 3) // 8, p)
    roots = (x, x * numbers.powmod(2, (p - 1) // 4, p) % p)
    return next(root for root in roots if root * root % p == y % p)


def square_roots(*primes: int) -> tuple[list[int], list[int]]:
    """For the product of these primes a root of every ±y that has one and passes for one, 1 in place of others; and the places of those."""
    n = prod(primes)
    idempotents = [n // p * numbers.invert(n // p, p) for p in primes]
    found, missing = [], []
    for index, y in enumerate(two_primes.targets(n)):
        passing = []
        for target in (y, n - y):
            if all(numbers.jacobi(target, p) == 1 for p in primes):
                parts = [square_root(target, p) for p in primes]
                for signs in product((1, -1), repeat=len(primes)):
                    x = sum(s * r * e for s, r, e in zip(signs, parts, idempotents, strict=True)) % n
                    if x <= n // 2 and numbers.jacobi(x, n) == 1:
                        passing.append(x)
        found.append(min(passing, default=1))
        if not passing:
            missing.append(index)
    return found, missing


def proof_of(n: int, a: int, b: int) -> FactorsProof:
    """The protocol as the page has it, for whatever a and b: it holds where n = a b and answers are in range."""
    group = factors.group_of(n.bit_length())
    p, r = group.p, group.q
    h, (g,) = group.generators(1)
    rho, sigma, tau = (int.from_bytes(os.urandom(group.scalar_bytes + 16), "big") % r for _ in range(3))
    u, v = (int.from_bytes(os.urandom(400), "big") % (1 << (factors.answer_bits(n.bit_length()) - 1)) for _ in range(2))
    commitment = numbers.powmod(g, a, p) * numbers.powmod(h, rho, p) % p
    first, second = (
        numbers.powmod(g, u, p) * numbers.powmod(h, sigma, p) % p,
        numbers.powmod(commitment, v, p) * numbers.powmod(h, tau, p) % p,
    )
    c = factors.challenge_of(n, group, commitment, first, second)
    return FactorsProof(commitment, c, u + c * a, v + c * b, (sigma + c * rho) % r, (tau - c * rho * b) % r)


def deal(*primes: int, proof: FactorsProof | None = None) -> tuple[ThresholdKey, list[KeyShare]]:
    """A key of 2 of 3 on the product of these different primes, right in all that can be right. The proof of the factors
    shows, where it is not given, the first of them and the product of the others."""
    n, order = prod(primes), lcm(*(p - 1 for p in primes))
    public, v = PublicKey(n, 512), threshold.base_square(n)
    polynomial = (numbers.invert(n, order), 2**200 - 1)
    commitments = tuple(numbers.powmod(v, a, n) for a in polynomial)
    shares = [KeyShare(i, (polynomial[0] + polynomial[1] * i) % order) for i in (1, 2, 3)]
    key = ThresholdKey(
        public,
        2,
        3,
        v,
        commitments,
        tuple(numbers.powmod(v, share.value, n) for share in shares),
        tuple(numbers.powmod(threshold.root_target(n, k), polynomial[0], n) for k in range(threshold.ROOT_PROOFS)),
        tuple(square_roots(*primes)[0]),
        proof or proof_of(n, primes[0], n // primes[0]),
    )
    return key, shares
