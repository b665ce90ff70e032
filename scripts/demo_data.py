"""The demo's data: blood-brain barrier penetration from B3DB (PyPI package qc-B3DB, CC0 1.0), split by literature source.

An organisation is a literature source, R1, R13, R27 and R24 first, then the next largest. A molecule that several sources list goes
to each of them: that is what each source's table holds, and laboratories do measure the same drugs. (Giving it to one only would make
R1, whose molecules are nearly all in R27 too, vanish.) Test sets, of molecules that no organisation trains on:

ORG_test.csv  about a seventh of each organisation's molecules, chosen by a hash of the skeleton, so that all withhold the same ones.
external.csv  B3DB's own external set. Nearly all of it is positive (4 of 175 are negative), so its ROC-AUC is coarse.
holdout.csv   molecules listed only by sources that are not among the organisations: other laboratories' molecules, both classes.

Stereo-isomers share a fingerprint here, so leakage is prevented by the first block of the InChIKey (the skeleton): no skeleton of
external.csv is in another file, none of holdout.csv or of an ORG_test.csv in a training file. Rows that RDKit cannot read are left out.

    PYTHONPATH=. python scripts/demo_data.py FOLDER [--organisations 4]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from rdkit import Chem
from rdkit.Chem import rdinchi
from rdkit.rdBase import BlockLogs

from defedbio.errors import InvalidInput

FIRST_SOURCES = ("R1", "R13", "R27", "R24")
MINIMUM_ORGANISATIONS = 3
MINIMUM_ROWS = 100
COLUMNS = ["SMILES", "Inchi", "BBB+/BBB-", "reference"]
SOURCE_NOTE = "B3DB (Meng, Xi, Huang, Ayers 2021, Scientific Data 8:289), PyPI package qc-B3DB, CC0 1.0"


@dataclass(frozen=True)
class Molecule:
    smiles: str
    positive: bool
    sources: frozenset[str]
    skeleton: str


def write(folder: Path, organisations: int = 4) -> dict[str, Any]:
    """Write org1_R1.csv, org1_R1_test.csv, …, external.csv, holdout.csv (columns smiles, bbb) and summary.json; deterministic.

    Returns:
        The summary: {"source", "files": {file name: {"rows", "positive"}}, "organisations": [training file name, …],
        "tests": [each organisation's test file name, in the same order], "dropped": {…}}.

    Raises:
        InvalidInput: if there are fewer than 3 organisations asked for, or more than B3DB has sources of at least 100 molecules.
    """
    table, unreadable = _read("B3DB_classification.tsv")
    external, _ = _read("B3DB_classification_external.tsv")
    outside = {m.skeleton for m in external}
    usable = [m for m in table if m.skeleton not in outside]
    sources = choose(usable, organisations)
    listed = {s: [m for m in usable if s in m.sources] for s in sources}
    known = {m.skeleton for rows in listed.values() for m in rows}
    names = [f"org{place}_{source}.csv" for place, source in enumerate(sources, 1)]
    tests = [name.replace(".csv", "_test.csv") for name in names]
    contents: dict[str, Sequence[Molecule]] = {"external.csv": external, "holdout.csv": [m for m in usable if m.skeleton not in known]}
    for name, test, rows in zip(names, tests, listed.values(), strict=True):
        contents[name] = [m for m in rows if not withheld(m)]
        contents[test] = [m for m in rows if withheld(m)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in contents.items():
        _write(folder / name, rows)
    summary = {
        "source": SOURCE_NOTE,
        "organisations": names,
        "tests": tests,
        "files": {name: {"rows": len(rows), "positive": sum(m.positive for m in rows)} for name, rows in contents.items()},
        "dropped": {"unreadable": unreadable, "in_external": len(table) - len(usable)},
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    return summary


def withheld(molecule: Molecule) -> bool:
    """Is the molecule one of the seventh that every organisation keeps for its own test?"""
    return hashlib.sha256(molecule.skeleton.encode()).digest()[0] % 7 == 0


def choose(molecules: Sequence[Molecule], organisations: int) -> list[str]:
    """The sources that play the organisations: R1, R13, R27, R24, then the largest others (ties by name)."""
    sizes = Counter(source for m in molecules for source in m.sources)
    others = sorted((s for s, n in sizes.items() if s not in FIRST_SOURCES and n >= MINIMUM_ROWS), key=lambda s: (-sizes[s], s))
    ranked = [*FIRST_SOURCES, *others]
    if not MINIMUM_ORGANISATIONS <= organisations <= len(ranked):
        raise InvalidInput(f"the demo data has {MINIMUM_ORGANISATIONS} to {len(ranked)} organisations, not {organisations}")
    return ranked[:organisations]


@cache
def _read(name: str) -> tuple[tuple[Molecule, ...], int]:
    """The molecules of one of the package's tables, and how many rows RDKit cannot read."""
    table = pd.read_csv(str(files("B3DB").joinpath(name)), sep="\t", dtype=str, usecols=COLUMNS)
    molecules: list[Molecule] = []
    with BlockLogs():
        for smiles, inchi, label, reference in zip(*(table[name] for name in COLUMNS), strict=True):
            if Chem.MolFromSmiles(smiles) is None:
                continue
            sources = frozenset(s for s in reference.split("|") if s)
            molecules.append(Molecule(smiles, label == "BBB+", sources, _skeleton(inchi)))
    return tuple(molecules), len(table) - len(molecules)


def _skeleton(inchi: str) -> str:
    """The first block of the InChIKey: the molecule without stereochemistry and isotopes. B3DB brings the InChI, which takes a
    millisecond to make from the SMILES; a test compares."""
    key: str = rdinchi.InchiToInchiKey(inchi)
    return key.split("-")[0]


def _write(path: Path, molecules: Sequence[Molecule]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["smiles", "bbb"])
        writer.writerows([m.smiles, int(m.positive)] for m in molecules)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the demo's data files, one an organisation, and its test sets.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--organisations", type=int, default=len(FIRST_SOURCES))
    arguments = parser.parse_args()
    summary = write(arguments.folder, arguments.organisations)
    for name, counts in summary["files"].items():
        print(f"{name:20} {counts['rows']:5} molecules, {counts['positive']:5} positive")


if __name__ == "__main__":
    main()
