"""What a study reads from every organisation's file: one kind of features a study, each with its declared width and ranges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import expm1
from typing import Any

from defedbio.errors import InvalidSpec

Range = tuple[float, float]


@dataclass(frozen=True)
class Column:
    """A numeric feature; `minimum` and `maximum` bound it in `unit`. An `optional` one may be missing: the model then reads the mean."""

    name: str
    minimum: float
    maximum: float
    unit: str = ""
    optional: bool = False

    def __post_init__(self) -> None:
        if not self.minimum < self.maximum:
            raise InvalidSpec(f"feature {self.name!r}: min must be below max")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def ranges(self) -> tuple[Range, ...]:
        return ((self.minimum, self.maximum),)


@dataclass(frozen=True)
class Category:
    """A categorical feature: one 0/1 feature a category; all 0 for a missing value if `optional`, for an unknown one if `open`."""

    name: str
    categories: tuple[str, ...]
    optional: bool = False
    open: bool = False

    def __post_init__(self) -> None:
        if len(set(self.categories)) != len(self.categories):
            raise InvalidSpec(f"feature {self.name!r}: categories must differ")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={category}" for category in self.categories)

    @property
    def ranges(self) -> tuple[Range, ...]:
        return ((0.0, 1.0),) * len(self.categories)


@dataclass(frozen=True)
class TableFeatures:
    columns: tuple[Column | Category, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if len(set(names)) != len(names):
            raise InvalidSpec("feature names must differ")

    @property
    def width(self) -> int:
        return len(self.names)

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        """(least, greatest) of every feature."""
        return tuple(r for c in self.columns for r in c.ranges)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(name for c in self.columns for name in c.names)

    @property
    def nullable(self) -> bool:
        """Whether a row may lack a value."""
        return any(c.optional for c in self.columns if isinstance(c, Column))


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
class SmilesFeatures:
    """Morgan fingerprints of a SMILES column, as bits or counts capped at `max_count`, then `descriptors`.

    `ecfp` tells atoms apart by element and neighbours, `fcfp` by pharmacophoric role. With `strip_salts` only the largest fragment counts.
    """

    column: str
    radius: int = 2
    bits: int = 1024
    counts: bool = False
    max_count: int = 15
    fingerprint: str = "ecfp"
    descriptors: tuple[str, ...] = ()
    strip_salts: bool = False

    @property
    def width(self) -> int:
        return self.bits + len(self.descriptors)

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        bits = ((0.0, float(self.max_count) if self.counts else 1.0),) * self.bits
        return (*bits, *(DESCRIPTORS[name] for name in self.descriptors))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*(f"bit{i}" for i in range(self.bits)), *self.descriptors)

    @property
    def nullable(self) -> bool:
        return False


@dataclass(frozen=True)
class ExpressionFeatures:
    """Expression of `genes`, one column of the file each, at most `maximum` after `transform`; `optional` genes may be missing."""

    genes: tuple[str, ...]
    maximum: float
    transform: str = "log1p"
    optional: bool = False

    def __post_init__(self) -> None:
        if len(set(self.genes)) != len(self.genes):
            raise InvalidSpec("the study's genes must differ")

    @property
    def width(self) -> int:
        return len(self.genes)

    @property
    def largest(self) -> float:
        """The largest value that a file may hold, before the transform."""
        return expm1(self.maximum) if self.transform == "log1p" else self.maximum

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        return ((0.0, self.maximum),) * len(self.genes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return self.genes

    @property
    def nullable(self) -> bool:
        return self.optional


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


@dataclass(frozen=True)
class GenotypeFeatures:
    """Dosages 0 to 2 of `variants`, then `covariates`, of samples named in the column `sample`; `optional` dosages may be missing."""

    variants: tuple[Variant, ...]
    sample: str
    covariates: TableFeatures = TableFeatures(())
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

    @property
    def width(self) -> int:
        return len(self.variants) + self.covariates.width

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        return (*((0.0, 2.0),) * len(self.variants), *self.covariates.ranges)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*(v.name for v in self.variants), *self.covariates.names)

    @property
    def nullable(self) -> bool:
        return self.optional or self.covariates.nullable


Features = TableFeatures | SmilesFeatures | ExpressionFeatures | GenotypeFeatures


def features_from(document: dict[str, Any]) -> Features:
    """The features of a document that obeys the schema."""
    if document["kind"] == "table":
        return TableFeatures(tuple(map(_column, document["columns"])))
    fields = {name: value for name, value in document.items() if name != "kind"}
    if document["kind"] == "expression":
        optional = fields.get("missing", "refuse") == "mean"
        return ExpressionFeatures(tuple(fields["genes"]), float(fields["max"]), fields.get("transform", "log1p"), optional)
    if document["kind"] == "genotypes":
        return GenotypeFeatures(
            tuple(Variant(v["id"], v["chromosome"], v["position"], v["effect"], v["other"]) for v in fields["variants"]),
            fields["sample"],
            TableFeatures(tuple(map(_column, fields.get("covariates", ())))),
            fields.get("missing", "refuse") == "mean",
            fields.get("palindromic", "refuse") == "trust",
        )
    return SmilesFeatures(**fields | {"descriptors": tuple(fields.get("descriptors", ()))})


def _column(document: dict[str, Any]) -> Column | Category:
    missing = document.get("missing", "refuse")
    if "categories" in document:
        return Category(document["name"], tuple(document["categories"]), missing == "zero", document.get("unknown", "refuse") == "zero")
    return Column(document["name"], float(document["min"]), float(document["max"]), document.get("unit", ""), missing == "mean")
