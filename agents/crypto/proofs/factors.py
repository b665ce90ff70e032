"""The proof that neither prime of a modulus of two primes is small.

In a group of prime order r, larger than every number below, C = G^p H^ρ hides p, and one answer to one challenge c shows
    C = G^p H^ρ   and   G^n = C^q H^γ        (γ = -ρ q)
with short answers z_p = u_p + c p and z_q = u_q + c q over the integers. From two answers to different c, with a, b and d the differences
of z_p, z_q and c: C^d = G^a H^(…) and G^(n d) = C^b H^(…), so that a b = n d² modulo r, or a logarithm of H to base G is known. Neither
side reaches r/2, so **a b = n d²** over the integers, and neither a nor b is 0. They may be negative, and need not be multiples of d. Of
the two primes of n one divides a and the other b, since n is longer than either and divides neither. So both primes are below 2^s, where s
is the bits of an answer, and above n/2^s: 2^(|n|/2 - 210), which is 2^814 for 2048 bits. `two_primes` shows that n has two primes.

C is uniform whatever p is; z_p and z_q hide p and q but for 2^-80 each, and the answers for H are uniform. It is a product over the
integers as in Camenisch, Michels 1999, and what Π^fac of Canetti, Gennaro, Goldfeder, Makriyannis, Peled 2020 shows in a group of unknown
order that the verifier makes.
"""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.crypto import numbers
from defedbio.crypto.numbers import Rand
from defedbio.crypto.proofs.ffdhe import with_order_above
from defedbio.crypto.proofs.group import Group
from defedbio.crypto.transcript import Transcript
from defedbio.errors import BadTranscript, InvalidInput, InvalidKey

CHALLENGE_BITS = 128
HIDING_BITS = 80
SLACK = CHALLENGE_BITS + HIDING_BITS + 1
LEAST_BITS = 2 * (SLACK + 1)  # of n: an answer must be shorter than it


def answer_bits(bits: int) -> int:
    """Bits of z_p and z_q for a modulus of `bits` bits: those of its longer prime, of the challenge and of the hiding, and a carry."""
    return -(-bits // 2) + SLACK


def least_factor_bits(bits: int) -> int:
    """Every prime factor of a modulus of `bits` bits is shown to be above 2^this."""
    return bits - 1 - answer_bits(bits)


def group_of(bits: int) -> Group:
    """The group in which nothing that is compared wraps; raises InvalidInput for a modulus that is too short or too long for one."""
    if bits < LEAST_BITS:
        raise InvalidInput(f"a modulus of {bits} bits is too short for a proof of its factors")
    return with_order_above(2 * answer_bits(bits) + 1)


@dataclass(frozen=True)
class FactorsProof:
    """C, c, z_p, z_q, and the answers for the powers of H in the two equations."""

    commitment: int
    challenge: int
    answer_p: int
    answer_q: int
    blind_p: int
    blind_q: int

    def to_bytes(self, bits: int) -> bytes:
        """`size` bytes: the fields in order, big-endian and of fixed lengths."""
        fields = (self.commitment, self.challenge, self.answer_p, self.answer_q, self.blind_p, self.blind_q)
        return b"".join(numbers.to_bytes(value, length) for value, length in zip(fields, _lengths(bits), strict=True))

    @classmethod
    def from_bytes(cls, data: bytes, bits: int) -> FactorsProof:
        """Raises BadTranscript for a wrong length; ranges are `verify`'s."""
        if len(data) != size(bits):
            raise BadTranscript(f"the proof of the factors has {len(data)} bytes, {size(bits)} are expected")
        fields, start = [], 0
        for length in _lengths(bits):
            fields.append(numbers.from_bytes(data[start : start + length]))
            start += length
        return cls(*fields)


def size(bits: int) -> int:
    """Bytes of an encoded proof for a modulus of `bits` bits."""
    return sum(_lengths(bits))


def prove(n: int, p: int, q: int, rand: Rand) -> FactorsProof:
    """Show it of n = p q.

    Raises:
        InvalidKey: when a factor has more than half of the modulus' bits. InvalidInput: for a modulus that no group is made for.
    """
    bits = n.bit_length()
    if p * q != n or max(p, q).bit_length() > -(-bits // 2):
        raise InvalidKey("the modulus is not the product of two factors of half its length")
    group = group_of(bits)
    h, (g,) = group.generators(1)
    blind, mask_blind_p, mask_blind_q = group.scalars(rand, 3)
    mask_p, mask_q = (numbers.random_bits(rand, answer_bits(bits) - 1) for _ in range(2))
    commitment = numbers.multi_powmod([g, h], [p, blind], group.p)
    challenge = challenge_of(
        n,
        group,
        commitment,
        numbers.multi_powmod([g, h], [mask_p, mask_blind_p], group.p),
        numbers.multi_powmod([commitment, h], [mask_q, mask_blind_q], group.p),
    )
    return FactorsProof(
        commitment,
        challenge,
        mask_p + challenge * p,
        mask_q + challenge * q,
        (mask_blind_p + challenge * blind) % group.q,
        (mask_blind_q - challenge * blind * q) % group.q,
    )


def verify(n: int, proof: FactorsProof) -> None:
    """Check the proof for a modulus of two primes.

    Raises:
        BadTranscript: saying why. InvalidInput: for a modulus that no group is made for.
    """
    bits = n.bit_length()
    group = group_of(bits)
    if not 0 < proof.commitment < group.p or numbers.jacobi(proof.commitment, group.p) != 1:
        raise BadTranscript("the commitment to a factor is no element of the group")
    if not 0 <= proof.challenge < 1 << CHALLENGE_BITS:
        raise BadTranscript("the challenge to the factors is out of range")
    if not all(0 <= answer < 1 << answer_bits(bits) for answer in (proof.answer_p, proof.answer_q)):
        raise BadTranscript("an answer about the factors is out of range: one of them may be small")
    if not all(0 <= answer < group.q for answer in (proof.blind_p, proof.blind_q)):
        raise BadTranscript("the blinding of an answer about the factors is out of range")
    h, (g,) = group.generators(1)
    inverse_commitment, inverse_g = numbers.invert_all([proof.commitment, g], group.p)
    first = [proof.answer_p, proof.blind_p, proof.challenge]
    second = [proof.answer_q, proof.blind_q, proof.challenge * n]
    challenge = challenge_of(
        n,
        group,
        proof.commitment,
        numbers.multi_powmod([g, h, inverse_commitment], first, group.p),
        numbers.multi_powmod([proof.commitment, h, inverse_g], second, group.p),
    )
    if challenge != proof.challenge:
        raise BadTranscript("the proof of the factors does not hold for this modulus")


def challenge_of(n: int, group: Group, commitment: int, first: int, second: int) -> int:
    """c, of the modulus, C and both first messages."""
    transcript = Transcript("defedbio/modulus-factors/1")
    transcript.append("modulus", numbers.to_bytes(n, (n.bit_length() + 7) // 8))
    for label, element in (("group", group.p), ("commitment", commitment), ("first", first), ("second", second)):
        transcript.append(label, numbers.to_bytes(element, group.element_bytes))
    return transcript.challenge_int("challenge", CHALLENGE_BITS)


def _lengths(bits: int) -> tuple[int, ...]:
    group, answer = group_of(bits), (answer_bits(bits) + 7) // 8
    return group.element_bytes, CHALLENGE_BITS // 8, answer, answer, group.scalar_bytes, group.scalar_bytes
