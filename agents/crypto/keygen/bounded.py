"""The proof that a contributor's two requests, and P_i and Q_i, have the same numbers, and that these are bounded (D13).

One bit is a challenge, 192 times. Two answers to one commitment show integers below 2^(b+σ+1) in size that the requests, as
(1+n_i)^x h_i^ρ, and P_i, Q_i have; as Enc_i is one to one, they are the same in all repetitions. Each request is proven apart: of their
product alone, a factor in one and its inverse in the other would not be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defedbio.crypto import numbers
from defedbio.crypto.keygen import elements
from defedbio.crypto.keygen.candidates import Candidate, asked
from defedbio.crypto.keygen.own_key import encrypt, table
from defedbio.crypto.keygen.terms import SIGMA, Terms
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import PublicKey
from defedbio.errors import BadProof

REPETITIONS = 192


@dataclass(frozen=True)
class Statement:
    """Contributor `position`'s requests under its own key, and P_i, Q_i, for the survivor n, candidate `index` of a batch."""

    terms: Terms
    position: int
    batch: int
    index: int
    n: int
    key: PublicKey
    requests: tuple[int, int]
    powers: tuple[int, int]


@dataclass(frozen=True)
class BoundedProof:
    """The challenge, and for every repetition the two answers for p' and q', and the two for the requests' exponents."""

    challenge: int
    numbers: tuple[int, ...]
    exponents: tuple[int, ...]


def number_bits(terms: Terms) -> int:
    """Bits of an answer u + bit p'."""
    return terms.half + SIGMA + 1


def exponent_bits(terms: Terms) -> int:
    """Bits of an answer for a request's exponent."""
    return 8 * terms.short_bytes + SIGMA + 1


def prove(statement: Statement, candidate: Candidate, rand: Rand) -> BoundedProof:
    """The proof for numbers that are as D6 and D8 say."""
    terms, count = statement.terms, 2 * REPETITIONS
    masks = [numbers.random_bits(rand, number_bits(terms) - 1) for _ in range(count)]
    blinds = [numbers.random_bits(rand, exponent_bits(terms) - 1) for _ in range(count)]
    challenge = _challenge(statement, *_commitments(statement, masks, blinds))
    secret = [asked(value, statement.position) for value in (candidate.p, candidate.q)]
    bits = _bits(challenge)
    return BoundedProof(
        challenge,
        tuple(mask + bits[i // 2] * secret[i % 2] for i, mask in enumerate(masks)),
        tuple(blind + bits[i // 2] * candidate.exponents[i % 2] for i, blind in enumerate(blinds)),
    )


def verify(statement: Statement, proof: BoundedProof) -> None:
    """Raises BadProof unless the proof holds; the ranges of its answers are the encoding's (`messages`)."""
    key, p = statement.key, statement.terms.group.p
    encrypted, raised = _commitments(statement, proof.numbers, proof.exponents)
    of_requests = numbers.invert_all(statement.requests, key.n_squared)
    of_powers = numbers.invert_all(statement.powers, p)
    bits = _bits(proof.challenge)
    for i in range(2 * REPETITIONS):
        if bits[i // 2]:
            encrypted[i] = encrypted[i] * of_requests[i % 2] % key.n_squared
            raised[i] = raised[i] * of_powers[i % 2] % p
    if _challenge(statement, encrypted, raised) != proof.challenge:
        raise BadProof("the proof of its requests does not hold")


def _commitments(statement: Statement, values: Sequence[int], exponents: Sequence[int]) -> tuple[list[int], list[int]]:
    """Enc_i(u) and G^u for every u."""
    terms, digits = statement.terms, (exponent_bits(statement.terms) + 7) // 8
    written = b"".join([e.to_bytes(digits, "little") for e in exponents])
    encrypted = encrypt(statement.key, table(statement.key, digits), values, written)
    return encrypted, elements.powers(terms, values, (number_bits(terms) + 7) // 8)


def _challenge(statement: Statement, encrypted: Sequence[int], raised: Sequence[int]) -> int:
    terms = statement.terms
    transcript = elements.bound("defedbio/ceremony-bounded/1", terms, statement.position, statement.n)
    transcript.append("candidate", statement.batch.to_bytes(4, "big") + statement.index.to_bytes(4, "big"))
    transcript.append("own modulus", numbers.to_bytes(statement.key.n, statement.key.modulus_bytes))
    for label, ciphertexts in (("requests", statement.requests), ("commitments", encrypted)):
        transcript.append(label, b"".join([numbers.to_bytes(c, terms.cipher_width) for c in ciphertexts]))
    elements.append(transcript, terms, "powers", statement.powers)
    elements.append(transcript, terms, "raised", raised)
    return transcript.challenge_int("challenge", REPETITIONS)


def _bits(challenge: int) -> list[int]:
    return [challenge >> i & 1 for i in range(REPETITIONS)]
