"""Reading the wanted columns of a CSV or Parquet file as text cells, whatever is wrong with it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defedbio.errors import InvalidData
from defedbio.learning.data.port import SHOWN_ROWS, Problem

Cells = list[str]
MAX_ROWS = 5_000_000
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Columns:
    """The cells of the wanted columns that the file has, stripped; "" is a missing cell. `problems` are what reading it found."""

    rows: int
    cells: dict[str, Cells]
    problems: tuple[Problem, ...]


def read_columns(path: Path, wanted: Sequence[str]) -> Columns:
    """Read `wanted` columns of a .csv, .tsv or .parquet file; other columns are left unread.

    Trouble becomes problems of the result: an unreadable or empty file, a missing or repeated column, rows of another length.
    """
    readers = {".csv": _read_csv, ".tsv": _read_tsv, ".parquet": _read_parquet, ".pq": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        return failed("the file must be a .csv, .tsv or .parquet file")
    try:
        columns = reader(path, wanted)
    except InvalidData as error:
        return failed(error.message)
    except FileNotFoundError:
        return failed("the file does not exist")
    except OSError as error:
        return failed(f"the file cannot be read ({error.strerror or type(error).__name__})")
    if columns.rows == 0 and not columns.problems:
        return Columns(0, columns.cells, (Problem("the file has no rows"),))
    return columns


def read_header(path: Path) -> list[str]:
    """The column names of a file that `read_columns` can read; none where it cannot, which that says."""
    try:
        match path.suffix.lower():
            case ".csv" | ".tsv":
                with path.open(encoding="utf-8-sig", newline="") as file:
                    first = next(csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","), [])
                return [name.strip() for name in first]
            case ".parquet" | ".pq":
                return _parquet_header(path)
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return []


def _parquet_header(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except pa.ArrowException:
        return []


def first_rows(indices: Iterable[int]) -> tuple[int, ...]:
    """Row numbers (from 1) of the first few row indices (from 0)."""
    return tuple(int(i) + 1 for i, _ in zip(indices, range(SHOWN_ROWS), strict=False))


def failed(text: str) -> Columns:
    """The columns of a file that cannot be read, with the reason."""
    return Columns(0, {}, (Problem(text),))


def _header_problems(names: Sequence[str], wanted: Sequence[str]) -> list[Problem]:
    problems = [Problem("is missing", column=name) for name in wanted if name not in names]
    return problems + [Problem("appears more than once in the header", column=name) for name in wanted if list(names).count(name) > 1]


def _read_tsv(path: Path, wanted: Sequence[str]) -> Columns:
    return _read_csv(path, wanted, "\t")


def _read_csv(path: Path, wanted: Sequence[str], delimiter: str = ",") -> Columns:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse_csv(csv.reader(file, strict=True, delimiter=delimiter), wanted)
    except UnicodeDecodeError:
        raise InvalidData("the file is not UTF-8 text") from None
    except csv.Error:
        raise InvalidData("the file is not CSV (a quote is not closed, or a field is too long)") from None


def _parse_csv(reader: Any, wanted: Sequence[str]) -> Columns:
    header = [name.strip() for name in next(reader, [])]
    if not header:
        raise InvalidData("the file is empty")
    problems = _header_problems(header, wanted)
    places = {name: header.index(name) for name in wanted if name in header}
    cells: dict[str, Cells] = {name: [] for name in places}
    ragged: list[int] = []
    row = 0
    for fields in reader:
        if not fields:
            continue
        if row >= MAX_ROWS:
            raise InvalidData(f"the file has more than {MAX_ROWS} rows")
        if len(fields) != len(header):
            ragged.append(row)
            fields = fields + [""] * (len(header) - len(fields))
        for name, place in places.items():
            cells[name].append(fields[place].strip())
        row += 1
    if ragged:
        problems.append(Problem("the number of fields is not that of the header", count=len(ragged), rows=first_rows(ragged)))
    return Columns(row, cells, tuple(problems))


def _read_parquet(path: Path, wanted: Sequence[str]) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            rows = file.metadata.num_rows
            if rows > MAX_ROWS:
                raise InvalidData(f"the file has more than {MAX_ROWS} rows")
            problems = _header_problems(names, wanted)
            once = [name for name in wanted if names.count(name) == 1]
            table = file.read(columns=once)
            cells = {name: [cell(value) for value in table.column(name).to_pylist()] for name in once}
    except pa.ArrowException:
        raise InvalidData("the file is not a Parquet file that can be read") from None
    return Columns(rows, cells, tuple(problems))


def cell(value: object) -> str:
    """A value of a typed column as text; "" for a missing one."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value).strip()
