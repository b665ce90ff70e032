"""Real multi-site data as studies: the files' rows as datasets of each site, and the study that the sites would agree on."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
from rdkit.rdBase import BlockLogs

from defedbio.learning.data import Dataset, open_adapter
from defedbio.learning.data.smiles import SmilesAdapter
from defedbio.spec import StudySpec

DEADLINES = dict.fromkeys(("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise"), 60)
FINGERPRINT = {"kind": "smiles", "column": "smiles", "bits": 1024, "counts": True, "max_count": 4}
LEAST_SITE = 150


@dataclass(frozen=True)
class Problem:
    """A study over real sites; `metric` is what its tables show, by site and over all test rows together."""

    name: str
    spec: StudySpec
    metric: str
    sites: dict[str, Dataset]

    @property
    def higher_is_better(self) -> bool:
        return self.metric != "rmse"


def heart(folder: Path) -> Problem:
    """Heart disease at four hospitals (Detrano et al. 1989): columns 10 to 12 dropped as in FLamby, rows with a missing value left out."""
    names = ("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak")
    numeric = {"age": (0, 120), "trestbps": (0, 250), "chol": (0, 700), "thalach": (0, 250), "oldpeak": (-5, 10)}
    choices = {"sex": "01", "cp": "1234", "fbs": "01", "restecg": "012", "exang": "01"}
    columns: list[dict[str, Any]] = []
    for name in names:
        columns.append(
            {"name": name, "min": numeric[name][0], "max": numeric[name][1]}
            if name in numeric
            else {"name": name, "categories": list(choices[name])}
        )
    spec = _study(
        "heart",
        {"kind": "binary", "target": "ill"},
        {"kind": "table", "columns": columns},
        {"learning_rate": 0.1, "steps": 10, "batch_size": 32, "weight_decay": 0.01},
        rounds=40,
        seats=4,
    )
    sites = {}
    for site in ("cleveland", "hungarian", "switzerland", "va"):
        with (folder / "heart_disease" / f"processed.{site}.data").open() as file:
            rows = [row for row in csv.reader(file) if len(row) == 14 and "?" not in [*row[:10], row[13]]]
        cells = [
            [_number(v) if n not in numeric else v for n, v in zip(names, row, strict=False)] + [str(int(float(row[13]) > 0))]
            for row in rows
        ]
        sites[site] = _load(spec, [*names, "ill"], cells)
    return Problem("heart", spec, "accuracy", sites)


def tcga(folder: Path) -> Problem:
    """Breast-cancer survival in six regions, by FLamby's assignment of patients to regions."""
    with (folder / "tcga_brca" / "train_test_split.csv").open() as file:
        region = {row["pid"]: row["fold2"].rpartition("_")[2] for row in csv.DictReader(file)}
    with (folder / "tcga_brca" / "brca.csv").open() as file:
        patients = [row for row in csv.DictReader(file) if row["pid"] in region]
    names = [name for name in patients[0] if name not in ("pid", "E", "T")]
    columns = [{"name": n, "min": 0, "max": 120 if n == "age_at_index" else 1} for n in names]
    spec = _study(
        "tcga",
        {"kind": "survival", "time": "T", "event": "E", "unit": "days"},
        {"kind": "table", "columns": columns},
        {"learning_rate": 0.1, "steps": 10, "batch_size": 256, "weight_decay": 0.05},
        rounds=30,
        seats=6,
    )
    sites = {}
    for place in sorted(set(region.values())):
        cells = [[row[n] for n in names] + [row["T"], str(int(float(row["E"])))] for row in patients if region[row["pid"]] == place]
        sites[f"region {place}"] = _load(spec, [*names, "T", "E"], cells)
    return Problem("tcga", spec, "c_index", sites)


def aqsoldb(folder: Path) -> Problem:
    """Aqueous solubility (logS) from nine source collections."""
    spec = _study(
        "aqsoldb",
        {"kind": "regression", "target": "logs", "min": -15, "max": 5, "unit": "log(mol/l)"},
        FINGERPRINT,
        {"learning_rate": 0.5, "steps": 15, "batch_size": 64, "weight_decay": 0.001, "schedule": {"kind": "cosine"}},
        rounds=80,
        seats=9,
        model={"kind": "mlp", "hidden": [64]},
        preprocessing={"standardise": "none"},
    )
    rows = [(row["site"], row["SMILES"], [float(row["Solubility"])]) for row in _gzipped(folder / "aqsoldb" / "aqsoldb_sources.csv.gz")]
    return Problem("aqsoldb", spec, "rmse", _molecules(spec, rows))


def b3db(folder: Path) -> Problem:
    """Blood-brain barrier penetration; a molecule belongs to its first literature reference, small references are left out."""
    spec = _study(
        "b3db",
        {"kind": "binary", "target": "bbb"},
        FINGERPRINT,
        {"learning_rate": 0.6, "steps": 15, "batch_size": 64, "weight_decay": 0.001, "schedule": {"kind": "cosine"}},
        rounds=80,
        seats=64,
        model={"kind": "mlp", "hidden": [32]},
        preprocessing={"standardise": "none"},
    )
    found = list(_gzipped(folder / "b3db" / "b3db_classification.csv.gz"))
    return Problem(
        "b3db",
        spec,
        "roc_auc",
        _molecules(spec, [(r["reference"].split("|")[0], r["SMILES"], [float(r["label"] == "BBB+")]) for r in found], LEAST_SITE),
    )


def tox21(folder: Path) -> Problem:
    """Twelve toxicity assays with missing labels; there are no real sites, so molecules are split over five by their scaffold."""
    found = list(_gzipped(folder / "moleculenet" / "tox21.csv.gz"))
    targets = [name for name in found[0] if name not in ("mol_id", "smiles")]
    spec = _study(
        "tox21",
        {"kind": "multitask", "targets": targets},
        FINGERPRINT,
        # The loss is the mean over twelve assays, so a step that moves one of them is twelve times as long.
        {"learning_rate": 8.0, "steps": 15, "batch_size": 64, "weight_decay": 0.0001, "schedule": {"kind": "cosine"}},
        rounds=80,
        seats=5,
        model={"kind": "mlp", "hidden": [64]},
        preprocessing={"standardise": "none"},
    )
    rows = [(f"site {_place(row['smiles'])}", row["smiles"], [float(row[t]) if row[t] else np.nan for t in targets]) for row in found]
    return Problem("tox21", spec, "roc_auc", _molecules(spec, rows))


PROBLEMS = {"heart": heart, "tcga": tcga, "aqsoldb": aqsoldb, "b3db": b3db, "tox21": tox21}


def _study(
    name: str, task: dict[str, Any], features: dict[str, Any], training: dict[str, Any], rounds: int, seats: int, **more: Any
) -> StudySpec:
    document = {
        "format": "defedbio-study/1",
        "name": name,
        "task": task,
        "features": features,
        "preprocessing": {"standardise": "federated"},
        "model": {"kind": "linear"},
        "training": training,
        "rounds": rounds,
        "weighting": {"kind": "samples", "cap": 8192},
        "quantisation": {"slot_bits": 32, "clip_norm": 5.0},
        "seed": 1,
        "key": {"epoch": 1},
        "participants": {"seats": seats},
        "deadlines": DEADLINES,
    }
    return StudySpec.from_bytes(json.dumps(document | more).encode())


def _load(spec: StudySpec, header: list[str], rows: list[list[str]]) -> Dataset:
    """Through the product's own adapter, so that ranges and categories are checked."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "site.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return open_adapter(spec).load(path)


def _gzipped(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _molecules(spec: StudySpec, rows: list[tuple[str, str, list[float]]], least: int = 1) -> dict[str, Dataset]:
    """Sites with at least `least` molecules that RDKit can read."""
    adapter = open_adapter(spec)
    assert isinstance(adapter, SmilesAdapter)
    with BlockLogs():
        readable = [row for row in rows if (m := Chem.MolFromSmiles(row[1])) is not None and m.GetNumAtoms()]
    sites = {}
    for site in sorted({row[0] for row in readable}):
        own = [row for row in readable if row[0] == site]
        if len(own) >= least:
            sites[site] = Dataset(adapter.featurise([s for _, s, _ in own]), np.array([y for *_, y in own], dtype=np.float32))
    return sites


def _place(smiles: str) -> int:
    """0 to 4: the same for all molecules of a Bemis-Murcko scaffold."""
    import zlib

    with BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        scaffold = MurckoScaffoldSmiles(mol=molecule) if molecule is not None else ""
    return zlib.crc32((scaffold or smiles).encode()) % 5


def _number(text: str) -> str:
    return str(int(float(text)))
