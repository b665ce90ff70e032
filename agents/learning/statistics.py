"""Federated statistics: counts that organisations add up under encryption before training, and what the sums say.

A site sends 0 for every count of its own under the study's minimum cell, so nothing small is ever in a sum that gets opened; totals are
therefore lower bounds, and `withheld` says how many rows of each feature were counted nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from defedbio.errors import InvalidInput
from defedbio.learning import association
from defedbio.learning.possible import Slack, at_most, not_negative, require, whole
from defedbio.learning.preprocessing import normalise
from defedbio.spec import MulticlassSpec, RegressionSpec, StatisticsSpec, StudySpec, SurvivalSpec

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
PREFIX = "statistics."
SIGNED = ("score",)  # vectors with numbers below 0
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def layout(spec: StudySpec) -> dict[str, int]:
    """Name and length of every vector of counts."""
    wanted, width = _wanted(spec), spec.features.width
    tests = association.layout(spec) if wanted.association else {}
    return {"rows": 1, "histogram": width * wanted.bins, "missing": width, "labels": len(label_names(spec)), **tests}


def in_words(spec: StudySpec, name: str) -> str:
    """What a vector of `layout` holds, for those who are to consent that its sum is opened."""
    wanted, width = _wanted(spec), spec.features.width
    return {
        "rows": "rows",
        "histogram": f"histograms of {width} features over their declared ranges, {wanted.bins} bins each",
        "missing": f"missing values of {width} features",
        "labels": "rows by label",
        "score": "association scores, one for each variant",
        "information": "their informations, one for each variant",
        "residuals": "squared residuals of the label, and degrees of freedom",
    }[name]


def label_names(spec: StudySpec) -> tuple[str, ...]:
    """What the label counts count."""
    task = spec.task
    if isinstance(task, MulticlassSpec):
        return task.classes
    if isinstance(task, SurvivalSpec):
        return "event", "censored"
    if isinstance(task, RegressionSpec):
        bins = _wanted(spec).bins
        edges = np.linspace(task.minimum, task.maximum, bins + 1)
        return tuple(f"{a:.6g} to {b:.6g}" for a, b in pairwise(edges))
    return tuple(f"{column}={label}" for column in task.columns for label in (task.positive, task.negative))


def counts(spec: StudySpec, x: Float32, y: Float32) -> dict[str, Float64]:
    """One organisation's counts, small cells withheld, and its part of the association tests.

    Raises:
        InvalidInput: if it has more rows than the study's statistics allow for.
    """
    wanted = _wanted(spec)
    if len(x) > wanted.rows:
        raise InvalidInput(f"the study counts at most {wanted.rows} rows an organisation")
    z = normalise(spec, x)
    bins = [_binned(column[~np.isnan(column)], wanted.bins) for column in z.T]
    found = {
        "rows": np.array([float(len(x))]),
        "histogram": np.concatenate(bins),
        "missing": np.isnan(z).sum(axis=0).astype(np.float64),
        "labels": _labels(spec, y),
    }
    tests = association.contribution(spec, x, y, wanted.minimum_cell) if wanted.association else {}
    return {name: np.where(c >= wanted.minimum_cell, c, 0.0) for name, c in found.items()} | tests


def totals_of(extras: Mapping[str, Float64]) -> dict[str, Float64]:
    """The sums that a global state carries, by the names of `layout`; nothing before the statistics round or without one."""
    return {name.removeprefix(PREFIX): vector for name, vector in extras.items() if name.startswith(PREFIX)}


def counting(spec: StudySpec) -> tuple[str, ...]:
    """The vectors of `layout` that count rows; the others are the association tests'."""
    tests = association.layout(spec) if _wanted(spec).association else {}
    return tuple(name for name in layout(spec) if name not in tests)


def check(spec: StudySpec, totals: Mapping[str, Float64], slack: Slack) -> None:
    """Refuse counts that honest organisations' counts cannot add up to.

    Raises:
        ImpossibleSums: with the reason.
    """
    wanted, task = _wanted(spec), spec.task
    found = {name: totals[name] for name in counting(spec)}
    not_negative(found)
    whole(found, slack, found)
    for name, vector in found.items():
        require((vector == 0) | (vector + slack[name] >= wanted.minimum_cell), f"{name} under the minimum cell of {wanted.minimum_cell}")
    rows, width = float(totals["rows"][0]) + slack["rows"], spec.features.width
    counted = totals["histogram"].reshape(width, wanted.bins).sum(axis=1) + totals["missing"]
    at_most(counted, rows, (wanted.bins + 1) * slack["histogram"], "more values of a feature than rows")
    groups = 1 if isinstance(task, MulticlassSpec | SurvivalSpec | RegressionSpec) else len(task.columns)
    labelled = totals["labels"].reshape(groups, -1).sum(axis=1)
    at_most(labelled, rows, len(totals["labels"]) * slack["labels"], "more labels than rows")


def report(spec: StudySpec, totals: Mapping[str, Float64]) -> dict[str, Any]:
    """The sums in words: by feature its mean, standard deviation, quantiles and missing count, and the label counts.

    Means and deviations take every row at the middle of its bin: they are within half a bin. Quantiles are linear within a bin.
    """
    wanted = _wanted(spec)
    histogram = totals["histogram"].reshape(spec.features.width, wanted.bins)
    rows = round(totals["rows"][0])
    features = []
    for name, (low, high), bins, missing in zip(spec.features.names, spec.features.ranges, histogram, totals["missing"], strict=True):
        counted = int(bins.sum())
        middles = low + (np.arange(wanted.bins) + 0.5) / wanted.bins * (high - low)
        mean = float(bins @ middles) / counted if counted else None
        features.append(
            {
                "name": name,
                "counted": counted,
                "missing": int(missing),
                "withheld": rows - counted - int(missing),
                "mean": mean,
                "sd": float(np.sqrt(bins @ (middles - mean) ** 2 / counted)) if mean is not None else None,
                "quantiles": {str(q): low + _quantile(bins, q) * (high - low) for q in QUANTILES} if counted else None,
                "half_bin": (high - low) / wanted.bins / 2,
            }
        )
    labels = dict(zip(label_names(spec), (int(c) for c in totals["labels"]), strict=True))
    tests = {"association": association.report(spec, totals)} if wanted.association else {}
    return {"rows": rows, "minimum_cell": wanted.minimum_cell, "features": features, "labels": labels, **tests}


def _wanted(spec: StudySpec) -> StatisticsSpec:
    if spec.statistics is None:
        raise InvalidInput("the study has no statistics")
    return spec.statistics


def _binned(z: Float64, bins: int) -> Float64:
    return np.bincount(np.minimum((z * bins).astype(np.int64), bins - 1), minlength=bins).astype(np.float64)


def _quantile(bins: Float64, q: float) -> float:
    """Where in [0, 1] the share q of the counts lies."""
    edges = np.concatenate([[0.0], np.cumsum(bins)])
    return float(np.interp(q * edges[-1], edges, np.linspace(0, 1, len(edges))))


def _labels(spec: StudySpec, y: Float32) -> Float64:
    task = spec.task
    if isinstance(task, MulticlassSpec):
        return np.bincount(y[:, 0].astype(np.int64), minlength=len(task.classes)).astype(np.float64)
    if isinstance(task, SurvivalSpec):
        return np.array([np.sum(y[:, 1] == 1), np.sum(y[:, 1] == 0)], dtype=np.float64)
    if isinstance(task, RegressionSpec):
        return _binned((y[:, 0].astype(np.float64) - task.minimum) / (task.maximum - task.minimum), _wanted(spec).bins)
    return np.stack([(y == 1).sum(axis=0), (y == 0).sum(axis=0)], axis=1).ravel().astype(np.float64)
