"""What the contracts' structs hold, as frozen values. Hashes are 32 bytes, addresses checksummed text, ids integers (0 is none)."""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.domain import BitSet, CeremonyKind, CeremonyStatus, KeyEpochStatus, Phase, check_hash32, least_set


@dataclass(frozen=True)
class Profile:
    """How others find a participant (R1). The contract bounds the texts; text that is not UTF-8 on the chain reads with U+FFFD in it."""

    name: str
    metadata_cid: str
    transport_key: bytes
    multiaddr: str

    def __post_init__(self) -> None:
        check_hash32(self.transport_key, "transport key")


@dataclass(frozen=True)
class KeyEpoch:
    """`holders[i]` holds the share at x = i + 1. Bit i of `confirmations` is its confirmation, and bit i of `retired` its word that it
    erased that share (K3)."""

    epoch: int
    proposer: str
    threshold: int
    kind: CeremonyKind
    status: KeyEpochStatus
    modulus_bits: int
    confirmations: BitSet
    retired: BitSet
    modulus_hash: bytes
    transcript_hash: bytes
    holders: tuple[str, ...]

    @property
    def left(self) -> tuple[str, ...]:
        """The holders that have not said that they erased their shares."""
        return tuple(holder for position, holder in enumerate(self.holders) if position not in self.retired)


@dataclass(frozen=True)
class Ceremony:
    """`holders[i]` is to hold the share at x = i + 1; the first `threshold` are contributors. `posted` are the positions that posted in the
    present `step`, `seeds` those that published their seeds. `deadline` is unix seconds. `epoch` is 0 until one was proposed."""

    ceremony: int
    status: CeremonyStatus
    threshold: int
    bits: int
    step: int
    posted: BitSet
    seeds: BitSet
    step_seconds: int
    deadline: int
    epoch: int
    head: bytes
    holders: tuple[str, ...]


@dataclass(frozen=True)
class WrongProduct:
    """What shows that a posted aggregate is wrong at one place, in the order of the contract's struct. Numbers are big-endian, in twice the
    modulus's bytes; at the first update's place `before`, its path and the modulus are empty."""

    participant: str
    update_root: bytes
    cid: str
    proof_hash: bytes
    salt: bytes
    ciphertext: int
    factor: bytes
    factor_path: tuple[bytes, ...]
    before: bytes
    before_path: tuple[bytes, ...]
    product: bytes
    product_path: tuple[bytes, ...]
    modulus: bytes


@dataclass(frozen=True)
class StudyRules:
    """In the order of the contract's struct. `enrol_until` is unix seconds, the others named `_seconds` are durations; `least_share` is in
    ten-thousandths."""

    seats: int
    min_cohort: int
    steps: int
    enrol_until: int
    commit_seconds: int
    reveal_seconds: int
    attest_seconds: int
    aggregate_seconds: int
    share_seconds: int
    finalise_seconds: int
    least_share: int

    def least_set(self, updates: int) -> int:
        """How many updates a set must hold when so many are good (P3)."""
        return least_set(self.min_cohort, self.least_share, updates)

    def seconds_of(self, phase: Phase) -> int:
        """How long a round may stay in this phase; 0 for one that has no deadline."""
        return {
            Phase.OPEN: self.commit_seconds,
            Phase.COMMITTED: self.reveal_seconds,
            Phase.REVEALED: self.attest_seconds,
            Phase.FROZEN: self.aggregate_seconds,
            Phase.AGGREGATED: self.share_seconds,
            Phase.DECRYPTED: self.finalise_seconds,
        }.get(phase, 0)


@dataclass(frozen=True)
class Study:
    """`invited` is how many accounts may enrol, 0 where any member may."""

    study: int
    coordinator: str
    key_epoch: int
    enrolled: int
    invited: int
    spec_hash: bytes
    rules: StudyRules


@dataclass(frozen=True)
class Round:
    """`deadline` is unix seconds; the bit maps count enrolment positions from 0; the round does not wait for those in `absent`; `parent`
    is 0 for a study's first round."""

    round: int
    study: int
    step: int
    phase: Phase
    deadline: int
    parent: int
    committed: BitSet
    revealed: BitSet
    absent: BitSet
    frozen: BitSet
    aggregate_root: bytes
    model_hash: bytes
