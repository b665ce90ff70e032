"""What is announced of a ceremony, and all sizes that follow from it (D1, section 1 of docs/ceremony.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property

from defedbio.crypto.keygen.sieve import Sieve
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.proofs import factors
from defedbio.crypto.proofs.group import Group
from defedbio.crypto.share_sizes import quotient, sub_share_bound
from defedbio.crypto.threshold import check_quorum
from defedbio.errors import BadTranscript, InvalidInput

SIGMA = 128
COMPLAIN = "say so on the chain, which ends the ceremony, and announce another without this holder"
PUBLISH = "say so on the chain, which ends the ceremony, and publish the seed when that is final: the seeds tell who deviated"
CANDIDATES = {2048: 4096, 3072: 8192}  # of a batch, by the modulus' bits
MAX_STEP_SECONDS = 1 << 32
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True)
class Terms:
    """Chain, key registry, ceremony number, the holders' addresses (kept in lower case) in their order, t, β and seconds a step.

    `sizes` says which β are allowed, and how many candidates a batch of each has, a power of two; tests alone bring others.

    Raises:
        InvalidInput: for an impossible value.
    """

    chain_id: int
    contract: str
    ceremony: int
    holders: tuple[str, ...]
    threshold: int
    bits: int
    step_seconds: int
    sizes: InitVar[Mapping[int, int]] = CANDIDATES
    candidates: int = field(init=False)

    def __post_init__(self, sizes: Mapping[int, int]) -> None:
        check_quorum(self.threshold, len(self.holders))
        if any(not _ADDRESS.fullmatch(address) for address in (self.contract, *self.holders)):
            raise InvalidInput("the contract and the holders of a ceremony must be addresses of 20 bytes")
        object.__setattr__(self, "contract", self.contract.lower())
        object.__setattr__(self, "holders", tuple(address.lower() for address in self.holders))
        if len(set(self.holders)) != len(self.holders):
            raise InvalidInput("the ceremony names a holder twice")
        if self.bits not in sizes:
            raise InvalidInput(f"a modulus of {self.bits} bits: {', '.join(map(str, sorted(sizes)))} can be made")
        if any(not 0 <= value < 1 << 64 for value in (self.chain_id, self.ceremony)):
            raise InvalidInput("chain id and ceremony number must fit 64 bits")
        if not 1 <= self.step_seconds < MAX_STEP_SECONDS:
            raise InvalidInput("a step takes between a second and 2^32 seconds")
        object.__setattr__(self, "candidates", sizes[self.bits])

    def to_bytes(self) -> bytes:
        """All fields in order, big-endian and of fixed lengths, the holders after their count."""
        return b"".join(
            (
                b"defedbio-ceremony-terms/1",
                self.chain_id.to_bytes(8, "big"),
                bytes.fromhex(self.contract[2:]),
                self.ceremony.to_bytes(8, "big"),
                bytes((len(self.holders), self.threshold)),
                self.bits.to_bytes(2, "big"),
                self.step_seconds.to_bytes(4, "big"),
                *(bytes.fromhex(address[2:]) for address in self.holders),
            )
        )

    @cached_property
    def hash(self) -> bytes:
        return keccak256(self.to_bytes())

    @cached_property
    def sieve(self) -> Sieve:
        return Sieve.of(self.bits, self.threshold)

    @cached_property
    def group(self) -> Group:
        """That of `factors`, whose first generator is G: its order is above 2^(β+419), and so above 2^(β+344)."""
        return factors.group_of(self.bits)

    @cached_property
    def generator(self) -> int:
        return self.group.generators(1)[1][0]

    @property
    def half(self) -> int:
        """b = β/2."""
        return self.bits // 2

    @property
    def own_bits(self) -> int:
        """Of a contributor's own modulus."""
        return self.bits + SIGMA

    @property
    def width(self) -> int:
        """Bytes of a number modulo n."""
        return (self.bits + 7) // 8

    @property
    def cipher_width(self) -> int:
        """Bytes of a ciphertext under an own key."""
        return 2 * ((self.own_bits + 7) // 8)

    @property
    def short_bytes(self) -> int:
        """Of a request's exponent: half of the own modulus' bits (Damgård, Jurik, Nielsen 2010)."""
        return (self.own_bits // 2 + 7) // 8

    @property
    def long_bytes(self) -> int:
        """Of an answer's exponent: |n_j| + σ bits, which hide whatever was asked."""
        return (self.own_bits + SIGMA + 7) // 8

    @property
    def share_modulus(self) -> int:
        """What shares of candidates are reduced by (D10)."""
        return 1 << (self.bits + 2)

    @property
    def quotient(self) -> int:
        """Q (D17)."""
        return quotient(self.bits, self.threshold)

    @property
    def sub_share_bound(self) -> int:
        """A sub-share is in [0, this) (D20)."""
        return sub_share_bound(self.bits, self.threshold, len(self.holders))

    def fault(self, position: int, reason: str) -> BadTranscript:
        """What the holder at `position` (from 0) is at fault for."""
        return BadTranscript(f"holder {position + 1} of the ceremony: {reason}", COMPLAIN, peer=self.holders[position])
