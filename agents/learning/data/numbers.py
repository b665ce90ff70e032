"""Numeric cells: text to numbers within a declared range."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from defedbio.learning.data.files import Cells, first_rows
from defedbio.learning.data.port import Problem
from defedbio.spec import Column

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


def parse_numbers(cells: Cells, column: Column) -> tuple[Float32, list[Problem]]:
    """Numbers float32 [n] within the column's range, NaN where an optional one is missing; and what is wrong with the cells."""
    text = pd.Series(cells, dtype=object)
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
    return check_numbers(values, text.str.lower().isin(MISSING).to_numpy(dtype=bool), column)


def check_numbers(values: Float64, missing: npt.NDArray[np.bool_], column: Column) -> tuple[Float32, list[Problem]]:
    """As `parse_numbers`, of values float64 [n] and the mask of missing ones; another NaN was a text and no number."""
    infinite = np.isinf(values)
    wrong = np.isnan(values) & ~missing
    with np.errstate(invalid="ignore"):
        outside = ((values < column.minimum) | (values > column.maximum)) & ~infinite
    problems = []
    unit = f" {column.unit}" if column.unit else ""
    bounds = f"outside the declared range {column.minimum:g} to {column.maximum:g}{unit}"
    refused = missing & (not column.optional)
    for text_of, mask in (("missing or NaN", refused), ("not a number", wrong), ("infinite", infinite), (bounds, outside)):
        problems += _problem(text_of, column.name, mask)
    usable = np.clip(np.where(np.isfinite(values), values, column.minimum), column.minimum, column.maximum)
    if column.optional:
        usable = np.where(missing, np.nan, usable)
    return usable.astype(np.float32), problems


def _problem(text: str, column: str, mask: npt.NDArray[np.bool_]) -> list[Problem]:
    count = int(mask.sum())
    return [Problem(text, column, count, first_rows(np.flatnonzero(mask)))] if count else []
