"""Association of every variant with the label (GWAS): each organisation scores its own rows, the scores add up under encryption.

The score test of a generalised linear model with the covariates in the null model (Cox and Hinkley, Theoretical Statistics, 1974, section
9.3); for a binary label without covariates it is Armitage's trend test (Biometrics 11, 1955). Every organisation fits its own null model,
so the sum of scores over the sum of informations is the fixed-effect meta-analysis stratified by organisation: differences between
organisations in case rates or ancestry do not become associations.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import erfc, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from defedbio.errors import InvalidInput
from defedbio.learning.possible import Slack, at_most, not_negative
from defedbio.learning.preprocessing import normalise
from defedbio.spec import BinarySpec, RegressionSpec, StudySpec, Variant

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

COPIES = 2
VARIANTS_AT_ONCE = 2048


def layout(spec: StudySpec) -> dict[str, int]:
    """Name and length of every vector that is summed."""
    variants = len(_variants(spec))
    residuals = {"residuals": 2} if isinstance(spec.task, RegressionSpec) else {}
    return {"score": variants, "information": variants, **residuals}


def contribution(spec: StudySpec, x: Float32, y: Float32, minimum_cell: int) -> dict[str, Float64]:
    """One organisation's scores and informations, for dosages and a quantitative label both scaled to [0, 1]; none exceeds its row count.

    A missing value counts as the organisation's mean. Nothing (zeros) is sent of a variant for which the carriers or the non-carriers of
    an allele, among cases or among controls, are fewer than `minimum_cell`.
    """
    m = len(_variants(spec))
    z = normalise(spec, x)
    dosage, covariates = z[:, :m], _filled(z[:, m:])
    label = y[:, 0].astype(np.float64)
    counted = {name: np.zeros(length) for name, length in layout(spec).items()}
    groups = [label == 1, label == 0] if isinstance(spec.task, BinarySpec) else [np.ones(len(label), dtype=bool)]
    if min(int(g.sum()) for g in groups) < minimum_cell:
        return counted
    if isinstance(spec.task, RegressionSpec):
        label = (label - spec.task.minimum) / (spec.task.maximum - spec.task.minimum)
    design = np.concatenate([np.ones((len(label), 1)), covariates], axis=1)
    freedom = len(label) - int(np.linalg.matrix_rank(design))
    if freedom < 1:
        return counted
    expected = _expected(spec, covariates, label)
    weight = expected * (1 - expected) if isinstance(spec.task, BinarySpec) else np.ones_like(label)
    root = np.sqrt(weight)
    inverse = np.linalg.pinv(root[:, None] * design)
    for start in range(0, m, VARIANTS_AT_ONCE):
        chunk = slice(start, min(start + VARIANTS_AT_ONCE, m))
        told = _told(dosage[:, chunk], groups, minimum_cell)
        g = _filled(dosage[:, chunk])
        g -= design @ (inverse @ (root[:, None] * g))
        counted["score"][chunk] = np.where(told, g.T @ (label - expected), 0.0)
        counted["information"][chunk] = np.where(told, (weight[:, None] * g**2).sum(axis=0), 0.0)
    if "residuals" in counted:
        counted["residuals"] = np.array([float(((label - expected) ** 2).sum()), float(freedom)])
    return counted


def check(totals: Mapping[str, Float64], slack: Slack) -> None:
    """Refuse sums that honest organisations' scores and informations cannot add up to.

    Raises:
        ImpossibleSums: with the reason.
    """
    rows, score, information = float(totals["rows"][0]) + slack["rows"], totals["score"], totals["information"]
    not_negative({name: vector for name, vector in totals.items() if name in ("information", "residuals")})
    at_most(np.abs(score), rows, slack["score"], "a larger score than so many rows can have")
    at_most(information, rows, slack["information"], "more information than so many rows can have")
    if "residuals" in totals:
        squares, freedom = totals["residuals"].tolist()
        off = slack["residuals"]
        at_most(max(squares, freedom), rows, off, "larger residuals than so many rows can have")
        most = (information + slack["information"]) * (squares + off)
        at_most(np.maximum(np.abs(score) - slack["score"], 0.0) ** 2, most, 0.0, "a larger score than information and residuals allow")


def report(spec: StudySpec, totals: Mapping[str, Float64]) -> list[dict[str, Any]]:
    """Effect of one more effect allele, standard error, z and two-sided p of every variant; None where no organisation told.

    The effect is the score estimate U/V: for a binary label the log odds ratio to first order, good for the small effects of common
    variants; for a quantitative one the slope in the label's unit.
    """
    score, information = totals["score"], totals["information"]
    span, variance = 1.0, 1.0
    if isinstance(spec.task, RegressionSpec):
        span = spec.task.maximum - spec.task.minimum
        squares, freedom = totals["residuals"]
        variance = float(squares / freedom) if freedom > 0 else 0.0
    found = []
    for variant, u, v in zip(_variants(spec), score, information, strict=True):
        known = v > 0 and variance > 0
        z = float(u / sqrt(v * variance)) if known else None
        found.append(
            {
                "id": variant.name,
                "chromosome": variant.chromosome,
                "position": variant.position,
                "effect": variant.effect,
                "other": variant.other,
                "beta": float(u / v) * span / COPIES if known else None,
                "se": sqrt(variance / v) * span / COPIES if known else None,
                "z": z,
                "p": erfc(abs(z) / sqrt(2)) if z is not None else None,
            }
        )
    return found


def _variants(spec: StudySpec) -> tuple[Variant, ...]:
    if not spec.features.dosages:
        raise InvalidInput("the study has no genotypes")
    return spec.features.dosages


def _filled(values: Float64) -> Float64:
    """The values with each column's mean in place of missing ones; 0 in a column without any."""
    there = ~np.isnan(values)
    means = np.where(there, values, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    filled: Float64 = np.where(there, values, means)
    return filled


def _expected(spec: StudySpec, covariates: Float64, label: Float64) -> Float64:
    """The label's expectation under the null model, fitted to these rows by maximum likelihood."""
    from sklearn.linear_model import LinearRegression, LogisticRegression  # a second of every command's start otherwise

    if not covariates.shape[1]:
        return np.full_like(label, label.mean())
    if isinstance(spec.task, BinarySpec):
        model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(covariates, label)
        return np.asarray(model.predict_proba(covariates)[:, 1], dtype=np.float64)
    return np.asarray(LinearRegression().fit(covariates, label).predict(covariates), dtype=np.float64)


def _told(dosage: Float64, groups: list[npt.NDArray[np.bool_]], minimum_cell: int) -> npt.NDArray[np.bool_]:
    """Which variants [m] have enough rows with and without each allele in every group; dosages are scaled to [0, 1]."""
    with np.errstate(invalid="ignore"):
        carriers = [np.stack([(dosage[g] >= 0.25).sum(axis=0), (dosage[g] < 0.75).sum(axis=0)]).min(axis=0) for g in groups]
    told: npt.NDArray[np.bool_] = np.stack(carriers).min(axis=0) >= minimum_cell
    return told
