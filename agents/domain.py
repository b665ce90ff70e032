"""Values that every room shares. A value that exists is valid: constructors refuse the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from math import inf, sqrt

from defedbio.errors import InvalidInput

MAX_PARTICIPANTS = 256
# Noise of one contribution: its largest deviation, and how many deviations one element of it may be.
MAX_NOISE = 1 << 26
NOISE_TAIL = 12
# Rotated values look Gaussian: how many deviations one of them may be, and how many units the deviation may have.
ROTATED_TAIL = 5
LEAST_SIGMA, MOST_SIGMA = 1.0, 4.0
# Of fewer elements, too few signs are mixed for the result of a rotation to look Gaussian.
LEAST_ROTATED = 256
# Bits of a plaintext above its slots: so that sums, and the row sums of proofs, of up to 2^20 plaintexts do not wrap modulo n.
GUARD_BITS = 26
MAX_HOLDERS = 15
FULL_SHARE = 16  # a weight of this part of its cap carries a rotated update of the whole clip norm
MIN_COHORT = 3
RETURN_STEPS = 8  # steps of a study in which one that was absent may ask once to be waited for again
WHOLE = 10_000
TWO_THIRDS = 6_666  # of `WHOLE`: rounded up, it is exactly two thirds of every number of participants
MIN_MODULUS_BITS = 2048


class Phase(IntEnum):
    """The contract's `Phase` (contracts/types/RoundTypes.sol): what has been completed."""

    NONE = 0
    OPEN = 1
    COMMITTED = 2
    REVEALED = 3
    FROZEN = 4
    AGGREGATED = 5
    DECRYPTED = 6
    FINALISED = 7
    VOIDED = 8

    @property
    def ended(self) -> bool:
        return self in (Phase.FINALISED, Phase.VOIDED)


class CeremonyKind(IntEnum):
    DEALER = 0
    DISTRIBUTED = 1


class KeyEpochStatus(IntEnum):
    NONE = 0
    PROPOSED = 1
    ACTIVE = 2
    REJECTED = 3
    RETIRED = 4


class CeremonyStatus(IntEnum):
    NONE = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3


def check_hash32(value: bytes, what: str) -> bytes:
    """Return `value` if it is 32 bytes.

    Raises:
        InvalidInput: naming `what`, if it is not.
    """
    if not isinstance(value, bytes) or len(value) != 32:
        raise InvalidInput(f"{what} must be 32 bytes")
    return value


@dataclass(frozen=True)
class BitSet:
    """A set of enrolment positions (0..255), as the contracts' bit maps hold it."""

    bits: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.bits < 1 << MAX_PARTICIPANTS:
            raise InvalidInput(f"a set of participants must fit {MAX_PARTICIPANTS} bits")

    @classmethod
    def of(cls, *positions: int) -> BitSet:
        bits = 0
        for position in positions:
            if not 0 <= position < MAX_PARTICIPANTS:
                raise InvalidInput(f"position {position} is outside 0..{MAX_PARTICIPANTS - 1}")
            bits |= 1 << position
        return cls(bits)

    def __contains__(self, position: int) -> bool:
        return bool(self.bits >> position & 1)

    def __len__(self) -> int:
        return self.bits.bit_count()

    def positions(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.bits.bit_length()) if self.bits >> i & 1)

    def add(self, position: int) -> BitSet:
        return BitSet(self.bits | BitSet.of(position).bits)

    def remove(self, position: int) -> BitSet:
        return BitSet(self.bits & ~BitSet.of(position).bits)


NO_ONE = BitSet()


def least_set(cohort: int, share: int, updates: int) -> int:
    """How many updates a set must hold (P3): the cohort, and `share` ten-thousandths, rounded up, of the good `updates`."""
    return max(MIN_COHORT, cohort, -(-updates * share // WHOLE))


@dataclass(frozen=True)
class RoundContext:
    """What makes one round unlike every other on any chain (P9); bound into blobs, proofs and transcripts."""

    chain_id: int
    contract: str
    study: int
    round: int

    def to_bytes(self) -> bytes:
        """8-byte chain id, 20-byte contract address, 8-byte study, 8-byte round, big-endian: 44 bytes."""
        return (
            self.chain_id.to_bytes(8, "big")
            + bytes.fromhex(self.contract.removeprefix("0x").rjust(40, "0"))
            + self.study.to_bytes(8, "big")
            + self.round.to_bytes(8, "big")
        )


@dataclass(frozen=True)
class Quantisation:
    """How a real vector becomes signed slots of a ciphertext (docs/crypto.md, Encoding and packing).

    A contribution is `weight` (1..weight_cap) and a vector x; what is summed is round(weight/weight_cap * x * scale), and the
    weight itself in a slot of its own; what is not `weighted` (counts, control variates) is summed as round(x * scale). `clip_norm`
    bounds the L2 norm of x; `max_abs` bounds every element; at least one is set. Then discrete Gaussian `noise` of that deviation is
    added to every element (0: none). Elements that only `max_abs` bounds are at least 0, so that a proof can bound them one by one: those
    of `signed` ones are summed with `shift` added to each.

    Where `sigma` is not 0, the vector is rotated first (crypto.rotation), so that its elements look Gaussian: the L2 norm of
    weight/weight_cap * x is limited (`limit`), and the scale makes a vector of norm `clip_norm` one whose elements have the deviation
    `sigma`.
    """

    slot_bits: int
    scale: float
    weight_cap: int
    clip_norm: float | None = None
    max_abs: float | None = None
    weighted: bool = True
    noise: int = 0
    sigma: float = 0.0
    signed: bool = False

    def __post_init__(self) -> None:
        if not 8 <= self.slot_bits <= 62:
            raise InvalidInput("slot_bits must be 8..62")
        if not 0 < self.scale < inf or not self.weight_cap >= 1:
            raise InvalidInput("scale must be positive and weight_cap at least 1")
        if self.clip_norm is None and self.max_abs is None:
            raise InvalidInput("a quantisation needs clip_norm or max_abs")
        if self.signed and (self.clip_norm is not None or self.weighted):
            raise InvalidInput("only elements that are bounded one by one, and not weighted, are shifted")
        if not 0 <= self.noise <= MAX_NOISE:
            raise InvalidInput(f"the deviation of the noise must be 0..{MAX_NOISE} units", "narrow the slots or lower the scale")
        if not all(bound is None or 0 < bound * self.scale < inf for bound in (self.clip_norm, self.max_abs)):
            raise InvalidInput("clip_norm and max_abs must be positive, and numbers in units of the scale too")
        if self.rotated and not LEAST_SIGMA <= self.sigma <= MOST_SIGMA:
            raise InvalidInput(f"the deviation of rotated values must be {LEAST_SIGMA:g}..{MOST_SIGMA:g} units")
        if self.rotated and (self.clip_norm is None or self.max_abs is not None or self.noise):
            raise InvalidInput("rotated values are bounded by their norm alone, and carry no noise")

    @property
    def rotated(self) -> bool:
        return self.sigma != 0

    def share(self, weight: int) -> float:
        """What a contribution of this weight is multiplied by: weight/weight_cap, and 1 where it is not weighted."""
        return weight / self.weight_cap if self.weighted else 1.0

    def limit(self, weight: int) -> float:
        """The L2 norm that weight/weight_cap * x may have where it is rotated.

        The clip norm for a 16th of the weight cap and more, so that caps may be far above everybody's rows, and small members' updates,
        which are often the longer ones, are not cut before the others' are; less in proportion for less, so that who declares a row or
        two does not move the sum as the largest can.
        """
        assert self.clip_norm is not None and self.rotated
        return self.clip_norm * min(1.0, FULL_SHARE * self.share(weight))

    @property
    def bound(self) -> int:
        """Largest magnitude a contribution can put in one slot, B_int of the slot rule. The weight does not lie in rotated slots."""
        return self.largest if self.rotated else max(self.largest + self.shift + NOISE_TAIL * self.noise, self.weight_cap)

    @property
    def shift(self) -> int:
        """What every contribution adds to each element."""
        return self.largest if self.signed else 0

    @property
    def largest(self) -> int:
        """Largest magnitude of one rounded element before the noise: the real bound and one unit for stochastic rounding, or where the
        Gaussian of rotated values is cut."""
        if self.rotated:
            return int(ROTATED_TAIL * self.sigma)
        real = min(b for b in (self.clip_norm, self.max_abs) if b is not None)
        return int(real * self.scale) + 1

    def check_slot_rule(self, participants: int, slack: float = 1.0) -> None:
        """Slot rule: participants * slack * bound < 2^(slot_bits-1); slack leaves room for more than honest contributions.

        Raises:
            InvalidInput: if the sum could overflow a slot.
        """
        if not participants * slack * self.bound < 1 << (self.slot_bits - 1):
            raise InvalidInput(
                f"{participants} contributions of up to {self.bound} overflow {self.slot_bits}-bit slots",
                "lower the scale, the bound or the weight cap, or widen the slots",
            )


@dataclass(frozen=True)
class Segment:
    """Consecutive elements of every contribution to a round that mean one thing and are encoded alike."""

    name: str
    length: int
    quantisation: Quantisation

    def __post_init__(self) -> None:
        if self.length < 1:
            raise InvalidInput("a segment needs at least one element")

    def clipped_to(self, norm: float) -> Segment:
        """The segment of rotated values with another clip norm: the scale follows, so the integers have the bounds they had."""
        scale = self.quantisation.sigma * sqrt(self.length) / norm
        return replace(self, quantisation=replace(self.quantisation, clip_norm=norm, scale=scale))


@dataclass(frozen=True)
class Run:
    """`values` of a vector, one after the other, in slots of `slot_bits` and in ciphertexts of their own."""

    slot_bits: int
    values: int
