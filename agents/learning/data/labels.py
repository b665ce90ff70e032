"""The label column: text cells to 0 and 1, and a class balance that hides small cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agents.learning.data.files import Cells, first_rows
from agents.learning.data.port import MINIMUM_CELL, Problem
from agents.spec import TaskSpec


def parse_labels(cells: Cells, task: TaskSpec) -> tuple[npt.NDArray[np.float32], list[Problem]]:
    """Labels float32 [n] (0 where a cell is wrong) and what is wrong with them; numbers match by value, so 1 and 1.0 are the same."""
    positive, negative = _canonical(task.positive), _canonical(task.negative)
    labels = np.zeros(len(cells), dtype=np.float32)
    missing: list[int] = []
    unknown: list[int] = []
    for row, cell in enumerate(cells):
        text = _canonical(cell)
        if text == positive:
            labels[row] = 1.0
        elif not text:
            missing.append(row)
        elif text != negative:
            unknown.append(row)
    problems = []
    if missing:
        problems.append(Problem("the label is missing", task.target, len(missing), first_rows(missing)))
    if unknown:
        problems.append(Problem("the label is none of the study's classes", task.target, len(unknown), first_rows(unknown)))
    return labels, problems


def balance(labels: npt.NDArray[np.float32]) -> tuple[int, int] | None:
    """Positives and negatives, or None where one of them is under 5: with the row count, either would tell the other."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return (positives, negatives) if min(positives, negatives) >= MINIMUM_CELL else None


def scarcity(task: TaskSpec) -> Problem:
    """The warning for a file whose balance is hidden; it does not say which class is rare, or whether it is absent."""
    text = f"one class has fewer than {MINIMUM_CELL} rows, or none: training works, local metrics mean little"
    return Problem(text, column=task.target, warning=True)


def _canonical(text: str) -> str:
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text
