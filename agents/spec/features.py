"""What a study reads from every organisation's file: one kind of features a study, each with its declared width and ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.errors import InvalidSpec


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


@dataclass(frozen=True)
class TableFeatures:
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if len(set(names)) != len(names):
            raise InvalidSpec("feature names must differ")

    @property
    def width(self) -> int:
        return len(self.columns)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """(least, greatest) of every feature."""
        return tuple((c.minimum, c.maximum) for c in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    @property
    def nullable(self) -> bool:
        """Whether a row may lack a value."""
        return any(c.optional for c in self.columns)


@dataclass(frozen=True)
class SmilesFeatures:
    """Morgan fingerprints (ECFP of diameter 2 * radius) of a SMILES column, as bits or counts capped at `max_count`."""

    column: str
    radius: int = 2
    bits: int = 1024
    counts: bool = False
    max_count: int = 15

    @property
    def width(self) -> int:
        return self.bits

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, float(self.max_count) if self.counts else 1.0),) * self.bits

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"bit{i}" for i in range(self.bits))

    @property
    def nullable(self) -> bool:
        return False


Features = TableFeatures | SmilesFeatures


def features_from(document: dict[str, Any]) -> Features:
    if document["kind"] == "table":
        return TableFeatures(tuple(map(_column, document["columns"])))
    return SmilesFeatures(**{name: value for name, value in document.items() if name != "kind"})


def _column(document: dict[str, Any]) -> Column:
    optional = document.get("missing", "refuse") == "mean"
    return Column(document["name"], float(document["min"]), float(document["max"]), document.get("unit", ""), optional)
