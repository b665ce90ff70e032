"""What the adapters share: read the columns, parse the labels, let the adapter parse the features, report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from defedbio.errors import InternalFault
from defedbio.learning.data.files import Cells, Columns, first_rows
from defedbio.learning.data.labels import label_counts, parse_labels, scarcity
from defedbio.learning.data.port import DataReport, Dataset, Problem
from defedbio.spec import Features, TaskSpec

Float32 = npt.NDArray[np.float32]
Kind = TypeVar("Kind", bound=Features)
Parse = Callable[[dict[str, Cells], int], tuple[Float32 | None, list[Problem]]]


@dataclass(frozen=True)
class Source:
    """How to read one local file.

    `read` gives the wanted columns of the table that has a row a sample; `columns` are those of the features; `parse` makes features
    [n, d] (or None) and problems of the cells of the feature columns that exist and the row count. `telling` is False where two samples
    may well have equal features.
    """

    read: Callable[[Sequence[str]], Columns]
    columns: Sequence[str]
    parse: Parse
    telling: bool = True


class FileAdapter(ABC, Generic[Kind]):
    """A `DataAdapter` for files with one row a sample; adapters say which columns they read and how."""

    def __init__(self, features: Kind, task: TaskSpec) -> None:
        self._features, self._task = features, task

    @abstractmethod
    def source(self, path: Path) -> Source:
        """What to read of this file."""

    def check(self, path: Path) -> DataReport:
        return read_labelled(self.source(path), self._task)[0]

    def load(self, path: Path) -> Dataset:
        report, dataset = read_labelled(self.source(path), self._task)
        report.require_ok()
        if dataset is None:
            raise InternalFault("a clean data report came without data")
        return dataset

    def features(self, path: Path) -> Float32:
        report, x = read_features(self.source(path))
        report.require_ok()
        if x is None:
            raise InternalFault("a clean data report came without data")
        return x


def read_features(source: Source) -> tuple[DataReport, Float32 | None]:
    """As `read_labelled`, for a file whose labels do not matter."""
    read = source.read(source.columns)
    if not read.rows:
        return DataReport(0, read.problems), None
    features, found = source.parse(read.cells, read.rows)
    return DataReport(read.rows, (*read.problems, *found)), features


def read_labelled(source: Source, task: TaskSpec) -> tuple[DataReport, Dataset | None]:
    """The report on a file, and its dataset if the report has no errors and `source.parse` gave features."""
    read = source.read([*source.columns, *task.columns])
    problems = list(read.problems)
    if not read.rows:
        return DataReport(0, tuple(problems)), None
    features, found = source.parse({name: read.cells[name] for name in source.columns if name in read.cells}, read.rows)
    problems += found
    labels, wrong = parse_labels(read.cells, read.rows, task)
    problems += wrong
    usable = all(name in read.cells for name in task.columns) and not wrong
    counts = label_counts(labels, task) if usable else None
    if usable and counts is None:
        problems += scarcity(task)
    if features is not None and source.telling:
        problems += _repeated(np.concatenate([features, labels], axis=1))
    report = DataReport(read.rows, tuple(problems), counts)
    return report, Dataset(features, labels) if report.ok and features is not None else None


def _repeated(rows: Float32) -> list[Problem]:
    """A warning for rows that are another row again, as when a file was joined to itself."""
    _, first, where = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[where.ravel()] != np.arange(len(rows)))
    return [Problem("repeats an earlier row", None, len(again), first_rows(again), warning=True)] if len(again) else []
