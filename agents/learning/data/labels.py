"""The label columns: text cells to numbers, and counts of labels that hide small cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from defedbio.learning.data.files import Cells, first_rows
from defedbio.learning.data.numbers import MISSING, parse_numbers
from defedbio.learning.data.port import MINIMUM_CELL, Problem
from defedbio.spec import BinarySpec, Column, MulticlassSpec, MultitaskSpec, RegressionSpec, SurvivalSpec, TaskSpec

Float32 = npt.NDArray[np.float32]
LONGEST_TIME = 1e9


def parse_labels(cells: Mapping[str, Cells], rows: int, task: TaskSpec) -> tuple[Float32, list[Problem]]:
    """Labels float32 [rows, k] as the task declares them (0 where a cell is wrong), and what is wrong with the columns that are there."""
    y = np.zeros((rows, len(task.columns)), dtype=np.float32)
    problems: list[Problem] = []
    for place, name in enumerate(task.columns):
        if name in cells:
            y[:, place], found = _parse_column(cells[name], name, task)
            problems += found
    if isinstance(task, SurvivalSpec) and not problems and not y[:, 1].any():
        problems.append(Problem("no row has an event: training learns nothing here", task.event, warning=True))
    return y, problems


def label_counts(y: Float32, task: TaskSpec) -> dict[str, int] | None:
    """Rows of every label, or None where one of them is under 5: with the row count, the others would tell it."""
    if isinstance(task, BinarySpec):
        counts = {"positive": int((y == 1).sum()), "negative": int((y == 0).sum())}
    elif isinstance(task, MulticlassSpec):
        counts = {name: int((y == place).sum()) for place, name in enumerate(task.classes)}
    elif isinstance(task, SurvivalSpec):
        counts = {"events": int((y[:, 1] == 1).sum()), "censored": int((y[:, 1] == 0).sum())}
    elif isinstance(task, MultitaskSpec):
        counts = {"positive": int((y == 1).sum()), "negative": int((y == 0).sum()), "missing": int(np.isnan(y).sum())}
        return counts if min(counts["positive"], counts["negative"]) >= MINIMUM_CELL else None
    else:
        return None
    return counts if min(counts.values()) >= MINIMUM_CELL else None


def scarcity(task: TaskSpec) -> list[Problem]:
    """The warning for a file whose counts are hidden; it does not say which class is rare, or whether it is absent."""
    if isinstance(task, RegressionSpec):
        return []
    text = f"one class has fewer than {MINIMUM_CELL} rows, or none: training works, local metrics mean little"
    return [Problem(text, column=task.columns[-1], warning=True)]


def _parse_column(cells: Cells, name: str, task: TaskSpec) -> tuple[Float32, list[Problem]]:
    if isinstance(task, RegressionSpec):
        return parse_numbers(cells, Column(name, task.minimum, task.maximum, task.unit))
    if isinstance(task, SurvivalSpec):
        if name == task.time:
            return parse_numbers(cells, Column(name, 0.0, LONGEST_TIME, task.unit))
        return _parse_classes(cells, name, ("0", "1"), optional=False)
    if isinstance(task, MulticlassSpec):
        return _parse_classes(cells, name, task.classes, optional=False)
    return _parse_classes(cells, name, (task.negative, task.positive), optional=isinstance(task, MultitaskSpec))


def _parse_classes(cells: Cells, name: str, classes: Sequence[str], optional: bool) -> tuple[Float32, list[Problem]]:
    """The place of each cell's class; numbers match by value, so 1 and 1.0 are the same."""
    places = {_canonical(text): place for place, text in enumerate(classes)}
    values = np.zeros(len(cells), dtype=np.float32)
    missing: list[int] = []
    unknown: list[int] = []
    for row, cell in enumerate(cells):
        text = _canonical(cell)
        if text in places:
            values[row] = places[text]
        elif cell.strip().lower() in MISSING:
            values[row] = np.nan if optional else 0
            missing.append(row)
        else:
            unknown.append(row)
    problems = []
    if missing and not optional:
        problems.append(Problem("the label is missing", name, len(missing), first_rows(missing)))
    if unknown:
        problems.append(Problem("the label is none of the study's classes", name, len(unknown), first_rows(unknown)))
    return values, problems


def _canonical(text: str) -> str:
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text
