"""Data adapters, one a file: from a local file to features and labels, never letting a value out."""

from __future__ import annotations

from defedbio.learning.data.expression import ExpressionAdapter
from defedbio.learning.data.genotypes import GenotypeAdapter
from defedbio.learning.data.port import DataAdapter, DataReport, Dataset, Problem
from defedbio.learning.data.smiles import SmilesAdapter
from defedbio.learning.data.table import TableAdapter
from defedbio.spec import ExpressionFeatures, GenotypeFeatures, SmilesFeatures, StudySpec

__all__ = ["DataAdapter", "DataReport", "Dataset", "Problem", "open_adapter"]


def open_adapter(spec: StudySpec) -> DataAdapter:
    """The adapter that reads files for the study's features."""
    if isinstance(spec.features, SmilesFeatures):
        return SmilesAdapter(spec.features, spec.task)
    if isinstance(spec.features, ExpressionFeatures):
        return ExpressionAdapter(spec.features, spec.task)
    if isinstance(spec.features, GenotypeFeatures):
        return GenotypeAdapter(spec.features, spec.task)
    return TableAdapter(spec.features, spec.task)
