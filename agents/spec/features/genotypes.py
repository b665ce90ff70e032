"""Genotypes at a list of variants, and covariates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from defedbio.errors import InvalidSpec
from defedbio.spec.features.columns import column_from
from defedbio.spec.features.port import Features, Range
from defedbio.spec.features.table import TableFeatures
from defedbio.spec.features.variants import Variant


@dataclass(frozen=True)
class GenotypeFeatures(Features):
    """Dosages 0 to 2 of `variants`, then `covariates`, of samples named in the column `sample`; `optional` dosages may be missing."""

    kind = "genotypes"

    variants: tuple[Variant, ...]
    sample: str
    covariates: TableFeatures
    optional: bool = False
    palindromic: bool = False

    def __post_init__(self) -> None:
        if len({v.name for v in self.variants}) != len(self.variants):
            raise InvalidSpec("variant names must differ")
        if len({(v.chromosome, v.position, frozenset((v.effect, v.other))) for v in self.variants}) != len(self.variants):
            raise InvalidSpec("the study names a variant twice")
        if {v.name for v in self.variants} & set(self.covariates.names):
            raise InvalidSpec("variants and covariates must have different names")
        unclear = [v.name for v in self.variants if v.palindromic and not self.palindromic]
        if unclear:
            raise InvalidSpec(
                f"variant {unclear[0]!r} looks the same on both strands ({len(unclear)} of the study's do)",
                'leave it out, or allow it with "palindromic": "trust" if all organisations report the forward strand',
            )

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        return cls(
            tuple(Variant(v["id"], v["chromosome"], v["position"], v["effect"], v["other"]) for v in document["variants"]),
            document["sample"],
            TableFeatures(tuple(map(column_from, document.get("covariates", ())))),
            document.get("missing", "refuse") == "mean",
            document.get("palindromic", "refuse") == "trust",
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*(v.name for v in self.variants), *self.covariates.names)

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        return (*((0.0, 2.0),) * len(self.variants), *self.covariates.ranges)

    @property
    def in_words(self) -> str:
        return f"dosages of {len(self.variants)} variants and {len(self.covariates.columns)} covariates"

    @property
    def units(self) -> tuple[str, ...]:
        return (*(f"copies of {v.effect}" for v in self.variants), *self.covariates.units)

    @property
    def nullable(self) -> bool:
        return self.optional or self.covariates.nullable

    @property
    def dosages(self) -> tuple[Variant, ...]:
        return self.variants
