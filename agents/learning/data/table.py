"""Numeric and categorical columns of a CSV, TSV or Parquet file, each within what the study declares."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from defedbio.learning.data.categories import parse_categories
from defedbio.learning.data.files import Cells, read_columns
from defedbio.learning.data.numbers import parse_numbers
from defedbio.learning.data.port import Problem
from defedbio.learning.data.reading import FileAdapter, Float32, Source
from defedbio.spec import Category, TableFeatures


class TableAdapter(FileAdapter[TableFeatures]):
    def source(self, path: Path) -> Source:
        return Source(partial(read_columns, path), [c.name for c in self._features.columns], self._parse)

    def _parse(self, cells: dict[str, Cells], rows: int) -> tuple[Float32, list[Problem]]:
        return parse_table(cells, rows, self._features)


def parse_table(cells: dict[str, Cells], rows: int, features: TableFeatures) -> tuple[Float32, list[Problem]]:
    """Features float32 [rows, width] of the cells that are there, and what is wrong with them."""
    x = np.zeros((rows, features.width), dtype=np.float32)
    problems: list[Problem] = []
    start = 0
    for column in features.columns:
        end = start + len(column.names)
        if column.name in cells:
            own = cells[column.name]
            if isinstance(column, Category):
                x[:, start:end], found = parse_categories(own, column)
            else:
                x[:, start], found = parse_numbers(own, column)
            problems += found
        start = end
    problems += _uninformative(x, features.names)
    return x, problems


def _uninformative(x: Float32, names: tuple[str, ...]) -> list[Problem]:
    """Warnings for features that say nothing here: the same value in every row, or none at all."""
    problems = []
    for name, values in zip(names, x.T, strict=True):
        there = values[~np.isnan(values)]
        if not there.size:
            problems.append(Problem("has no value in any row", name, warning=True))
        elif len(x) > 1 and there.min() == there.max() and "=" not in name:
            problems.append(Problem("has the same value in every row", name, warning=True))
    return problems
