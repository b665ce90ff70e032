"""What a study reads from every organisation's file: one kind of features a study, one module a kind."""

from __future__ import annotations

from typing import Any

from defedbio.spec.features.columns import Category, Column
from defedbio.spec.features.expression import ExpressionFeatures
from defedbio.spec.features.genotypes import GenotypeFeatures
from defedbio.spec.features.port import Features
from defedbio.spec.features.smiles import SmilesFeatures
from defedbio.spec.features.table import TableFeatures
from defedbio.spec.features.variants import Variant, complement

__all__ = [
    "KINDS",
    "Category",
    "Column",
    "ExpressionFeatures",
    "Features",
    "GenotypeFeatures",
    "SmilesFeatures",
    "TableFeatures",
    "Variant",
    "complement",
    "features_from",
]

KINDS: dict[str, type[Features]] = {
    features.kind: features for features in (TableFeatures, SmilesFeatures, ExpressionFeatures, GenotypeFeatures)
}


def features_from(document: dict[str, Any]) -> Features:
    """The features of a document that obeys the schema.

    Raises:
        InvalidSpec: if it breaks a rule that the schema cannot say.
    """
    return KINDS[document["kind"]].from_document(document)
