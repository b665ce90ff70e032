"""Columns of a table as they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from defedbio.errors import InvalidSpec
from defedbio.spec.features.columns import Category, Column, column_from
from defedbio.spec.features.port import Features, Range


@dataclass(frozen=True)
class TableFeatures(Features):
    kind = "table"

    columns: tuple[Column | Category, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if len(set(names)) != len(names):
            raise InvalidSpec("feature names must differ")

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        return cls(tuple(map(column_from, document["columns"])))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(name for c in self.columns for name in c.names)

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        return tuple(r for c in self.columns for r in c.ranges)

    @property
    def in_words(self) -> str:
        return f"{len(self.columns)} columns ({self.width} features)"

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(unit for c in self.columns for unit in c.units)

    @property
    def nullable(self) -> bool:
        """A missing category is no missing value: it reads as none of the categories."""
        return any(c.optional for c in self.columns if isinstance(c, Column))
