"""The demo's data and study: deterministic, without leakage, and of the size that the demo promises."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from defedbio.domain import Run
from defedbio.errors import InvalidInput
from defedbio.learning.data import open_adapter
from defedbio.learning.plan import schedule
from defedbio.spec import NORM_PROOF_SLACK, StudySpec
from scripts import demo_data

STUDY = Path(demo_data.__file__).with_name("demo_study.json")
TABLES = ("B3DB_classification.tsv", "B3DB_classification_external.tsv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo_data.write(folder, 5)
    return folder


@pytest.fixture(scope="module")
def skeletons(folder: Path) -> dict[str, str]:
    """By SMILES, of every molecule of the demo, as the table's InChI says it. From the SMILES it takes a millisecond: that is done
    for one in twenty."""
    found = {m.smiles: m.skeleton for name in TABLES for m in demo_data._read(name)[0]}
    with BlockLogs():
        for smiles in list(found)[::20]:
            assert found[smiles] == Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)).split("-")[0]
    return found


def _smiles(path: Path) -> list[str]:
    with path.open() as file:
        return [row["smiles"] for row in csv.DictReader(file)]


def test_no_test_molecule_is_trained_on(folder: Path, skeletons: dict[str, str]) -> None:
    def of(*paths: Path) -> set[str]:
        return {skeletons[smiles] for path in paths for smiles in _smiles(path)}

    trained = of(*(p for p in folder.glob("org*.csv") if not p.stem.endswith("_test")))
    own_tests = of(*folder.glob("org*_test.csv"))
    external, holdout = of(folder / "external.csv"), of(folder / "holdout.csv")
    assert external
    assert holdout
    assert not trained & (external | holdout | own_tests)
    assert not external & holdout


def test_the_organisations_are_the_named_sources_then_the_largest(folder: Path) -> None:
    assert sorted(p.name for p in folder.glob("*.csv")) == [
        "external.csv",
        "holdout.csv",
        "org1_R1.csv",
        "org1_R1_test.csv",
        "org2_R13.csv",
        "org2_R13_test.csv",
        "org3_R27.csv",
        "org3_R27_test.csv",
        "org4_R24.csv",
        "org4_R24_test.csv",
        "org5_R30.csv",
        "org5_R30_test.csv",
    ]


def test_writing_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    demo_data.write(tmp_path, 5)
    for path in folder.iterdir():
        assert hashlib.sha256((tmp_path / path.name).read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest(), path.name


@pytest.mark.parametrize("organisations", [2, 1000])
def test_refuses_impossible_numbers_of_organisations(tmp_path: Path, organisations: int) -> None:
    with pytest.raises(InvalidInput, match="the demo data has 3 to"):
        demo_data.write(tmp_path, organisations)
    assert not list(tmp_path.iterdir())


def test_the_files_fit_the_study(folder: Path) -> None:
    spec = StudySpec.from_bytes(STUDY.read_bytes())
    report = open_adapter(spec).check(folder / "org1_R1.csv")
    assert report.ok, report.to_text()
    assert not open_adapter(spec).check(folder / "external.csv").errors


def test_the_study_is_of_the_promised_size() -> None:
    spec = StudySpec.from_bytes(STUDY.read_bytes())
    steps = schedule(spec)
    assert [(s.kind, s.length) for s in steps] == [("moments", 2048), *[("train", 16417)] * 5]
    steps[0].segments[0].quantisation.check_slot_rule(spec.seats, NORM_PROOF_SLACK)
    assert steps[1].runs == (Run(48, 1), Run(8, 16417))
