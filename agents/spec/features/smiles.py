"""Molecules as Morgan fingerprints and descriptors of a SMILES column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from defedbio.spec.features.port import Features, Range

# RDKit's descriptors that a study may add to the fingerprint, with ranges wide enough for drug-like molecules; values beyond are cut.
DESCRIPTORS: dict[str, Range] = {
    "MolWt": (0.0, 1000.0),
    "MolLogP": (-10.0, 15.0),
    "TPSA": (0.0, 300.0),
    "NumHDonors": (0.0, 20.0),
    "NumHAcceptors": (0.0, 30.0),
    "NumRotatableBonds": (0.0, 40.0),
    "RingCount": (0.0, 15.0),
    "FractionCSP3": (0.0, 1.0),
    "HeavyAtomCount": (0.0, 100.0),
}


@dataclass(frozen=True)
class SmilesFeatures(Features):
    """Morgan fingerprints of a SMILES column, as bits or counts capped at `max_count`, then `descriptors`.

    `ecfp` tells atoms apart by element and neighbours, `fcfp` by pharmacophoric role. With `strip_salts` only the largest fragment counts.
    """

    kind = "smiles"

    column: str
    radius: int = 2
    bits: int = 1024
    counts: bool = False
    max_count: int = 15
    fingerprint: str = "ecfp"
    descriptors: tuple[str, ...] = ()
    strip_salts: bool = False

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        fields = {name: value for name, value in document.items() if name != "kind"}
        return cls(**fields | {"descriptors": tuple(fields.get("descriptors", ()))})

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*(f"bit{i}" for i in range(self.bits)), *self.descriptors)

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        bits = ((0.0, float(self.max_count) if self.counts else 1.0),) * self.bits
        return (*bits, *(DESCRIPTORS[name] for name in self.descriptors))

    @property
    def in_words(self) -> str:
        return f"fingerprints of {self.bits} bits from {self.column!r}"
