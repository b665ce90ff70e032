"""AnnData files (.h5ad): the columns of `obs` as text cells, and the study's genes of `X`.

Read by h5py after AnnData's on-disk format (anndata.readthedocs.io, "On-disk format", encoding version 0.1 and later): only what a study
needs is read, and nothing that would need code from the file. docs/decisions/0031.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from scipy import sparse

from defedbio.errors import InvalidData
from defedbio.learning.data.files import MAX_ROWS, Cells, Columns, cell, failed
from defedbio.learning.data.port import Problem

Float32 = npt.NDArray[np.float32]
SUFFIX = ".h5ad"
ROWS_AT_ONCE = 1024


def read_observations(path: Path, wanted: Sequence[str]) -> Columns:
    """The wanted columns of `obs`, one row an observation; trouble becomes problems of the result, as in `read_columns`."""
    try:
        with _open(path) as file:
            observations = _frame(file, "obs")
            rows = len(_index(observations))
            if rows > MAX_ROWS:
                raise InvalidData(f"the file has more than {MAX_ROWS} rows")
            problems = [Problem("is missing", column=name) for name in wanted if name not in observations]
            cells = {name: _cells(observations[name]) for name in wanted if name in observations}
    except FileNotFoundError:
        return failed("the file does not exist")
    except InvalidData as error:
        return failed(error.message)
    if any(len(column) != rows for column in cells.values()):
        return failed("the columns of obs have different lengths")
    return Columns(rows, cells, tuple(problems) if rows else (Problem("the file has no rows"),))


def gene_names(path: Path) -> list[str]:
    """The index of `var`; nothing where the file cannot be read, which `read_observations` says."""
    try:
        with _open(path) as file:
            return _texts(_index(_frame(file, "var")))
    except (FileNotFoundError, InvalidData):
        return []


def read_genes(path: Path, places: Sequence[int]) -> npt.NDArray[np.float64]:
    """Columns `places` of X, float64 [n, len(places)], dense or sparse in the file.

    Raises:
        InvalidData: if X is not the matrix that obs and var announce.
    """
    with _open(path) as file:
        shape = (len(_index(_frame(file, "obs"))), len(_index(_frame(file, "var"))))
        matrix = file.get("X")
        if isinstance(matrix, h5py.Dataset) and matrix.shape == shape and matrix.dtype.kind in "fiu":
            blocks = [matrix[start : start + ROWS_AT_ONCE][:, places] for start in range(0, shape[0], ROWS_AT_ONCE)]
            return np.concatenate(blocks).astype(np.float64)
        if isinstance(matrix, h5py.Group):
            return _sparse(matrix, shape, places)
    raise InvalidData("X is missing, or not a matrix of numbers with a row an observation and a column a gene")


def _open(path: Path) -> Any:
    if path.is_dir():
        raise InvalidData("the file cannot be read (it is a folder)")
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError:
        raise InvalidData("the file is not an HDF5 file that can be read") from None


def _frame(file: Any, name: str) -> Any:
    group = file.get(name)
    if not isinstance(group, h5py.Group) or "_index" not in group.attrs:
        raise InvalidData(f"{name} is missing, or was written by an AnnData older than 0.7: read and write it again with a newer one")
    return group


def _index(frame: Any) -> Any:
    index = frame.get(frame.attrs["_index"])
    if isinstance(index, h5py.Group):  # a nullable string array
        index = index.get("values")
    if not isinstance(index, h5py.Dataset) or index.ndim != 1:
        raise InvalidData("the index of obs or var cannot be read")
    return index


def _texts(dataset: Any) -> list[str]:
    values = dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]
    return [cell(value) for value in values.tolist()]


def _cells(column: Any) -> Cells:
    """A column of `obs`: an array, a categorical (code -1 is a missing value) or a nullable array (mask True is a missing value)."""
    if isinstance(column, h5py.Dataset):
        return _texts(column)
    if {"categories", "codes"} <= set(column):
        categories = _texts(column["categories"])
        return [categories[code] if 0 <= code < len(categories) else "" for code in column["codes"][:].tolist()]
    if {"values", "mask"} <= set(column):
        return ["" if masked else text for text, masked in zip(_texts(column["values"]), column["mask"][:].tolist(), strict=True)]
    raise InvalidData("a column of obs has an encoding that is not known")


def _sparse(group: Any, shape: tuple[int, int], places: Sequence[int]) -> npt.NDArray[np.float64]:
    kinds = {"csr_matrix": sparse.csr_matrix, "csc_matrix": sparse.csc_matrix}
    kind = kinds.get(str(group.attrs.get("encoding-type")))
    if kind is None or tuple(group.attrs.get("shape", ())) != shape or not {"data", "indices", "indptr"} <= set(group):
        raise InvalidData("X is not a sparse matrix with a row an observation and a column a gene")
    try:
        matrix = kind((group["data"][:], group["indices"][:], group["indptr"][:]), shape=shape)
        matrix.check_format(full_check=True)
    except ValueError:
        raise InvalidData("X is not a valid sparse matrix") from None
    return np.asarray(matrix[:, list(places)].toarray(), dtype=np.float64)
