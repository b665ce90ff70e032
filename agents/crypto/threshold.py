"""Threshold decryption by n-th roots: Shoup, Practical Threshold Signatures (2000), with public exponent n on numbers modulo n.

n = pq with p = 2p'+1 and q = 2q'+1 safe primes, m = p'q', d = n^-1 mod m, f of degree t-1 over Z_m with f(0) = d, s_i = f(i).
v is a square hashed from n; A_k = v^(a_k) mod n commit to the coefficients a_k of f. A ciphertext is c = A^n (1+n)^M mod n², so the
n-th root of c mod n opens it. Shares are x_i = c^(2Δ s_i) mod n with Δ = T!, and prod (x_i²)^(λ_i) = A^D with D = 4Δ².

A key that no dealer made (`keygen`, docs/ceremony.md) has primes that are not safe, and f over the integers with f(0) = Δ d, where
n d = 1 mod φ(n): then A_0^n = v^Δ and D = 4Δ³, and shares are longer than n.

An opening is (w, M) with w = min(W, n - W), W = A^D mod n. It holds when 1 <= w < n/2, w has Jacobi symbol 1, 0 <= M < n and
(w^n (1+n)^(D M))² = c^(2D) mod n²: exactly one pair does, see `check_openings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import factorial

from defedbio.crypto import numbers
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import MAX_MODULUS_BITS, PublicKey, check_ciphertexts
from defedbio.crypto.proofs import factors, two_primes
from defedbio.crypto.proofs.factors import FactorsProof
from defedbio.crypto.share_sizes import share_bound
from defedbio.crypto.transcript import hash_to_number
from defedbio.domain import MAX_HOLDERS, MIN_MODULUS_BITS
from defedbio.errors import BadOpening, BadShare, BadTranscript, InvalidInput, InvalidKey

BATCH_BITS = 128
ROOT_PROOFS = 8
SMALL_FACTOR_BOUND = 1 << 16  # with 8 roots: (2^-16)^8 = 2^-128


@dataclass(frozen=True)
class ThresholdKey:
    """What the ceremony makes public. `check` says whether it is sound; the constructor only refuses impossible shapes.

    commitments are A_0..A_(t-1), verification_keys v_1..v_T, roots the n-th roots that show gcd(n, φ(n)) = 1; square_roots show that n is a
    product of two primes, and factors that neither is small. `distributed` keys are those that no dealer made.
    """

    public_key: PublicKey
    threshold: int
    holders: int
    v: int
    commitments: tuple[int, ...]
    verification_keys: tuple[int, ...]
    roots: tuple[int, ...]
    square_roots: tuple[int, ...]
    factors: FactorsProof
    distributed: bool = False

    def __post_init__(self) -> None:
        check_quorum(self.threshold, self.holders)
        counts = (len(self.commitments), len(self.verification_keys), len(self.roots), len(self.square_roots))
        if counts != (self.threshold, self.holders, ROOT_PROOFS, two_primes.SQUARE_ROOTS):
            raise BadTranscript("the key has the wrong number of commitments, verification keys or roots")

    @property
    def n(self) -> int:
        return self.public_key.n

    @cached_property
    def delta(self) -> int:
        """Δ = T!"""
        return factorial(self.holders)

    @property
    def factor(self) -> int:
        """What f(0) is, in n^-1: 1 of a dealt key, Δ of a distributed one."""
        return self.delta if self.distributed else 1

    @cached_property
    def opening_exponent(self) -> int:
        """D = 4Δ², or 4Δ³ of a distributed key."""
        return 4 * self.delta * self.delta * self.factor

    @property
    def share_bound(self) -> int:
        """Every holder's share is in [0, this)."""
        return share_bound(self.public_key.bits, self.threshold, self.holders) if self.distributed else self.n

    def check(self) -> None:
        """Verify everything that the public data can show.

        n has no factor below 2^16 and eight hashed numbers have n-th roots, so gcd(n, φ(n)) = 1 except with probability 2^-128
        (Goldberg, Reyzin, Sagga, Baldimtsi, Efficient Noninteractive Certification of RSA Moduli and Beyond, 2019) and every
        ciphertext has one plaintext; n is a product of two primes, 3 modulo 4 both, and neither is small (`two_primes`, `factors`);
        v is the hashed square; A_0^n = v^factor, so the shared secret is factor n^-1; the verification keys agree with the commitments.

        Raises:
            BadTranscript: with the first reason found.
        """
        n = self.n
        for name, values in (("commitment", self.commitments), ("verification key", self.verification_keys), ("root", self.roots)):
            for index, value in enumerate(values):
                if not 0 < value < n or numbers.gcd(value, n) != 1:
                    raise BadTranscript(f"{name} {index} is not a unit modulo n")
        if numbers.has_factor_below(n, SMALL_FACTOR_BOUND):
            raise BadTranscript("the modulus has a small factor")
        if self.v != base_square(n):
            raise BadTranscript("v is not the square that the modulus gives")
        for index, root in enumerate(self.roots):
            if numbers.powmod(root, n, n) != root_target(n, index):
                raise BadTranscript(f"root {index} is not an n-th root: the modulus may share a factor with its order")
        two_primes.verify(n, self.square_roots)
        factors.verify(n, self.factors)
        if numbers.powmod(self.commitments[0], n, n) != numbers.powmod(self.v, self.factor, n):
            raise BadTranscript("the shared secret is not the inverse of n: A_0^n differs from what v gives")
        for index in range(1, self.holders + 1):
            if self.verification_keys[index - 1] != commitment_at(self.commitments, index, n):
                raise BadTranscript(f"the verification key of holder {index} does not agree with the commitments")


@dataclass(frozen=True)
class KeyShare:
    """The secret s_i = f(i) of holder `index` (1..T). Never printed."""

    index: int
    value: int

    def __repr__(self) -> str:
        return f"KeyShare(index={self.index})"

    def check(self, key: ThresholdKey) -> None:
        """Raises InvalidKey unless v^value is the holder's verification key."""
        if not 1 <= self.index <= key.holders:
            raise InvalidKey(f"the share's index must be 1..{key.holders}")
        if not 0 <= self.value < key.share_bound or numbers.powmod(key.v, self.value, key.n) != key.verification_keys[self.index - 1]:
            raise InvalidKey(f"share {self.index} does not agree with the public commitments")


@dataclass(frozen=True)
class Opening:
    """w and the plaintext M of one ciphertext; anybody can check it."""

    w: int
    m: int


def check_quorum(threshold: int, holders: int) -> None:
    """2..15 holders, more than half of them needed (R2); raises InvalidInput."""
    if not 2 <= holders <= MAX_HOLDERS:
        raise InvalidInput(f"a key has 2 to {MAX_HOLDERS} holders")
    if not holders < 2 * threshold <= 2 * holders:
        raise InvalidInput(f"the threshold must be more than half of {holders} holders and no more than all")


def base_square(n: int) -> int:
    """v: a square hashed from the modulus; a generator of the squares except with negligible probability."""
    return pow(hash_to_number("defedbio/verification-base/1", n), 2, n)


def root_target(n: int, index: int) -> int:
    """The hashed number whose n-th root the key shows at `index`."""
    return hash_to_number("defedbio/modulus-root/1", n, index)


def commitment_at(commitments: Sequence[int], index: int, n: int) -> int:
    """prod A_k^(index^k) mod n, by Horner's rule."""
    value = 1
    for commitment in reversed(commitments):
        value = numbers.powmod(value, index, n) * commitment % n
    return value


def dealer(
    bits: int, threshold: int, holders: int, rand: Rand, minimum_bits: int = MIN_MODULUS_BITS
) -> tuple[ThresholdKey, list[KeyShare]]:
    """Make a modulus of `bits` bits from two safe primes and share its root exponent.

    Raises:
        InvalidInput: for an impossible threshold. InvalidKey: for an odd size, fewer bits than `minimum_bits` (lowered by tests only) or
            more than MAX_MODULUS_BITS.
    """
    check_quorum(threshold, holders)
    if bits % 2 or not minimum_bits <= bits <= MAX_MODULUS_BITS:
        raise InvalidKey(f"a modulus needs an even number of bits, {minimum_bits} to {MAX_MODULUS_BITS}")
    p = numbers.safe_prime(bits // 2, rand)
    q = p
    while q == p:
        q = numbers.safe_prime(bits // 2, rand)
    return deal_from_primes(p, q, threshold, holders, rand, minimum_bits)


def deal_from_primes(
    p: int, q: int, threshold: int, holders: int, rand: Rand, minimum_bits: int = MIN_MODULUS_BITS
) -> tuple[ThresholdKey, list[KeyShare]]:
    """Share the root exponent of n = pq for two different safe primes of equal length (their primality is the caller's business)."""
    check_quorum(threshold, holders)
    public = PublicKey.from_modulus(p * q, minimum_bits)
    n, order = public.n, (p // 2) * (q // 2)
    if p == q or numbers.gcd(n, 4 * order) != 1:
        raise InvalidKey("the primes do not make a Paillier modulus")
    secret = numbers.invert(n, order)
    coefficients = [secret] + [numbers.random_below(rand, order) for _ in range(threshold - 1)]
    v = base_square(n)
    commitments = tuple(numbers.powmod(v, a, n) for a in coefficients)
    root_exponent = numbers.invert(n, 4 * order)
    key = ThresholdKey(
        public,
        threshold,
        holders,
        v,
        commitments,
        tuple(commitment_at(commitments, i, n) for i in range(1, holders + 1)),
        tuple(numbers.powmod(root_target(n, k), root_exponent, n) for k in range(ROOT_PROOFS)),
        two_primes.prove(n, p, q),
        factors.prove(n, p, q, rand),
    )
    return key, [KeyShare(i, sum(a * i**k for k, a in enumerate(coefficients)) % order) for i in range(1, holders + 1)]


def share(key: ThresholdKey, keyshare: KeyShare, ciphertexts: Sequence[int], arithmetic: Arithmetic = ONE_THREAD) -> list[int]:
    """x_i = (c mod n)^(2Δ s_i) mod n for every ciphertext. The caller has checked the ciphertexts and journalled the release (P5).

    `arithmetic` is told the key share: what computes must be as trusted as this process.
    """
    if not 1 <= keyshare.index <= key.holders:
        raise InvalidKey(f"the share's index must be 1..{key.holders}")
    return arithmetic.powers([c % key.n for c in ciphertexts], 2 * key.delta * keyshare.value, key.n)


def check_share_values(key: PublicKey, shares: Sequence[int], count: int) -> None:
    """Raises BadShare unless there are `count` units in (0, n)."""
    if len(shares) != count:
        raise BadShare(f"{len(shares)} shares for {count} ciphertexts")
    for index, x in enumerate(shares):
        if not 0 < x < key.n:
            raise BadShare(f"share value {index} is outside 1..n-1")
    if numbers.gcd(numbers.product(shares, key.n), key.n) != 1:
        raise BadShare("a share value is not a unit modulo n")


def combine(
    key: ThresholdKey, ciphertexts: Sequence[int], shares: Mapping[int, Sequence[int]], arithmetic: Arithmetic = ONE_THREAD
) -> list[Opening]:
    """Openings from the shares of `threshold` holders, by holder index 1..T; of more, the lowest indices are used.

    The result does not depend on which holders' shares are used, nor on the shares' signs: it is the one opening that holds.

    Raises:
        InvalidInput: for too few shares or a wrong index. BadShare: for values that are no units, naming the holder.
        BadOpening: when the shares do not open a ciphertext, so that one of them is wrong: verify their proofs.
    """
    if len(shares) < key.threshold:
        raise InvalidInput(f"{len(shares)} shares, {key.threshold} are needed")
    if any(not 1 <= i <= key.holders for i in shares):
        raise InvalidInput(f"holder indices must be 1..{key.holders}")
    check_ciphertexts(key.public_key, ciphertexts)
    chosen = sorted(shares)[: key.threshold]
    for i in chosen:
        try:
            check_share_values(key.public_key, shares[i], len(ciphertexts))
        except BadShare as fault:
            raise BadShare(f"holder {i}: {fault.message}") from None
    roots = _combine_roots(key, {i: shares[i] for i in chosen}, arithmetic)
    n, d = key.n, key.opening_exponent
    powers = [divmod(x, n) for x in arithmetic.powers(roots, n, n, squared=True)]
    targets = [divmod(x, n) for x in arithmetic.powers(ciphertexts, d, n, squared=True)]
    inverses = numbers.invert_all([p0 for _, p0 in powers], n)
    inverse_d = numbers.invert(d, n)
    openings = []
    # target / power = 1 + n D M: with power = p0 + n p1 and target = t0 + n t1 that says t0 = p0 and D M = (t1 - p1) / p0 mod n.
    for index, (root, (p1, p0), (t1, t0), inverse) in enumerate(zip(roots, powers, targets, inverses, strict=True)):
        if t0 != p0:
            raise BadOpening(f"the shares do not open ciphertext {index}", "verify the shares' proofs to find the wrong one")
        openings.append(Opening(min(root, n - root), (t1 - p1) * inverse % n * inverse_d % n))
    return openings


def _combine_roots(key: ThresholdKey, shares: Mapping[int, Sequence[int]], arithmetic: Arithmetic) -> list[int]:
    """W = prod (x_i²)^(λ_i) mod n with λ_i = Δ prod_{j≠i} j / (j - i), for every ciphertext."""
    above: list[list[int]] = []
    below: list[list[int]] = []
    for i, values in shares.items():
        exponent = 2 * _lagrange(key.delta, i, list(shares))
        (above if exponent >= 0 else below).append(arithmetic.powers(values, abs(exponent), key.n))
    roots = numbers.column_products(above, key.n)
    if not below:
        return roots
    divisors = numbers.invert_all(numbers.column_products(below, key.n), key.n)
    return numbers.column_products([roots, divisors], key.n)


def _lagrange(delta: int, i: int, indices: Sequence[int]) -> int:
    above, below = delta, 1
    for j in indices:
        if j != i:
            above *= j
            below *= j - i
    return above // below


def check_openings(
    key: ThresholdKey, ciphertexts: Sequence[int], openings: Sequence[Opening], rand: Rand, arithmetic: Arithmetic = ONE_THREAD
) -> None:
    """Accept only the right openings of all ciphertexts, in one batch with secret random 128-bit exponents.

    What passing says, except with probability 2^-128 for a modulus whose prime factors (as the key shows) and the odd prime factors of
    whose order (as safe primes give) exceed 2^128: every quotient of w^n (1+n)^(D M) by c^D has order 1 or 2, so that M is the plaintext
    and w is A^D up to a square root of 1. Jacobi symbol 1 leaves ±A^D, and w < n/2 one of the two: the bytes of (w, M) are unique.
    Both sides are squared because a batch cannot see signs (Boyd, Pavlovski 2000, on batch verification in groups with small orders).
    Of a distributed key M is as certain; that w is unique assumes that nobody finds a number of low order modulo n (docs/crypto.md).

    Raises:
        BadCiphertext: for ciphertexts that are no units. BadOpening: naming the first wrong one.
    """
    check_ciphertexts(key.public_key, ciphertexts)
    if len(openings) != len(ciphertexts):
        raise BadOpening(f"{len(openings)} openings for {len(ciphertexts)} ciphertexts")
    n = key.n
    for index, opening in enumerate(openings):
        if not 0 < opening.w <= n // 2:
            raise BadOpening(f"opening {index}: w is outside 1..(n-1)/2")
        if not 0 <= opening.m < n:
            raise BadOpening(f"opening {index}: M is outside 0..n-1")
        if numbers.jacobi(opening.w, n) != 1:
            raise BadOpening(f"opening {index}: w is not a unit with Jacobi symbol 1")
    if not _batch_holds(key, ciphertexts, openings, rand, arithmetic):
        raise BadOpening(f"opening {_first_wrong(key, ciphertexts, openings, rand)} does not open its ciphertext")


def _batch_holds(
    key: ThresholdKey, ciphertexts: Sequence[int], openings: Sequence[Opening], rand: Rand, arithmetic: Arithmetic = ONE_THREAD
) -> bool:
    n, square, d = key.n, key.public_key.n_squared, key.opening_exponent
    weights = [numbers.random_bits(rand, BATCH_BITS) for _ in openings]
    w = arithmetic.multi_power([o.w for o in openings], weights, n)
    m = sum(e * o.m for e, o in zip(weights, openings, strict=True)) % n
    c = arithmetic.multi_power(ciphertexts, weights, n, squared=True)
    left = numbers.powmod_bases([w], 2 * n, n, squared=True)[0] * (1 + 2 * d * m % n * n)
    return left % square == numbers.powmod_bases([c], 2 * d, n, squared=True)[0]


def _first_wrong(key: ThresholdKey, ciphertexts: Sequence[int], openings: Sequence[Opening], rand: Rand) -> int:
    """Halve a range that fails as a whole: the lower half is right, or holds the first wrong one."""
    low, high = 0, len(openings)
    while high - low > 1:
        middle = (low + high) // 2
        if _batch_holds(key, ciphertexts[low:middle], openings[low:middle], rand):
            low = middle
        else:
            high = middle
    return low
