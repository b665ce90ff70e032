"""The columns of a table: numbers within a declared range, or one of declared categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from defedbio.errors import InvalidSpec
from defedbio.spec.features.port import Range


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

    @property
    def units(self) -> tuple[str, ...]:
        return (self.unit,)


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

    @property
    def units(self) -> tuple[str, ...]:
        return ("",) * len(self.categories)


def column_from(document: dict[str, Any]) -> Column | Category:
    """The column of a document that obeys the schema.

    Raises:
        InvalidSpec: if its range is empty or its categories repeat.
    """
    missing = document.get("missing", "refuse")
    if "categories" in document:
        return Category(document["name"], tuple(document["categories"]), missing == "zero", document.get("unknown", "refuse") == "zero")
    return Column(document["name"], float(document["min"]), float(document["max"]), document.get("unit", ""), missing == "mean")
