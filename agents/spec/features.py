"""What a study reads from every organisation's file: one kind of features a study, each with its declared width and ranges."""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1
from typing import Any

from agents.errors import InvalidSpec

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

    @property
    def ranges(self) -> tuple[Range, ...]:
        """(least, greatest) of every feature."""
        return tuple(r for c in self.columns for r in c.ranges)

    @property
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

    @property
    def ranges(self) -> tuple[Range, ...]:
        bits = ((0.0, float(self.max_count) if self.counts else 1.0),) * self.bits
        return (*bits, *(DESCRIPTORS[name] for name in self.descriptors))

    @property
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

    @property
    def ranges(self) -> tuple[Range, ...]:
        return ((0.0, self.maximum),) * len(self.genes)

    @property
    def names(self) -> tuple[str, ...]:
        return self.genes

    @property
    def nullable(self) -> bool:
        return self.optional


Features = TableFeatures | SmilesFeatures | ExpressionFeatures


def features_from(document: dict[str, Any]) -> Features:
    """The features of a document that obeys the schema."""
    if document["kind"] == "table":
        return TableFeatures(tuple(map(_column, document["columns"])))
    fields = {name: value for name, value in document.items() if name != "kind"}
    if document["kind"] == "expression":
        optional = fields.get("missing", "refuse") == "mean"
        return ExpressionFeatures(tuple(fields["genes"]), float(fields["max"]), fields.get("transform", "log1p"), optional)
    return SmilesFeatures(**fields | {"descriptors": tuple(fields.get("descriptors", ()))})


def _column(document: dict[str, Any]) -> Column | Category:
    missing = document.get("missing", "refuse")
    if "categories" in document:
        return Category(document["name"], tuple(document["categories"]), missing == "zero", document.get("unknown", "refuse") == "zero")
    return Column(document["name"], float(document["min"]), float(document["max"]), document.get("unit", ""), missing == "mean")
