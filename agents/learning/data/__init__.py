"""Data adapters, one a kind of features: from a local file to features and labels, never letting a value out."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from defedbio.learning.data.port import DataAdapter, DataReport, Dataset, Problem
from defedbio.spec import StudySpec, TaskSpec

__all__ = ["ADAPTERS", "DataAdapter", "DataReport", "Dataset", "Problem", "open_adapter"]

# By kind, what imports the class of its adapter: the packages that read molecules or genomes wait for a study that needs them.
ADAPTERS: dict[str, Callable[[], Callable[[Any, TaskSpec], DataAdapter]]] = {
    "table": lambda: import_module("defedbio.learning.data.table").TableAdapter,
    "smiles": lambda: import_module("defedbio.learning.data.smiles").SmilesAdapter,
    "expression": lambda: import_module("defedbio.learning.data.expression").ExpressionAdapter,
    "genotypes": lambda: import_module("defedbio.learning.data.genotypes").GenotypeAdapter,
}


def open_adapter(spec: StudySpec) -> DataAdapter:
    """The adapter that reads files for the study's features."""
    return ADAPTERS[spec.features.kind]()(spec.features, spec.task)
