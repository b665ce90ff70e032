"""Numeric columns of a CSV or Parquet file, each within the range that the study declares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from agents.errors import InternalFault
from agents.learning.data.files import Cells, first_rows
from agents.learning.data.port import DataReport, Dataset, Problem
from agents.learning.data.reading import Float32, read_features, read_labelled
from agents.spec import Column, TableFeatures, TaskSpec

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


class TableAdapter:
    def __init__(self, features: TableFeatures, task: TaskSpec) -> None:
        self._features = features
        self._task = task

    def check(self, path: Path) -> DataReport:
        return self._read(path)[0]

    def load(self, path: Path) -> Dataset:
        report, dataset = self._read(path)
        report.require_ok()
        if dataset is None:
            raise InternalFault("a clean data report came without data")
        return dataset

    def features(self, path: Path) -> Float32:
        report, x = read_features(path, self._columns, self._parse)
        report.require_ok()
        if x is None:
            raise InternalFault("a clean data report came without data")
        return x

    @property
    def _columns(self) -> list[str]:
        return [c.name for c in self._features.columns]

    def _read(self, path: Path) -> tuple[DataReport, Dataset | None]:
        return read_labelled(path, self._columns, self._task, self._parse)

    def _parse(self, cells: dict[str, Cells], rows: int) -> tuple[Float32 | None, list[Problem]]:
        x = np.zeros((rows, self._features.width), dtype=np.float32)
        problems: list[Problem] = []
        for place, column in enumerate(self._features.columns):
            if column.name in cells:
                x[:, place], found = _parse_column(cells[column.name], column)
                problems += found
        return x, problems


def _parse_column(cells: Cells, column: Column) -> tuple[Float32, list[Problem]]:
    text = pd.Series(cells, dtype=object)
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
    missing = text.str.lower().isin(_MISSING).to_numpy(dtype=bool)
    infinite = np.isinf(values)
    wrong = np.isnan(values) & ~missing
    with np.errstate(invalid="ignore"):
        outside = ((values < column.minimum) | (values > column.maximum)) & ~infinite
    problems = []
    unit = f" {column.unit}" if column.unit else ""
    bounds = f"outside the declared range {column.minimum:g} to {column.maximum:g}{unit}"
    for text_of, mask in (("missing or NaN", missing), ("not a number", wrong), ("infinite", infinite), (bounds, outside)):
        problems += _problem(text_of, column.name, mask)
    usable = np.where(np.isfinite(values), values, column.minimum)
    return np.clip(usable, column.minimum, column.maximum).astype(np.float32), problems


def _problem(text: str, column: str, mask: npt.NDArray[np.bool_]) -> list[Problem]:
    count = int(mask.sum())
    return [Problem(text, column, count, first_rows(np.flatnonzero(mask)))] if count else []
