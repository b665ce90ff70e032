"""Long lists in pages that the server cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

T = TypeVar("T")
PAGE = 25


@dataclass(frozen=True)
class Paged(Generic[T]):
    """Page `number` (from 1) of `total` rows; `name` is the list's name in the address."""

    name: str
    rows: Sequence[T]
    number: int
    total: int
    size: int = PAGE

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    def holding(self, rows: Sequence[Any]) -> Paged[Any]:
        """The same page with other rows in it."""
        return replace(self, rows=rows)


@dataclass(frozen=True)
class Numbers:
    """Which page of each list somebody asks for, by the list's name; 1 where it is not said."""

    asked: Mapping[str, str]

    def page(self, name: str, rows: Sequence[T], size: int = PAGE) -> Paged[T]:
        """Cut a page out of `rows`; beyond the last, the last."""
        number = min(max(self._number(name), 1), max(1, -(-len(rows) // size)))
        return Paged(name, rows[(number - 1) * size : number * size], number, len(rows), size)

    def newest(self, name: str, rows: Sequence[T], size: int = PAGE) -> Paged[T]:
        """As `page` of the rows turned round, without turning all of them."""
        number = min(max(self._number(name), 1), max(1, -(-len(rows) // size)))
        end = len(rows) - (number - 1) * size
        return Paged(name, rows[max(end - size, 0) : end][::-1], number, len(rows), size)

    def _number(self, name: str) -> int:
        text = self.asked.get(name, "1")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 1


FIRST = Numbers({})
