"""Molecules as SMILES, turned into Morgan fingerprints (Rogers and Hahn 2010, ECFP) by RDKit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.rdBase import BlockLogs

from defedbio.errors import InvalidData
from defedbio.learning.data.files import Cells, first_rows, read_columns
from defedbio.learning.data.port import DataReport, Problem
from defedbio.learning.data.reading import FileAdapter, Float32, Source, read_labelled
from defedbio.spec import SmilesFeatures


class SmilesAdapter(FileAdapter[SmilesFeatures]):
    def source(self, path: Path) -> Source:
        return Source(partial(read_columns, path), [self._features.column], self._featurise_cells)

    def check(self, path: Path) -> DataReport:
        """As in every adapter, but without computing fingerprints, which takes most of the time."""
        return read_labelled(replace(self.source(path), parse=self._check_cells), self._task)[0]

    def featurise(self, smiles: Sequence[str]) -> Float32:
        """Features, float32 [n, width], of SMILES: bits 0 or 1, or counts up to `max_count`, then the descriptors.

        Raises:
            InvalidData: if one of them is not a molecule, with its number (from 1).
        """
        x, problems = self._featurise_cells({self._features.column: list(smiles)}, len(smiles))
        if problems:
            raise InvalidData(str(problems[0]))
        return x

    def _check_cells(self, cells: dict[str, Cells], rows: int) -> tuple[None, list[Problem]]:
        with BlockLogs():
            wrong = [i for i, cell in enumerate(cells.get(self._features.column, [])) if _molecule(cell) is None]
        return None, self._problems(cells, wrong)

    def _featurise_cells(self, cells: dict[str, Cells], rows: int) -> tuple[Float32, list[Problem]]:
        spec = self._features
        roles = rdFingerprintGenerator.GetMorganFeatureAtomInvGen() if spec.fingerprint == "fcfp" else None
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=spec.radius, fpSize=spec.bits, atomInvariantsGenerator=roles)
        descriptors = [getattr(Descriptors, name) for name in spec.descriptors]
        x = np.zeros((rows, spec.width), dtype=np.float32)
        wrong: list[int] = []
        with BlockLogs():
            for row, cell in enumerate(cells.get(spec.column, [])):
                molecule = _molecule(cell, spec.strip_salts)
                if molecule is None:
                    wrong.append(row)
                    continue
                if spec.counts:
                    x[row, : spec.bits] = np.minimum(generator.GetCountFingerprintAsNumPy(molecule), spec.max_count)
                else:
                    x[row, : spec.bits] = generator.GetFingerprintAsNumPy(molecule)
                x[row, spec.bits :] = [describe(molecule) for describe in descriptors]
        return x, self._problems(cells, wrong)

    def _problems(self, cells: dict[str, Cells], wrong: list[int]) -> list[Problem]:
        column = self._features.column
        text = cells.get(column, [])
        missing = [i for i in wrong if not text[i].strip()]
        invalid = [i for i in wrong if text[i].strip()]
        problems = []
        if missing:
            problems.append(Problem("missing", column, len(missing), first_rows(missing)))
        if invalid:
            problems.append(Problem("not a SMILES that RDKit can read", column, len(invalid), first_rows(invalid)))
        return problems


def _molecule(smiles: str, strip_salts: bool = False) -> Any:
    """RDKit's molecule with at least one atom, or None. RDKit reads an empty text as a molecule without atoms."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        return None
    if strip_salts:
        molecule = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(molecule)
        Chem.SanitizeMol(molecule)
    return molecule
