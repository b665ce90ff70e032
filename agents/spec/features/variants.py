"""Genetic variants and the two strands on which their alleles can be read."""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.errors import InvalidSpec

_COMPLEMENT = {"A": "T", "T": "A", "C": "G", "G": "C"}


def complement(allele: str) -> str:
    """The allele as read from the other strand, in that strand's direction."""
    return "".join(_COMPLEMENT[base] for base in reversed(allele))


@dataclass(frozen=True)
class Variant:
    """A biallelic variant of an autosome; its dosage counts copies of the `effect` allele. `position` is from 1, as in VCF."""

    name: str
    chromosome: str
    position: int
    effect: str
    other: str

    def __post_init__(self) -> None:
        if self.effect == self.other:
            raise InvalidSpec(f"variant {self.name!r}: the two alleles must differ")

    @property
    def palindromic(self) -> bool:
        """Whether both strands show the same two alleles (A/T, C/G), so that a strand flip cannot be seen."""
        return complement(self.effect) == self.other
