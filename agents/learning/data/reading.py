"""What the adapters share: read the columns, parse the labels, let the adapter parse the features, report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agents.errors import InternalFault
from agents.learning.data.files import Cells, first_rows, read_columns
from agents.learning.data.labels import label_counts, parse_labels, scarcity
from agents.learning.data.port import DataReport, Dataset, Problem
from agents.spec import TaskSpec

Float32 = npt.NDArray[np.float32]
Parse = Callable[[dict[str, Cells], int], tuple[Float32 | None, list[Problem]]]


class FileAdapter(ABC):
    """A `DataAdapter` for files with one row a sample; adapters say which columns they read and how."""

    def __init__(self, task: TaskSpec) -> None:
        self._task = task

    @abstractmethod
    def source(self, path: Path) -> tuple[Sequence[str], Parse]:
        """The feature columns to read from this file, and what turns their cells into features."""

    def check(self, path: Path) -> DataReport:
        return read_labelled(path, *self.source(path), self._task)[0]

    def load(self, path: Path) -> Dataset:
        report, dataset = read_labelled(path, *self.source(path), self._task)
        report.require_ok()
        if dataset is None:
            raise InternalFault("a clean data report came without data")
        return dataset

    def features(self, path: Path) -> Float32:
        report, x = read_features(path, *self.source(path))
        report.require_ok()
        if x is None:
            raise InternalFault("a clean data report came without data")
        return x


def read_features(path: Path, columns: Sequence[str], parse: Parse) -> tuple[DataReport, Float32 | None]:
    """As `read_labelled`, for a file whose labels do not matter."""
    read = read_columns(Path(path), columns)
    if not read.rows:
        return DataReport(0, read.problems), None
    features, found = parse(read.cells, read.rows)
    return DataReport(read.rows, (*read.problems, *found)), features


def read_labelled(path: Path, columns: Sequence[str], parse: Parse, task: TaskSpec) -> tuple[DataReport, Dataset | None]:
    """The report on a file, and its dataset if the report has no errors and `parse` gave features.

    Args:
        columns: the feature columns.
        parse: from the cells of the feature columns that exist, and the row count, to features [n, d] (or None) and problems.
    """
    read = read_columns(Path(path), [*columns, *task.columns])
    problems = list(read.problems)
    if not read.rows:
        return DataReport(0, tuple(problems)), None
    features, found = parse({name: read.cells[name] for name in columns if name in read.cells}, read.rows)
    problems += found
    labels, wrong = parse_labels(read.cells, read.rows, task)
    problems += wrong
    usable = all(name in read.cells for name in task.columns) and not wrong
    counts = label_counts(labels, task) if usable else None
    if usable and counts is None:
        problems += scarcity(task)
    if features is not None:
        problems += _repeated(np.concatenate([features, labels], axis=1))
    report = DataReport(read.rows, tuple(problems), counts)
    return report, Dataset(features, labels) if report.ok and features is not None else None


def _repeated(rows: Float32) -> list[Problem]:
    """A warning for rows that are another row again, as when a file was joined to itself."""
    _, first, where = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[where.ravel()] != np.arange(len(rows)))
    return [Problem("repeats an earlier row", None, len(again), first_rows(again), warning=True)] if len(again) else []
