"""Gene expression, one sample a row and one gene a column, aligned to the study's list of genes; a table or AnnData."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from defedbio.errors import InvalidData
from defedbio.learning.data import h5ad
from defedbio.learning.data.files import Cells, read_columns, read_header
from defedbio.learning.data.numbers import check_numbers, parse_numbers
from defedbio.learning.data.port import SHOWN_ROWS, Problem
from defedbio.learning.data.reading import FileAdapter, Float32, Source
from defedbio.spec import Column, ExpressionFeatures

# Ensembl's stable identifiers carry a version that changes between releases: ENSG00000141510.18 is the gene ENSG00000141510.
_VERSION = re.compile(r"^(ENS[A-Z]*G\d{11})\.\d+$")


class ExpressionAdapter(FileAdapter[ExpressionFeatures]):
    def source(self, path: Path) -> Source:
        annotated = path.suffix.lower() == h5ad.SUFFIX
        found: dict[str, list[str]] = {}
        header = h5ad.gene_names(path) if annotated else read_header(path)
        for name in header:
            found.setdefault(stable_id(name), []).append(name)
        places = {gene: found.get(stable_id(gene), []) for gene in self._features.genes}
        problems = _mismatches(places, self._features.optional)
        usable = [(place, names[0]) for place, names in enumerate(places.values()) if len(names) == 1]

        def parse_cells(cells: dict[str, Cells], rows: int) -> tuple[Float32, list[Problem]]:
            return self._features_of(rows, problems, {p: parse_numbers(cells[n], self._column(n)) for p, n in usable if n in cells})

        def parse_matrix(_: dict[str, Cells], rows: int) -> tuple[Float32, list[Problem]]:
            try:
                matrix = h5ad.read_genes(path, [header.index(name) for _, name in usable])
            except InvalidData as error:
                return self._features_of(rows, [*problems, Problem(error.message)], {})
            columns = zip(usable, matrix.T, strict=True)
            return self._features_of(rows, problems, {p: check_numbers(v, np.isnan(v), self._column(n)) for (p, n), v in columns})

        if annotated:
            return Source(partial(h5ad.read_observations, path), [], parse_matrix)
        return Source(partial(read_columns, path), [name for _, name in usable], parse_cells)

    def _column(self, name: str) -> Column:
        return Column(name, 0.0, self._features.largest, optional=self._features.optional)

    def _features_of(
        self, rows: int, problems: list[Problem], columns: dict[int, tuple[Float32, list[Problem]]]
    ) -> tuple[Float32, list[Problem]]:
        """Transformed features float32 [rows, genes], NaN for genes without a column, and all problems."""
        x = np.full((rows, self._features.width), np.nan, dtype=np.float32)
        for place, (values, _) in columns.items():
            x[:, place] = np.log1p(values) if self._features.transform == "log1p" else values
        return x, [*problems, *(problem for _, found in columns.values() for problem in found)]


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
