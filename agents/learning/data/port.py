"""What a data adapter must offer, and what it may say about a file: columns, row numbers and counts, never a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from defedbio.errors import InvalidData

MINIMUM_CELL = 5
SHOWN_ROWS = 5
SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Dataset:
    """Features x, float32 [n, d] in natural units, NaN where a value is missing; labels y, float32 [n, k] as the study's task declares
    them, NaN where a label is missing; n is at least 1."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.ndim != 2 or len(self.x) != len(self.y) or not len(self.y):
            raise InvalidData("a dataset needs features [n, d] and labels [n, k] with n at least 1")
        if self.x.dtype != np.float32 or self.y.dtype != np.float32:
            raise InvalidData("a dataset's features and labels must be float32")
        if np.isinf(self.x).any() or np.isinf(self.y).any():
            raise InvalidData("a dataset's features and labels must be finite")

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: npt.NDArray[np.int64]) -> Dataset:
        """The dataset of these row indices, in their order."""
        return Dataset(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Problem:
    """One kind of trouble: `count` rows of `column` have it, `rows` are the first of them (1 is the first row after the header).

    A warning does not keep the file from being used. `text` says what is wrong without any value of the data.
    """

    text: str
    column: str | None = None
    count: int = 0
    rows: tuple[int, ...] = ()
    warning: bool = False

    def __str__(self) -> str:
        where = f"column {self.column!r}: " if self.column is not None else ""
        if not self.rows:
            return where + self.text
        more = ", …" if self.count > len(self.rows) else ""
        what = "rows" if self.count > 1 else "row"
        return f"{where}{self.text} in {self.count} {what} ({', '.join(map(str, self.rows))}{more})"


@dataclass(frozen=True)
class DataReport:
    """`rows` counts data rows; `labels` by name, None where a count under 5 would show (or the labels are unusable)."""

    rows: int
    problems: tuple[Problem, ...] = ()
    labels: Mapping[str, int] | None = None

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if not p.warning)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.warning)

    @property
    def ok(self) -> bool:
        return not self.errors

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        labels = dict(self.labels) if self.labels is not None else None
        return {"ok": self.ok, "rows": self.rows, "labels": labels, "problems": [asdict(p) for p in self.problems]}

    def to_text(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The report for people, one finding a line."""
        result = [f"{self.rows} rows"]
        if self.labels is not None:
            result.append("labels: " + ", ".join(f"{count} {name}" for name, count in self.labels.items()))
        result += [f"{'warning' if p.warning else 'error'}: {p}" for p in self.problems[:SHOWN_PROBLEMS]]
        if len(self.problems) > SHOWN_PROBLEMS:
            result.append(f"and {len(self.problems) - SHOWN_PROBLEMS} more")
        return result

    def require_ok(self) -> None:
        """Raise the errors, if there are any.

        Raises:
            InvalidData: with the first errors in words.
        """
        if self.ok:
            return
        shown = "; ".join(map(str, self.errors[:3]))
        more = f"; and {len(self.errors) - 3} more" if len(self.errors) > 3 else ""
        raise InvalidData(f"the data file does not fit the study: {shown}{more}", "correct the file and check it again")


class DataAdapter(Protocol):
    def check(self, path: Path) -> DataReport:
        """What is right and wrong with the file; never raises for what the file holds."""

    def load(self, path: Path) -> Dataset:
        """The file's rows as a dataset.

        Raises:
            InvalidData: with the report's summary, if `check` would find an error.
        """

    def features(self, path: Path) -> npt.NDArray[np.float32]:
        """The features x [n, d] of a file whose labels, if it has any, are left unread.

        Raises:
            InvalidData: with the report's summary, if a feature does not fit the study.
        """
