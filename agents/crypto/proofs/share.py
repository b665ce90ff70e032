"""One proof that all values of a key holder's share use the exponent behind its verification key.

Batch Chaum-Pedersen (1992) over squares modulo n, with the integer responses of Shoup 2000. With 128-bit e_l hashed from
everything published, X = prod (x_l²)^e_l and C = prod (c_l^(4Δ))^e_l, it shows log of X to base C = log of v_i² to base v² = s_i.
Everything multiplied is a square by construction, so signs and other square roots of 1 play no part; combining uses only x_l² too.
Soundness needs the squares' order p'q' to have no prime factor below 2^128, which safe primes give; it does not need it to be unknown.
Of a distributed key it needs instead that nobody finds a number of such an order, or the factors (docs/crypto.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defedbio.crypto import numbers
from defedbio.crypto.numbers import Rand
from defedbio.crypto.roots import share_root, update_root
from defedbio.crypto.share_sizes import LONGEST_EXTRA_BITS
from defedbio.crypto.threshold import BATCH_BITS, KeyShare, ThresholdKey, check_share_values
from defedbio.crypto.transcript import Transcript
from defedbio.domain import RoundContext, check_hash32
from defedbio.errors import BadShare, InvalidInput, InvalidKey

CHALLENGE_BITS = 128
MASK_EXTRA_BITS = LONGEST_EXTRA_BITS + 256  # 128 for the challenge and 128 to hide the secret statistically


def mask_bits(modulus_bits: int) -> int:
    """Bits of the proof's mask, for keys of any kind and number of holders, so that a modulus tells how long a proof is."""
    return modulus_bits + MASK_EXTRA_BITS


def size(modulus_bits: int) -> int:
    """Bytes of an encoded proof: challenge and response, the same for every holder count."""
    return CHALLENGE_BITS // 8 + (mask_bits(modulus_bits) + 1 + 7) // 8


@dataclass(frozen=True)
class ShareStatement:
    """Holder `index` (1..T) released `shares` for the aggregate `ciphertexts`, in this round, under this aggregate root."""

    key: ThresholdKey
    context: RoundContext
    index: int
    aggregate_root: bytes
    ciphertexts: Sequence[int]
    shares: Sequence[int]

    def __post_init__(self) -> None:
        check_hash32(self.aggregate_root, "the aggregate root")
        if not 1 <= self.index <= self.key.holders:
            raise InvalidInput(f"the holder's index must be 1..{self.key.holders}")
        if not self.ciphertexts:
            raise InvalidInput("a share of nothing needs no proof")


@dataclass(frozen=True)
class ShareProof:
    """Challenge (128 bits) and integer response."""

    challenge: int
    response: int

    def to_bytes(self, modulus_bits: int) -> bytes:
        """`size` bytes: the challenge (16), then the response, both big-endian."""
        width = CHALLENGE_BITS // 8
        return numbers.to_bytes(self.challenge, width) + numbers.to_bytes(self.response, size(modulus_bits) - width)

    @classmethod
    def from_bytes(cls, data: bytes, modulus_bits: int) -> ShareProof:
        """Raises BadShare for a wrong length or a response out of range."""
        width = CHALLENGE_BITS // 8
        if len(data) != size(modulus_bits):
            raise BadShare("the share proof has a wrong length")
        proof = cls(int.from_bytes(data[:width], "big"), int.from_bytes(data[width:], "big"))
        if proof.response.bit_length() > mask_bits(modulus_bits) + 1:
            raise BadShare("the share proof's response is too large")
        return proof


def prove(statement: ShareStatement, keyshare: KeyShare, rand: Rand) -> ShareProof:
    """Prove a share that `threshold.share` made with this key share.

    Raises:
        InvalidKey: when the key share is another holder's. BadShare: when the values are no units.
    """
    if keyshare.index != statement.index:
        raise InvalidKey("the key share belongs to another holder")
    n = statement.key.n
    transcript, base, _ = _bind(statement)
    mask = numbers.random_bits(rand, mask_bits(n.bit_length()))
    first = numbers.powmod(statement.key.v, 2 * mask, n)
    second = numbers.powmod(base, mask, n)
    challenge = _challenge(transcript, n, first, second)
    return ShareProof(challenge, mask + challenge * keyshare.value)


def verify(statement: ShareStatement, proof: ShareProof) -> None:
    """Check a proof against the published values.

    Raises:
        BadShare: saying why; the holder at `statement.index` is then shown to have published a wrong share or proof.
    """
    key, n = statement.key, statement.key.n
    if not 0 <= proof.challenge < 1 << CHALLENGE_BITS:
        raise BadShare("the share proof's challenge is out of range")
    if not 0 <= proof.response < 1 << (mask_bits(n.bit_length()) + 1):
        raise BadShare("the share proof's response is too large")
    transcript, base, target = _bind(statement)
    own = key.verification_keys[statement.index - 1]
    first = numbers.powmod(key.v, 2 * proof.response, n) * numbers.powmod(own, -2 * proof.challenge, n) % n
    second = numbers.powmod(base, proof.response, n) * numbers.powmod(target, -proof.challenge, n) % n
    if _challenge(transcript, n, first, second) != proof.challenge:
        raise BadShare(f"the proof of holder {statement.index} does not hold for its share of this aggregate")


def _bind(statement: ShareStatement) -> tuple[Transcript, int, int]:
    """The transcript after everything public, and the two batched squares C and X."""
    key, public = statement.key, statement.key.public_key
    check_share_values(public, statement.shares, len(statement.ciphertexts))
    width = public.modulus_bytes
    transcript = Transcript("defedbio/share-proof/1")
    transcript.append("round", statement.context.to_bytes())
    transcript.append("modulus", numbers.to_bytes(key.n, width))
    transcript.append("holders", bytes((key.threshold, key.holders, statement.index)))
    transcript.append("base", numbers.to_bytes(key.v, width))
    transcript.append("verification key", numbers.to_bytes(key.verification_keys[statement.index - 1], width))
    transcript.append("aggregate root", statement.aggregate_root)
    transcript.append("ciphertexts", update_root(statement.ciphertexts, public))
    transcript.append("share root", share_root(statement.shares, public))
    step = BATCH_BITS // 8
    drawn = transcript.challenge_bytes("weights", step * len(statement.shares))
    weights = [int.from_bytes(drawn[i : i + step], "big") for i in range(0, len(drawn), step)]
    base = numbers.multi_powmod([c % key.n for c in statement.ciphertexts], weights, key.n)
    target = numbers.multi_powmod(statement.shares, weights, key.n)
    return transcript, numbers.powmod(base, 4 * key.delta, key.n), target * target % key.n


def _challenge(transcript: Transcript, n: int, first: int, second: int) -> int:
    width = (n.bit_length() + 7) // 8
    transcript.append("first", numbers.to_bytes(first, width))
    transcript.append("second", numbers.to_bytes(second, width))
    return transcript.challenge_int("challenge", CHALLENGE_BITS)
