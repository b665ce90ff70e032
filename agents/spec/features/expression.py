"""Expression of a list of genes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import expm1
from typing import Any, Self

from defedbio.errors import InvalidSpec
from defedbio.spec.features.port import Features, Range


@dataclass(frozen=True)
class ExpressionFeatures(Features):
    """Expression of `genes`, one column of the file each, at most `maximum` after `transform`; `optional` genes may be missing."""

    kind = "expression"

    genes: tuple[str, ...]
    maximum: float
    transform: str = "log1p"
    optional: bool = False

    def __post_init__(self) -> None:
        if len(set(self.genes)) != len(self.genes):
            raise InvalidSpec("the study's genes must differ")

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        optional = document.get("missing", "refuse") == "mean"
        return cls(tuple(document["genes"]), float(document["max"]), document.get("transform", "log1p"), optional)

    @property
    def largest(self) -> float:
        """The largest value that a file may hold, before the transform."""
        return expm1(self.maximum) if self.transform == "log1p" else self.maximum

    @property
    def names(self) -> tuple[str, ...]:
        return self.genes

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        return ((0.0, self.maximum),) * self.width

    @property
    def in_words(self) -> str:
        return f"expression of {self.width} genes"

    @property
    def units(self) -> tuple[str, ...]:
        return (self.transform if self.transform != "none" else "",) * self.width

    @property
    def nullable(self) -> bool:
        return self.optional
