"""AnnData files: what anndata itself wrote, the encodings of X and obs, and files that are not what they seem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from defedbio.learning.data import h5ad, open_adapter
from defedbio.spec import StudySpec

from .conftest import study
from .files import write_h5ad

# Written by anndata 0.12.19: 4 observations, 3 genes, X a csr_matrix; obs has categorical, nullable, float and boolean columns.
WRITTEN = Path(__file__).parent / "fixtures" / "anndata-0.12.19.h5ad"
GENES = ["ENSG00000000419", "ENSG00000000003"]


def _expression(**fields: Any) -> StudySpec:
    return study(features={"kind": "expression", "genes": GENES, "max": 10, "transform": "none"} | fields)


def test_a_file_that_anndata_wrote() -> None:
    dataset = open_adapter(_expression()).load(WRITTEN)
    assert dataset.x.tolist() == [[2, 0], [0, 3], [7, 0], [1, 1]]
    assert dataset.y.ravel().tolist() == [1, 0, 1, 0]


def test_every_encoding_of_obs_becomes_text() -> None:
    read = h5ad.read_observations(WRITTEN, ["label", "event", "time", "site", "done", "absent"])
    assert read.cells == {
        "label": ["yes", "no", "yes", "no"],
        "event": ["1", "0", "", "1"],
        "time": ["1.5", "2.0", "3.25", "4.0"],
        "site": ["a", "", "b", "a"],
        "done": ["1", "0", "1", "1"],
    }
    assert [(p.text, p.column) for p in read.problems] == [("is missing", "absent")]


@pytest.mark.parametrize("layout", ["dense", "csr", "csc"])
def test_dense_and_sparse_matrices_read_alike(tmp_path: Path, layout: str) -> None:
    generator = np.random.default_rng(3)
    matrix = generator.poisson(0.7, (2500, 5)).astype(float)
    frame = pd.DataFrame(matrix, columns=[f"G{i}" for i in range(5)]).assign(label="yes")
    path = write_h5ad(tmp_path / "cells.h5ad", frame, [f"G{i}" for i in range(5)], layout)
    x = open_adapter(_expression(genes=["G3", "G0"], max=100)).load(path).x
    assert np.array_equal(x, matrix[:, [3, 0]])


def test_missing_and_excessive_values_are_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"G1": [1, np.nan, 3], "G2": [1, 2, 99], "label": "no"})
    path = write_h5ad(tmp_path / "cells.h5ad", frame, ["G1", "G2"])
    report = open_adapter(_expression(genes=["G1", "G2"])).check(path)
    assert [(p.column, p.rows) for p in report.errors] == [("G1", (2,)), ("G2", (3,))]


def _old(file: Any) -> None:
    del file["obs"]
    file["obs"] = np.zeros(3)


def _transposed(file: Any) -> None:
    matrix = file["X"][:].T
    del file["X"]
    file["X"] = matrix


def _texts(file: Any) -> None:
    del file["X"]
    file.create_dataset("X", data=np.array([["a", "b"]] * 3, dtype=object), dtype=h5py.string_dtype())


def _torn(file: Any) -> None:
    del file["X"]
    group = file.create_group("X")
    group.attrs.update({"encoding-type": "csr_matrix", "shape": (3, 2)})
    group["data"], group["indices"], group["indptr"] = np.ones(2), np.array([0, 9]), np.array([0, 1, 2, 2])


def _no_x(file: Any) -> None:
    del file["X"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_old, "older than 0.7"),
        (_transposed, "X is missing, or not a matrix"),
        (_texts, "X is missing, or not a matrix"),
        (_torn, "not a valid sparse matrix"),
        (_no_x, "X is missing, or not a matrix"),
    ],
)
def test_a_file_that_is_not_what_it_seems_is_a_problem_not_a_crash(tmp_path: Path, spoil: Callable[[Any], None], reason: str) -> None:
    frame = pd.DataFrame({"G1": [1, 2, 3], "G2": [1, 2, 4], "label": "no"})
    path = write_h5ad(tmp_path / "cells.h5ad", frame, ["G1", "G2"])
    with h5py.File(path, "a") as file:
        spoil(file)
    errors = open_adapter(_expression(genes=["G1", "G2"])).check(path).errors
    assert any(reason in p.text for p in errors)
