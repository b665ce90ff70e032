"""Data adapters: one class for what all of them owe, over every kind of features and file format; no value leaves in any message."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defedbio.errors import InvalidData
from defedbio.learning.data import DataAdapter, Dataset, open_adapter
from defedbio.learning.data.smiles import SmilesAdapter
from defedbio.spec import StudySpec

from .conftest import study
from .files import SAMPLES, genotype_study, write_genotypes, write_h5ad

MOLECULES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "CCCl", "CCBr", "C1CCCCC1", "CC#N", "CCS", "OCCO", "CCCC", "c1ccncc1"]
SMILES = {"kind": "smiles", "column": "structure", "bits": 256}
SECRET = "S3CR3T"


@dataclass(frozen=True)
class Case:
    """One adapter and format: a good frame, and a feature column with a text that the adapter must refuse."""

    spec: StudySpec
    suffix: str
    frame: pd.DataFrame
    column: str
    genotypes: str = ""

    @property
    def adapter(self) -> DataAdapter:
        return open_adapter(self.spec)

    def write(self, folder: Path, frame: pd.DataFrame | None = None) -> Path:
        frame = self.frame if frame is None else frame
        path = folder / f"data{self.suffix}"
        if self.suffix == ".h5ad":
            write_h5ad(path, frame, [c for c in frame if c.startswith("G")])
            return path
        if self.genotypes:
            frame.to_csv(path, index=False)
            return write_genotypes(folder / f"data{self.genotypes}")
        if self.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.astype({c: str for c in frame if frame[c].dtype == object}).to_parquet(path, index=False)
        return path

    def with_cell(self, folder: Path, column: str, row: int, text: str) -> Path:
        frame = self.frame.astype(str)
        frame.loc[row, column] = text
        return self.write(folder, frame)


def _case(kind: str, suffix: str) -> Case:
    labels = ["yes", "no"] * 6
    if kind == "table":
        frame = pd.DataFrame({"age": np.linspace(20, 80, 12), "dose": np.linspace(-4, 4, 12), "label": labels, "note": ["x"] * 12})
        return Case(study(), suffix, frame, "age")
    if kind == "expression":
        frame = pd.DataFrame({"G1": np.linspace(0, 9, 12), "G2": np.linspace(5, 50, 12), "label": labels, "note": ["x"] * 12})
        return Case(study(features={"kind": "expression", "genes": ["G1", "G2"], "max": 8}), suffix, frame, "G1")
    if kind in (".vcf", ".bed"):
        frame = pd.DataFrame({"iid": SAMPLES, "age": np.linspace(20, 80, 12), "label": labels, "note": ["x"] * 12})
        return Case(genotype_study(), suffix, frame, "iid", kind)
    frame = pd.DataFrame({"structure": MOLECULES, "label": labels, "note": ["x"] * 12})
    return Case(study(features=SMILES), suffix, frame, "structure")


FORMATS = [
    *((kind, suffix) for kind in ("table", "smiles", "expression") for suffix in (".csv", ".parquet")),
    ("expression", ".h5ad"),
    (".vcf", ".csv"),
    (".bed", ".csv"),
]


@pytest.fixture(params=FORMATS, ids=lambda p: p[0] + p[1])
def case(request: pytest.FixtureRequest) -> Case:
    return _case(*request.param)


class TestEveryAdapter:
    def test_reads_a_good_file(self, case: Case, tmp_path: Path) -> None:
        path = case.write(tmp_path)
        report = case.adapter.check(path)
        assert report.ok, report.to_text()
        assert (report.rows, report.labels) == (12, {"positive": 6, "negative": 6})
        dataset = case.adapter.load(path)
        assert dataset.x.shape == (12, case.spec.features.width)
        assert dataset.x.dtype == dataset.y.dtype == np.float32
        assert dataset.y.ravel().tolist() == [1, 0] * 6

    def test_reads_features_of_a_file_without_labels(self, case: Case, tmp_path: Path) -> None:
        x = case.adapter.load(case.write(tmp_path)).x
        unlabelled = case.write(tmp_path, case.frame.drop(columns="label"))
        assert np.array_equal(case.adapter.features(unlabelled), x)

    def test_columns_may_come_in_any_order(self, case: Case, tmp_path: Path) -> None:
        x = case.adapter.load(case.write(tmp_path)).x
        assert np.array_equal(case.adapter.load(case.write(tmp_path, case.frame[case.frame.columns[::-1]])).x, x)

    @pytest.mark.parametrize("which", ["feature", "label"])
    def test_missing_column(self, case: Case, tmp_path: Path, which: str) -> None:
        name = case.column if which == "feature" else "label"
        path = case.write(tmp_path, case.frame.drop(columns=name))
        assert any(p.column == name and p.text == "is missing" for p in case.adapter.check(path).errors)
        with pytest.raises(InvalidData, match=f"column '{name}': is missing"):
            case.adapter.load(path)

    def test_bad_feature_is_named_by_row_not_by_value(self, case: Case, tmp_path: Path) -> None:
        path = case.with_cell(tmp_path, case.column, 3, SECRET)
        report = case.adapter.check(path)
        assert [(p.column, p.count, p.rows) for p in report.errors] == [(case.column, 1, (4,))]
        self._assert_secret_kept(case, path)

    def test_missing_feature(self, case: Case, tmp_path: Path) -> None:
        problem = case.adapter.check(case.with_cell(tmp_path, case.column, 0, "")).errors[0]
        assert problem.text.startswith("missing")
        assert problem.rows == (1,)

    def test_unknown_and_missing_labels(self, case: Case, tmp_path: Path) -> None:
        path = case.with_cell(tmp_path, "label", 11, SECRET)
        report = case.adapter.check(path)
        assert [(p.text, p.rows) for p in report.errors] == [("the label is none of the study's classes", (12,))]
        assert report.labels is None
        self._assert_secret_kept(case, path)
        report = case.adapter.check(case.with_cell(tmp_path, "label", 1, ""))
        assert [(p.text, p.rows) for p in report.errors] == [("the label is missing", (2,))]

    @staticmethod
    def _assert_secret_kept(case: Case, path: Path) -> None:
        assert SECRET not in case.adapter.check(path).to_text() + json.dumps(case.adapter.check(path).to_json())
        with pytest.raises(InvalidData) as caught:
            case.adapter.load(path)
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_only_the_first_rows_are_listed(self, case: Case, tmp_path: Path) -> None:
        frame = case.frame.astype(str)
        frame["label"] = "other"
        problem = case.adapter.check(case.write(tmp_path, frame)).errors[0]
        assert (problem.count, problem.rows) == (12, (1, 2, 3, 4, 5))
        assert str(problem).endswith("in 12 rows (1, 2, 3, 4, 5, …)")

    @pytest.mark.parametrize("positives", [0, 4, 8, 12])
    def test_small_classes_are_a_warning_and_their_counts_hidden(self, case: Case, tmp_path: Path, positives: int) -> None:
        frame = case.frame.assign(label=["yes"] * positives + ["no"] * (12 - positives))
        path = case.write(tmp_path, frame)
        report = case.adapter.check(path)
        assert report.ok
        assert report.labels is None
        assert [p.text for p in report.warnings] == ["one class has fewer than 5 rows, or none: training works, local metrics mean little"]
        assert case.adapter.load(path).y.sum() == positives

    def test_no_rows(self, case: Case, tmp_path: Path) -> None:
        path = case.write(tmp_path, case.frame.iloc[:0].astype(str))
        with pytest.raises(InvalidData, match="the file has no rows"):
            case.adapter.load(path)

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda p: p.write_bytes(b""), "the file is empty|not a|are not PLINK"),
            (lambda p: p.write_bytes(b"\xff\xfe\x00broken"), "not UTF-8|not a|are not PLINK"),
            (lambda p: p.write_bytes(b'a,"b\n' + SECRET.encode()), "not CSV|not a|are not PLINK"),
            (lambda p: (p.unlink(), p.mkdir()), "cannot be read"),
            (lambda p: p.unlink(), "does not exist"),
        ],
        ids=["empty", "binary", "open quote", "folder", "absent"],
    )
    def test_unreadable_file(self, case: Case, tmp_path: Path, spoil: Callable[[Path], object], reason: str) -> None:
        path = case.write(tmp_path)
        spoil(path)
        report = case.adapter.check(path)
        assert not report.ok
        assert SECRET not in report.to_text()
        with pytest.raises(InvalidData, match=reason):
            case.adapter.load(path)

    def test_unknown_kind_of_file(self, case: Case, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match=r"must be a \.(csv, \.tsv or \.parquet|bed, \.vcf, \.vcf\.gz or \.bcf) file"):
            case.adapter.load(tmp_path / "data.xlsx")


class TestTable:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("nan", "missing or NaN"),
            ("NA", "missing or NaN"),
            ("inf", "infinite"),
            ("-Infinity", "infinite"),
            ("101", "outside the declared range 0 to 100 years"),
            ("-1e-3", "outside the declared range 0 to 100 years"),
            ("12,5", "not a number"),
            ("1e999", "infinite"),
        ],
    )
    def test_bad_numbers(self, tmp_path: Path, text: str, reason: str) -> None:
        case = _case("table", ".csv")
        report = case.adapter.check(case.with_cell(tmp_path, "age", 5, text))
        assert [(p.text, p.column, p.rows) for p in report.errors] == [(reason, "age", (6,))]

    def test_range_ends_belong_to_the_range(self, tmp_path: Path) -> None:
        case = _case("table", ".csv")
        case.frame.loc[0, "age"], case.frame.loc[1, "age"] = 0, 100
        assert case.adapter.load(case.write(tmp_path)).x[:2, 0].tolist() == [0, 100]

    def test_repeated_column(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_text("age,dose,age,label\n1,2,3,yes\n")
        assert "column 'age': appears more than once in the header" in open_adapter(study()).check(path).to_text()

    def test_rows_of_another_length(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_text("age,dose,label\n1,2,yes\n1,2\n1,2,no,4\n")
        with pytest.raises(InvalidData, match=r"number of fields is not that of the header in 2 rows \(2, 3\)"):
            open_adapter(study()).load(path)

    def test_byte_order_mark_and_spaces(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_bytes(b"\xef\xbb\xbf age , dose,label\r\n 1 , 2,yes \r\n\r\n3,4,no\r\n")
        assert open_adapter(study()).load(path).x.tolist() == [[1, 2], [3, 4]]

    @pytest.mark.parametrize("values", [[1, 0], [1.0, 0.0], [True, False], ["1", "0.0"]])
    def test_numeric_labels_match_by_value(self, tmp_path: Path, values: list[object]) -> None:
        path = tmp_path / "data.parquet"
        pd.DataFrame({"age": [1, 2], "dose": [0, 0], "label": values}).to_parquet(path)
        assert open_adapter(study(task={"kind": "binary", "target": "label"})).load(path).y.ravel().tolist() == [1, 0]

    def test_many_rows_in_reasonable_time(self, tmp_path: Path) -> None:
        rows = 100_000
        frame = pd.DataFrame({"age": np.full(rows, 50), "dose": np.zeros(rows), "label": ["yes", "no"] * (rows // 2)})
        frame.to_csv(tmp_path / "data.csv", index=False)
        assert len(open_adapter(study()).load(tmp_path / "data.csv")) == rows


class TestSmiles:
    def test_the_library_prints_nothing(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        case = _case("smiles", ".csv")
        case.adapter.check(case.with_cell(tmp_path, "structure", 2, "C1CC" + SECRET))
        captured = capfd.readouterr()
        assert captured.out + captured.err == ""

    def test_equal_molecules_have_equal_fingerprints(self) -> None:
        adapter = open_adapter(study(features=SMILES))
        assert isinstance(adapter, SmilesAdapter)
        x = adapter.featurise(["OCC", "CCO", "CCN"])
        assert np.array_equal(x[0], x[1])
        assert not np.array_equal(x[0], x[2])
        assert set(np.unique(x)) == {0, 1}

    def test_counts_are_capped(self) -> None:
        adapter = open_adapter(study(features=SMILES | {"counts": True, "max_count": 4}))
        assert isinstance(adapter, SmilesAdapter)
        assert adapter.featurise(["C" * 30]).max() == 4

    def test_refuses_what_is_not_a_molecule(self) -> None:
        adapter = open_adapter(study(features=SMILES))
        assert isinstance(adapter, SmilesAdapter)
        with pytest.raises(InvalidData, match=r"not a SMILES that RDKit can read in 1 row \(2\)"):
            adapter.featurise(["C", SECRET])


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([[np.inf]], [[1]], "finite"),
        ([[0]], [[-np.inf]], "finite"),
        ([[0]], [[0], [1]], "with n at least 1"),
        ([[0]], [0], "with n at least 1"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "with n at least 1"),
    ],
)
def test_dataset_refuses_bad_values(x: object, y: object, reason: str) -> None:
    with pytest.raises(InvalidData, match=reason):
        Dataset(np.array(x, np.float32), np.array(y, np.float32))
