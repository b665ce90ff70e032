"""Categorical cells: text to one 0/1 feature a category."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from defedbio.learning.data.files import Cells, first_rows
from defedbio.learning.data.numbers import MISSING
from defedbio.learning.data.port import Problem
from defedbio.spec import Category

Float32 = npt.NDArray[np.float32]


def parse_categories(cells: Cells, column: Category) -> tuple[Float32, list[Problem]]:
    """float32 [n, categories] of 0 and 1, and what is wrong with the cells; texts match as they are, but for space around them."""
    places = {category.strip(): place for place, category in enumerate(column.categories)}
    x = np.zeros((len(cells), len(places)), dtype=np.float32)
    missing: list[int] = []
    unknown: list[int] = []
    for row, cell in enumerate(cells):
        place = places.get(cell.strip())
        if place is not None:
            x[row, place] = 1.0
        else:
            (missing if cell.strip().lower() in MISSING else unknown).append(row)
    problems = []
    if missing and not column.optional:
        problems.append(Problem("missing", column.name, len(missing), first_rows(missing)))
    if unknown:
        text = "none of the study's categories" + (": read as no category" if column.open else "")
        problems.append(Problem(text, column.name, len(unknown), first_rows(unknown), warning=column.open))
    return x, problems
