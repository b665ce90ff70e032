"""What a node can do next. `decide` names one; `perform` does it."""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.domain import BitSet


@dataclass(frozen=True)
class StartRound:
    study: int


@dataclass(frozen=True)
class ComeBack:
    """Ask the round to wait for this organisation, which was absent."""

    round: int


@dataclass(frozen=True)
class PrepareUpdate:
    """Train, encrypt and journal this organisation's update, with its root, CID and salt. Nothing leaves the node before the reveal."""

    round: int


@dataclass(frozen=True)
class DeclarePrivacy:
    """Write the privacy loss of this round's update on the chain."""

    round: int


@dataclass(frozen=True)
class Commit:
    round: int


@dataclass(frozen=True)
class Reveal:
    round: int


@dataclass(frozen=True)
class CheckUpdates:
    """Fetch and check every revealed update; journal the set of good ones."""

    round: int


@dataclass(frozen=True)
class AttestSet:
    """Name the set, and the updates that this holder found bad."""

    round: int
    set: BitSet
    refused: BitSet


@dataclass(frozen=True)
class ComputeAggregate:
    round: int


@dataclass(frozen=True)
class PostAggregate:
    round: int


@dataclass(frozen=True)
class WeighProduct:
    """Look where a posted product (its root and CID) that is not this node's own is wrong, and show that on the chain."""

    round: int
    root: bytes
    cid: str


@dataclass(frozen=True)
class ReleaseShare:
    round: int


@dataclass(frozen=True)
class CheckShare:
    """Check the share of a holder whom somebody accuses, and journal the finding."""

    round: int
    holder: str


@dataclass(frozen=True)
class CheckOpening:
    """Check the next of the posted openings; keep it if it holds and compute the new model from it."""

    round: int


@dataclass(frozen=True)
class CombinePart:
    """Combine t shares of the ciphertexts that are this organisation's, and post that part of the opening."""

    round: int


@dataclass(frozen=True)
class AssembleParts:
    """Check everyone's parts; keep the opening that they make and compute the new model from it."""

    round: int


@dataclass(frozen=True)
class CombineShares:
    """Combine t shares; name whoever's share fails its proof, or keep the opening and compute the new model."""

    round: int


@dataclass(frozen=True)
class PostOpening:
    round: int


@dataclass(frozen=True)
class AttestModel:
    round: int


@dataclass(frozen=True)
class Advance:
    round: int


@dataclass(frozen=True)
class AdoptModel:
    """Hold, check and pin the model of a finalised round."""

    round: int


@dataclass(frozen=True)
class Finish:
    """The study is complete."""


@dataclass(frozen=True)
class Halt:
    reason: str


Action = (
    StartRound
    | ComeBack
    | PrepareUpdate
    | DeclarePrivacy
    | Commit
    | Reveal
    | CheckUpdates
    | AttestSet
    | ComputeAggregate
    | PostAggregate
    | WeighProduct
    | ReleaseShare
    | CheckShare
    | CheckOpening
    | CombinePart
    | AssembleParts
    | CombineShares
    | PostOpening
    | AttestModel
    | Advance
    | AdoptModel
    | Finish
    | Halt
)
