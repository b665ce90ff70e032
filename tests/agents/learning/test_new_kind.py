"""A kind of data is its class, its adapter and its entry in the schema: one more is added here, and nothing else is told of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import pandas as pd
import pytest

from defedbio import spec as specs
from defedbio.chain.values import KeyEpoch, Study
from defedbio.client.simulation import Simulation, simulate
from defedbio.domain import BitSet, CeremonyKind, KeyEpochStatus
from defedbio.errors import InvalidData, InvalidSpec
from defedbio.foreign_json import Schema
from defedbio.learning.data import ADAPTERS, open_adapter
from defedbio.learning.data.files import Cells, first_rows, read_columns
from defedbio.learning.data.port import Problem
from defedbio.learning.data.reading import FileAdapter, Float32, Source
from defedbio.learning.export import export_safetensors
from defedbio.learning.state import GlobalState
from defedbio.models.cards import study_facts
from defedbio.network.connection import rules_of
from defedbio.network.describe import consent_to
from defedbio.spec import Features, StudySpec
from defedbio.spec.features import KINDS

from .conftest import study

BASES = "ACGT"
LENGTH = 6
NAMES = tuple(f"dna[{place}]={base}" for place, base in product(range(LENGTH), BASES))
SECRET = "ACGTXX"


@dataclass(frozen=True)
class SequenceFeatures(Features):
    """DNA of `length` bases from a column, one 0/1 feature a place and base."""

    kind = "sequence"

    column: str
    length: int

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        if document["column"] == "label":
            raise InvalidSpec("the label is no feature")
        return cls(document["column"], document["length"])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.column}[{place}]={base}" for place, base in product(range(self.length), BASES))

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, 1.0),) * self.width

    @property
    def in_words(self) -> str:
        return f"DNA of {self.length} bases from {self.column!r}"


class SequenceAdapter(FileAdapter[SequenceFeatures]):
    def source(self, path: Path) -> Source:
        return Source(partial(read_columns, path), [self._features.column], self._parse)

    def _parse(self, cells: dict[str, Cells], rows: int) -> tuple[Float32, list[Problem]]:
        column, length = self._features.column, self._features.length
        x = np.zeros((rows, length, len(BASES)), dtype=np.float32)
        wrong: list[int] = []
        for row, cell in enumerate(cells.get(column, [])):
            if len(cell) != length or set(cell) - set(BASES):
                wrong.append(row)
                continue
            x[row, range(length), [BASES.index(base) for base in cell]] = 1.0
        problems = [Problem(f"not {length} bases of DNA", column, len(wrong), first_rows(wrong))] if wrong else []
        return x.reshape(rows, -1), problems


ENTRY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kind", "column", "length"],
    "properties": {
        "kind": {"const": "sequence"},
        "column": {"type": "string", "minLength": 1},
        "length": {"type": "integer", "minimum": 1, "maximum": 10000},
    },
}


def _schema() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files("defedbio.spec").joinpath("study.schema.json").read_text("utf-8"))
    return document


@pytest.fixture
def sequences(monkeypatch: pytest.MonkeyPatch) -> StudySpec:
    """A study of the new kind, with everything that lists features."""
    schema = _schema()
    schema["properties"]["features"]["oneOf"].append(ENTRY)
    monkeypatch.setattr(specs, "_schema", lambda: Schema(json.dumps(schema)))
    monkeypatch.setitem(KINDS, "sequence", SequenceFeatures)
    monkeypatch.setitem(ADAPTERS, "sequence", lambda: SequenceAdapter)
    return _study()


def _study(**changes: Any) -> StudySpec:
    wanted = {"statistics": {"bins": 2, "minimum_cell": 1}, "evaluation": {"fraction": 0.3, "minimum_cell": 1}}
    return study(features={"kind": "sequence", "column": "dna", "length": LENGTH}, **wanted | changes)


def _site(folder: Path, number: int, rows: int = 80) -> Path:
    """A file whose label says whether the third base is G, but for one row in twenty."""
    generator = np.random.default_rng(number)
    dna = ["".join(generator.choice(list(BASES), LENGTH)) for _ in range(rows)]
    labels = ["yes" if (text[2] == "G") != (generator.uniform() < 0.05) else "no" for text in dna]
    path = folder / f"site{number}.csv"
    pd.DataFrame({"dna": dna, "label": labels}).to_csv(path, index=False)
    return path


def _simulate(spec: StudySpec, folder: Path) -> tuple[Simulation, GlobalState]:
    out = folder / "model.safetensors"
    data = [_site(folder, number) for number in range(3)]
    done = simulate(spec, data, _site(folder, 3), seed=1, exact=True, out=out, modules=(), threads=1, on_round=lambda _: None)
    return done, GlobalState.from_bytes(out.read_bytes(), spec)


def test_its_studies_are_read(sequences: StudySpec) -> None:
    assert sequences.features == SequenceFeatures("dna", LENGTH)
    with pytest.raises(InvalidSpec, match="is not valid under any of the given schemas"):
        study(features={"kind": "sequence", "column": "dna"})
    with pytest.raises(InvalidSpec, match="the label is no feature"):
        study(features={"kind": "sequence", "column": "label", "length": 1})


def test_the_rules_of_other_kinds_hold_for_it(sequences: StudySpec) -> None:
    assert (sequences.features.nullable, sequences.features.dosages) == (False, ())
    with pytest.raises(InvalidSpec, match="association needs genotypes"):
        _study(statistics={"association": True})


def test_its_files_are_loaded(sequences: StudySpec, tmp_path: Path) -> None:
    path = _site(tmp_path, 0)
    assert open_adapter(sequences).check(path).ok
    x = open_adapter(sequences).load(path).x
    assert x.shape == (80, sequences.features.width)
    assert ["".join(BASES[place] for place in row.reshape(LENGTH, -1).argmax(axis=1)) for row in x] == list(pd.read_csv(path)["dna"])
    assert np.array_equal(open_adapter(sequences).features(path), x)


def test_a_bad_row_is_named_without_its_value(sequences: StudySpec, tmp_path: Path) -> None:
    frame = pd.read_csv(_site(tmp_path, 0))
    frame.loc[6, "dna"] = SECRET
    frame.to_csv(tmp_path / "bad.csv", index=False)
    report = open_adapter(sequences).check(tmp_path / "bad.csv")
    assert [(p.column, p.text, p.rows) for p in report.errors] == [("dna", "not 6 bases of DNA", (7,))]
    with pytest.raises(InvalidData, match="column 'dna'") as refused:
        open_adapter(sequences).load(tmp_path / "bad.csv")
    assert SECRET not in report.to_text() + json.dumps(report.to_json()) + str(refused.value)


def test_its_operators_read_what_it_is(sequences: StudySpec) -> None:
    epoch = KeyEpoch(1, "", 2, CeremonyKind.DEALER, KeyEpochStatus.ACTIVE, 2048, BitSet(), BitSet(), bytes(32), bytes(32), ("",) * 3)
    on_chain = Study(1, "", 1, 0, 0, bytes(32), rules_of(sequences, 0))
    words = str(consent_to(1, on_chain, on_chain.rules, sequences, epoch, lambda _: "")).splitlines()
    assert "  features     DNA of 6 bases from 'dna', standardised over all organisations" in words
    assert study_facts(sequences)["features"] == {"kind": "sequence", "width": 24, "standardised": True}


def test_its_studies_train(sequences: StudySpec, tmp_path: Path) -> None:
    done, state = _simulate(sequences, tmp_path)
    assert [r.kind for r in done.rounds] == ["statistics", "moments", "train", "train", "train", "evaluate"]
    tests = [r.test["roc_auc"] for r in done.rounds if r.test is not None]
    assert tests[-1] is not None and tests[-1] > 0.85
    counted = done.rounds[0].statistics
    assert counted is not None
    assert [f["name"] for f in counted["features"]] == list(NAMES)
    raw = export_safetensors(sequences, state, {})
    told = json.loads(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["defedbio"])
    assert json.loads(told["feature_names"]) == list(NAMES)
    assert json.loads(told["feature_units"]) == [""] * len(NAMES)


def test_every_kind_has_its_class_its_adapter_and_its_entry() -> None:
    entries = {entry["properties"]["kind"]["const"] for entry in _schema()["properties"]["features"]["oneOf"]}
    assert entries == KINDS.keys() == ADAPTERS.keys()
    read = {kind: [get_args(base)[0] for base in import_adapter().__orig_bases__] for kind, import_adapter in ADAPTERS.items()}
    assert read == {kind: [features] for kind, features in KINDS.items()}, "an adapter is of its kind's class"
    assert all(features.kind == kind for kind, features in KINDS.items())


def test_a_table_needs_nothing_that_reads_molecules_or_genomes(tmp_path: Path) -> None:
    path = tmp_path / "site.csv"
    path.write_text("age,dose,label\n50,1,yes\n60,2,no\n")
    program = (
        "import sys; from pathlib import Path; from defedbio.learning.data import open_adapter; from defedbio.spec import StudySpec; "
        "print(open_adapter(StudySpec.from_bytes(sys.stdin.buffer.read())).load(Path(sys.argv[1])).x.shape); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'rdkit', 'cyvcf2', 'bed_reader', 'h5py'}))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], input=study().raw, capture_output=True, check=True)
    assert done.stdout.decode().split("\n")[:2] == ["(2, 2)", "[]"]
