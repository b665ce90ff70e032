"""Kinds of features beyond plain numbers: optional and categorical columns, the choices of molecular features, and labels of every task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, Descriptors

from defedbio.errors import InvalidSpec
from defedbio.learning.data import open_adapter
from defedbio.learning.data.smiles import SmilesAdapter
from defedbio.spec import SmilesFeatures, StudySpec

from .conftest import study

COLUMNS = [
    {"name": "age", "min": 0, "max": 100, "missing": "mean"},
    {"name": "stage", "categories": ["I", "II", "III"], "missing": "zero"},
    {"name": "sex", "categories": ["f", "m"]},
]
MIXED = {"kind": "table", "columns": COLUMNS}


def _check(tmp_path: Path, spec: StudySpec, rows: list[list[Any]], names: list[str], suffix: str = ".csv") -> Any:
    path = tmp_path / f"data{suffix}"
    separator = "\t" if suffix == ".tsv" else ","
    path.write_text("\n".join(separator.join(map(str, row)) for row in [names, *rows]) + "\n")
    adapter = open_adapter(spec)
    report = adapter.check(path)
    return report, adapter.load(path) if report.ok else None


def _mixed(tmp_path: Path, rows: list[list[Any]], suffix: str = ".csv", **changes: Any) -> Any:
    columns = [column | changes if column["name"] == "sex" else column for column in COLUMNS]
    spec = study(features={"kind": "table", "columns": columns})
    return _check(
        tmp_path,
        spec,
        [[*row, label] for row, label in zip(rows, ["yes", "no"] * 3, strict=False)],
        ["age", "stage", "sex", "label"],
        suffix,
    )


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_optional_and_categorical_columns(tmp_path: Path, suffix: str) -> None:
    report, dataset = _mixed(tmp_path, [[50, "II", "m"], ["NA", "", "f"]], suffix)
    assert report.ok, report.to_text()
    np.testing.assert_array_equal(dataset.x, [[50, 0, 1, 0, 0, 1], [np.nan, 0, 0, 0, 1, 0]])
    assert study(features=MIXED).features.names == ("age", "stage=I", "stage=II", "stage=III", "sex=f", "sex=m")


def test_an_unseen_category_is_refused_or_read_as_none(tmp_path: Path) -> None:
    rows = [[50, "I", "m"], [51, "I", "x"], [52, "I", "y"]]
    report, _ = _mixed(tmp_path, rows)
    assert [(p.text, p.column, p.rows) for p in report.errors] == [("none of the study's categories", "sex", (2, 3))]
    report, dataset = _mixed(tmp_path, rows, unknown="zero")
    assert report.ok
    assert any(p.text == "none of the study's categories: read as no category" for p in report.warnings)
    assert dataset.x[1:, 4:].tolist() == [[0, 0], [0, 0]]


def test_a_missing_category_is_refused_where_the_study_needs_it(tmp_path: Path) -> None:
    report, _ = _mixed(tmp_path, [[50, "I", ""]])
    assert [(p.text, p.column) for p in report.errors] == [("missing", "sex")]


def test_columns_that_say_nothing_are_warned_about(tmp_path: Path) -> None:
    report, _ = _mixed(tmp_path, [["", "I", "f"], ["", "II", "m"]])
    assert ("age", "has no value in any row") in [(p.column, p.text) for p in report.warnings]
    report, _ = _mixed(tmp_path, [[50, "I", "f"], [50, "II", "m"]])
    assert ("age", "has the same value in every row") in [(p.column, p.text) for p in report.warnings]


def test_repeated_rows_are_warned_about(tmp_path: Path) -> None:
    report, _ = _mixed(tmp_path, [[50, "I", "f"], [51, "I", "m"], [50, "I", "f"]])
    assert [(p.count, p.rows) for p in report.warnings if p.text == "repeats an earlier row"] == [(1, (3,))]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [([{"name": "a", "categories": ["x", "x"]}], "categories must differ"), ([COLUMNS[0], COLUMNS[0]], "feature names must differ")],
)
def test_impossible_columns_are_refused(columns: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason):
        study(features={"kind": "table", "columns": columns})


def _smiles(**fields: Any) -> SmilesAdapter:
    spec = study(features={"kind": "smiles", "column": "s", "bits": 256, **fields})
    assert isinstance(spec.features, SmilesFeatures)
    return SmilesAdapter(spec.features, spec.task)


MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CCO"]


def test_fcfp_is_rdkits_feature_fingerprint() -> None:
    for smiles, row in zip(MOLECULES, _smiles(fingerprint="fcfp").featurise(MOLECULES), strict=True):
        expected = AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(smiles), 2, nBits=256, useFeatures=True)
        assert np.flatnonzero(row).tolist() == list(expected.GetOnBits())
    assert not np.array_equal(_smiles().featurise(MOLECULES), _smiles(fingerprint="fcfp").featurise(MOLECULES))


def test_descriptors_follow_the_fingerprint() -> None:
    x = _smiles(descriptors=["MolWt", "TPSA"]).featurise(MOLECULES)
    assert x.shape == (3, 258)
    molecule = Chem.MolFromSmiles(MOLECULES[0])
    assert x[0, 256:] == pytest.approx([Descriptors.MolWt(molecule), Descriptors.TPSA(molecule)], rel=1e-6)


def test_salts_are_stripped_only_when_the_study_says_so() -> None:
    salt, base = "CC(C)NCC(O)c1ccccc1.Cl", "CC(C)NCC(O)c1ccccc1"
    assert np.array_equal(*_smiles(strip_salts=True).featurise([salt, base]))
    assert not np.array_equal(*_smiles().featurise([salt, base]))


TASKS: list[tuple[dict[str, Any], list[str], list[list[Any]], list[list[float]]]] = [
    ({"kind": "multiclass", "target": "t", "classes": ["a", "b", "3"]}, ["t"], [["b"], ["3.0"], ["a"]], [[1], [2], [0]]),
    ({"kind": "multitask", "targets": ["t", "u"]}, ["t", "u"], [[1, ""], ["NA", 0], [0, 1]], [[1, np.nan], [np.nan, 0], [0, 1]]),
    ({"kind": "regression", "target": "t", "min": -1, "max": 9}, ["t"], [[-1], [2.5], [9]], [[-1], [2.5], [9]]),
    ({"kind": "survival", "time": "t", "event": "e"}, ["t", "e"], [[5, 1], [7.5, 0], [0, 1]], [[5, 1], [7.5, 0], [0, 1]]),
]


@pytest.mark.parametrize(("task", "names", "cells", "expected"), TASKS, ids=lambda v: v["kind"] if isinstance(v, dict) else "")
def test_labels_of_every_task(tmp_path: Path, task: dict[str, Any], names: list[str], cells: list[list[Any]], expected: Any) -> None:
    rows = [[40 + i, i, *labels] for i, labels in enumerate(cells)]
    report, dataset = _check(tmp_path, study(task=task), rows, ["age", "dose", *names])
    assert report.ok, report.to_text()
    np.testing.assert_array_equal(dataset.y, np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("task", "names", "bad", "text"),
    [
        (TASKS[0][0], ["t"], ["z"], "the label is none of the study's classes"),
        (TASKS[1][0], ["t", "u"], [1, 2], "the label is none of the study's classes"),
        (TASKS[2][0], ["t"], [9.5], "outside the declared range -1 to 9"),
        (TASKS[2][0], ["t"], ["inf"], "infinite"),
        (TASKS[2][0], ["t"], [""], "missing or NaN"),
        (TASKS[3][0], ["t", "e"], [-1, 1], "outside the declared range 0 to 1e+09"),
        (TASKS[3][0], ["t", "e"], [1, ""], "the label is missing"),
    ],
)
def test_wrong_labels_are_named_by_row(tmp_path: Path, task: dict[str, Any], names: list[str], bad: list[Any], text: str) -> None:
    report, _ = _check(tmp_path, study(task=task), [[40, 1, *bad]], ["age", "dose", *names])
    assert [(p.text, p.rows) for p in report.errors] == [(text, (1,))]


def test_a_survival_file_without_events_is_warned_about(tmp_path: Path) -> None:
    frame = [[40 + i, 0.1 * i, 5 + i, 0] for i in range(6)]
    report, dataset = _check(tmp_path, study(task=TASKS[3][0]), frame, ["age", "dose", "t", "e"])
    assert dataset is not None
    assert any(p.text == "no row has an event: training learns nothing here" for p in report.warnings)
    assert report.labels is None, "a count of 0 would show"


def test_parquet_keeps_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pd.DataFrame({"age": [None, 30.0], "stage": ["I", None], "sex": ["f", "m"], "label": ["yes", "no"]}).to_parquet(path)
    x = open_adapter(study(features=MIXED)).load(path).x
    np.testing.assert_array_equal(x, [[np.nan, 1, 0, 0, 1, 0], [30, 0, 0, 0, 0, 1]])


GENES = ["ENSG00000141510", "ENSG00000012048.3", "TP73"]
EXPRESSION = {"kind": "expression", "genes": GENES, "max": 10.0}
COUNTS: list[list[Any]] = [[3, 0, 100, "yes"], [7, 1, 20000, "no"]]


def test_genes_are_aligned_without_their_version(tmp_path: Path) -> None:
    """The file's columns come in another order and of another Ensembl release, beside genes that nobody asked for."""
    names = ["TP73", "ENSG00000012048", "ENSG00000141510.18", "label", "ENSG00000000003.1"]
    rows = [[c, b, a, label, 5] for a, b, c, label in COUNTS]
    for suffix in (".csv", ".tsv"):
        report, dataset = _check(tmp_path, study(features=EXPRESSION), rows, names, suffix)
        assert report.ok, report.to_text()
        np.testing.assert_allclose(dataset.x, np.log1p([row[:3] for row in COUNTS]), rtol=1e-6)


def test_genes_that_a_file_lacks_are_refused_or_the_mean(tmp_path: Path) -> None:
    names, rows = [GENES[0], "TP73", "label"], [[row[0], row[2], row[3]] for row in COUNTS]
    report, _ = _check(tmp_path, study(features=EXPRESSION), rows, names)
    assert [(p.column, p.text) for p in report.errors] == [("ENSG00000012048.3", "is missing")]
    many = study(features={**EXPRESSION, "genes": [*GENES, *(f"G{i}" for i in range(9))]})
    assert _check(tmp_path, many, rows, names)[0].errors[-1].text == "10 of the study's 12 genes are missing"
    report, dataset = _check(tmp_path, study(features=EXPRESSION | {"missing": "mean"}), rows, names)
    assert report.ok
    assert np.isnan(dataset.x).tolist() == [[False, True, False]] * 2


@pytest.mark.parametrize(
    ("names", "first", "text"),
    [
        ([*GENES, "label"], [-1, 0, 0, "yes"], "outside the declared range 0 to 22025.5"),
        ([*GENES, "label"], [0, 0, 30000, "yes"], "outside the declared range 0 to 22025.5"),
        ([*GENES, "label"], ["x", 0, 0, "yes"], "not a number"),
        ([*GENES, "ENSG00000141510.2", "label"], [0, 0, 0, 0, "yes"], "is there 2 times, in several versions"),
    ],
)
def test_wrong_expression_is_named(tmp_path: Path, names: list[str], first: list[Any], text: str) -> None:
    report, _ = _check(tmp_path, study(features=EXPRESSION), [first], names)
    assert [p.text for p in report.errors] == [text]


def test_an_unreadable_expression_file_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    path.write_bytes(b"nonsense")
    assert not open_adapter(study(features=EXPRESSION)).check(path).ok
    assert not open_adapter(study(features=EXPRESSION)).check(tmp_path / "absent.csv").ok
