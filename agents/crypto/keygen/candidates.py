"""A batch's candidates: what a contributor asks, answers, adds and tries (D8 to D11). All functions are pure; positions count from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

from defedbio.crypto import numbers
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.keygen.own_key import OwnKey, encrypt, table
from defedbio.crypto.keygen.seeds import drawn_each
from defedbio.crypto.keygen.sieve import FIRST, SPARE_BYTES, UNIT
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.transcript import Transcript

TRIAL_BOUNDS = (1 << 12, 1 << 18)  # the second, of D11, for the few that the first leaves


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contributor's summands p_i and q_i, and the exponents of its two requests. Never printed."""

    p: int
    q: int
    exponents: tuple[int, int]

    def __repr__(self) -> str:
        return "Candidate()"


@dataclass(frozen=True)
class Mask:
    """What hides an answer: its plaintext and its exponent."""

    plaintext: int
    exponent: bytes

    def __repr__(self) -> str:
        return "Mask()"


def asked(value: int, position: int) -> int:
    """p_i' of p_i: what a request encrypts."""
    return (value - constant(position)) // UNIT


def constant(position: int) -> int:
    """What is added to 8 p_i': 3 for contributor 1."""
    return FIRST if position == 0 else 0


def rank(position: int, index: int, contributors: int) -> int:
    """(i + k) mod t: the lower asks, the higher answers (D9)."""
    return (position + 1 + index) % contributors


def answered(terms: Terms, position: int, other: int) -> list[int]:
    """The candidates of which contributor `position` answers the request of `other`."""
    t = terms.threshold
    return [k for k in range(terms.candidates) if rank(other, k, t) < rank(position, k, t)]


def candidates(terms: Terms, position: int, leaves: Sequence[bytes]) -> list[Candidate]:
    """What leaves give (D7)."""
    sieve, size, short = terms.sieve, terms.sieve.number_bytes, terms.short_bytes
    found = []
    for data in drawn_each(leaves, terms.hash, "candidate", b"", 2 * (size + short)):
        p, q = (sieve.number(position, data[at : at + size]) for at in (0, size))
        first, second = (int.from_bytes(data[at : at + short], "little") for at in (2 * size, 2 * size + short))
        found.append(Candidate(p, q, (first, second)))
    return found


def masks(terms: Terms, key: PublicKey, other: int, leaves: Sequence[bytes], context: bytes) -> list[Mask]:
    """What hides the answers to contributor `other`, whose key this is; `context` is the hash of all posts that are answered."""
    size = key.modulus_bytes + SPARE_BYTES
    drawn = drawn_each(leaves, terms.hash, f"answer {other}", context, size + terms.long_bytes)
    return [Mask(int.from_bytes(data[:size], "big") % key.n, data[size:]) for data in drawn]


def requests(terms: Terms, key: PublicKey, position: int, those: Sequence[Candidate], arithmetic: Arithmetic = ONE_THREAD) -> list[int]:
    """Enc_i(p_i') and Enc_i(q_i') of every candidate, one after the other."""
    size = terms.short_bytes
    plaintexts = [asked(value, position) for c in those for value in (c.p, c.q)]
    exponents = b"".join([e.to_bytes(size, "little") for c in those for e in c.exponents])
    return encrypt(key, table(key, size), plaintexts, exponents, arithmetic)


def answers(
    terms: Terms,
    key: PublicKey,
    other: int,
    requested: Sequence[tuple[int, int]],
    those: Sequence[Candidate],
    hidden: Sequence[Mask],
    arithmetic: Arithmetic = ONE_THREAD,
) -> list[int]:
    """Answers to contributor `other` for as many candidates: each encrypts p_j q_i + q_j p_i + r, hidden by r."""
    bases = [[p for p, _ in requested], [q for _, q in requested]]
    exponents = [[UNIT * c.q for c in those], [UNIT * c.p for c in those]]
    powers = arithmetic.column_powers(bases, exponents, key.n, squared=True)
    plaintexts = [mask.plaintext + constant(other) * (c.p + c.q) for mask, c in zip(hidden, those, strict=True)]
    fresh = encrypt(key, table(key, terms.long_bytes), plaintexts, b"".join([mask.exponent for mask in hidden]), arithmetic)
    return numbers.column_products([powers, fresh], key.n, squared=True)


def shares(
    terms: Terms,
    own: OwnKey,
    those: Sequence[Candidate],
    given: Mapping[int, Mapping[int, Mask]],
    got: Mapping[int, Mapping[int, int]],
) -> list[int]:
    """The shares of every N_k (D10): `given[j][k]` hides the answer to j, and `got[j][k]` is j's answer."""
    totals = [c.p * c.q for c in those]
    for by_index in given.values():
        for k, mask in by_index.items():
            totals[k] -= mask.plaintext
    places = [(k, ciphertext) for by_index in got.values() for k, ciphertext in by_index.items()]
    for (k, _), plaintext in zip(places, own.decrypt([ciphertext for _, ciphertext in places]), strict=True):
        totals[k] += plaintext
    return [total % terms.share_modulus for total in totals]


def products(terms: Terms, posted: Sequence[Sequence[int]]) -> list[int]:
    """N_k: the sum of all contributors' shares."""
    return [sum(column) % terms.share_modulus for column in zip(*posted, strict=True)]


def alive(terms: Terms, found: Sequence[int]) -> list[int]:
    """The candidates whose N_k is worth a power (D11)."""
    return list(compress(range(len(found)), (_promising(n, terms.bits) for n in found)))


def _promising(n: int, bits: int) -> bool:
    return n % UNIT == 1 and n.bit_length() == bits and not any(numbers.has_factor_below(n, bound) for bound in TRIAL_BOUNDS)


def base(n: int) -> int:
    """y: the first number hashed from N_k with Jacobi symbol 1."""
    transcript = Transcript("defedbio/ceremony-base/1")
    transcript.append("modulus", numbers.to_bytes(n, (n.bit_length() + 7) // 8))
    while True:
        y = transcript.challenge_int("number", n.bit_length() + 128) % n
        if numbers.jacobi(y, n) == 1:
            return y


def exponent(n: int, position: int, p: int, q: int) -> int:
    """Contributor `position`'s summand of (φ + 4)/8, when n is a product of the two sums (D11, D14)."""
    return (n + 5 - p - q) // UNIT if position == 0 else -((p + q) // UNIT)


def trials(found: Sequence[int], position: int, those: Sequence[Candidate], arithmetic: Arithmetic = ONE_THREAD) -> list[int]:
    """A contributor's factor of y^((φ+4)/8), for each N_k and its candidate."""
    exponents = [exponent(n, position, c.p, c.q) for n, c in zip(found, those, strict=True)]
    return arithmetic.own_powers(list(map(base, found)), exponents, found)


def survives(n: int, factors: Sequence[int]) -> bool:
    """Whether the product of all contributors' factors is a square root of ±y."""
    x, y = numbers.product(factors, n), base(n)
    return x * x % n in (y, n - y)
