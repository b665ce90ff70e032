"""What is left of rounds that a node has forgotten, once their end is final: little, and enough for all that it decides afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from defedbio.crypto.merkle import keccak256
from defedbio.domain import NO_ONE, BitSet


def name_of(*parts: object) -> str:
    """Sixteen hexadecimal digits that differ where any part does."""
    return keccak256(repr(parts).encode()).hex()[:16]


def start_of(step: int, parent: int, parent_hash: bytes) -> str:
    """Names what an update of a round is made for."""
    return name_of(step, parent, parent_hash.hex())


@dataclass(frozen=True, slots=True)
class PastRound:
    """A finalised or voided round without its details, which stand on the chain in the blocks from `opened_in` to `ended_in`. Those at the
    positions in `acted` committed or declared a loss of privacy in it. `opened` is the root that t holders released shares for, empty where
    there is none; `models` are the CIDs under which the finalised model was attested."""

    id: int
    step: int
    parent: int
    parent_hash: bytes
    finalised: bool
    frozen: BitSet
    acted: BitSet
    opened: bytes
    models: tuple[str, ...]
    opened_in: int
    ended_in: int

    @property
    def start(self) -> str:
        """As a `RoundView`'s."""
        return start_of(self.step, self.parent, self.parent_hash)


def _no_rounds() -> Mapping[int, PastRound]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Past:
    """These rounds by number, all older than any other, and what they come to: how many were `finalised`; which of them was `deceived` (t
    holders opened a product in it that was shown to be wrong), 0 for none; who came back in its newest `run` of steps; and by organisation
    the largest total loss of privacy that it declared."""

    rounds: Mapping[int, PastRound] = field(default_factory=_no_rounds)
    finalised: int = 0
    deceived: int = 0
    run: int = 0
    returned: BitSet = NO_ONE
    spent: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def voided(self) -> int:
        return len(self.rounds) - self.finalised
