"""Gene expression, one sample a row and one gene a column, aligned to the study's list of genes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents.learning.data.files import Cells, read_header
from agents.learning.data.numbers import parse_numbers
from agents.learning.data.port import SHOWN_ROWS, Problem
from agents.learning.data.reading import FileAdapter, Float32, Parse
from agents.spec import Column, ExpressionFeatures, TaskSpec

# Ensembl's stable identifiers carry a version that changes between releases: ENSG00000141510.18 is the gene ENSG00000141510.
_VERSION = re.compile(r"^(ENS[A-Z]*G\d{11})\.\d+$")


class ExpressionAdapter(FileAdapter):
    def __init__(self, features: ExpressionFeatures, task: TaskSpec) -> None:
        super().__init__(task)
        self._features = features

    def source(self, path: Path) -> tuple[Sequence[str], Parse]:
        found: dict[str, list[str]] = {}
        for name in read_header(path):
            found.setdefault(stable_id(name), []).append(name)
        places = {gene: found.get(stable_id(gene), []) for gene in self._features.genes}
        problems = _mismatches(places, self._features.optional)

        def parse(cells: dict[str, Cells], rows: int) -> tuple[Float32 | None, list[Problem]]:
            x = np.full((rows, self._features.width), np.nan, dtype=np.float32)
            wrong = list(problems)
            for place, names in enumerate(places.values()):
                if len(names) == 1 and names[0] in cells:
                    column = Column(names[0], 0.0, self._features.largest, optional=self._features.optional)
                    values, trouble = parse_numbers(cells[names[0]], column)
                    x[:, place] = np.log1p(values) if self._features.transform == "log1p" else values
                    wrong += trouble
            return x, wrong

        return [names[0] for names in places.values() if len(names) == 1], parse


def stable_id(name: str) -> str:
    """A gene's identifier without Ensembl's version; other names as they are."""
    match = _VERSION.match(name.strip())
    return match.group(1) if match else name.strip()


def _mismatches(places: dict[str, list[str]], optional: bool) -> list[Problem]:
    problems: list[Problem] = []
    missing = [gene for gene, names in places.items() if not names]
    instead = ": read as the mean of all organisations" if optional else ""
    problems += [Problem("is missing" + instead, column=gene, warning=optional) for gene in missing[:SHOWN_ROWS]]
    if len(missing) > SHOWN_ROWS:
        problems.append(Problem(f"{len(missing)} of the study's {len(places)} genes are missing" + instead, warning=optional))
    for gene, names in places.items():
        if len(names) > 1:
            problems.append(Problem(f"is there {len(names)} times, in several versions", column=gene))
    return problems
