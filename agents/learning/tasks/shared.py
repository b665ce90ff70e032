"""Pieces of the encrypted evaluation that tasks share: score histograms with their AUC, and the spread of a metric over sites."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum

import numpy as np

from defedbio.learning.possible import Slack, moments
from defedbio.learning.tasks.port import Float64, Measure, Metrics

# -log of the smallest probability that counts: one confident error must not drown a sum that other sites share.
WORST_LOSS = 20.0
SITES = Measure("sites", 3, 1.0, "number of organisations with a metric of their own, sum and sum of squares of these metrics")


def site_measure(metric: float | None) -> Float64:
    """[1, m, m^2] of a site's own metric in [0, 1], or zeros where it has none: sums give mean and spread over sites, no site's value."""
    return np.zeros(3) if metric is None else np.array([1.0, metric, metric * metric])


def check_sites(totals: Mapping[str, Float64], slack: Slack) -> None:
    """Raises ImpossibleSums if the sums over sites are not those of metrics in [0, 1]."""
    sites, total, squares = totals["sites"]
    moments(total, squares, sites, slack["sites"], "the sites' metrics")


def site_summary(totals: Mapping[str, Float64], name: str) -> Metrics:
    """Mean and standard deviation of a metric over sites; None under three sites, whose values they would tell."""
    sites, total, squares = totals["sites"].tolist()
    if sites < 3:
        return {"sites": sites, f"{name}_site_mean": None, f"{name}_site_sd": None}
    mean = min(1.0, total / sites)
    return {"sites": sites, f"{name}_site_mean": mean, f"{name}_site_sd": float(np.sqrt(max(0.0, squares / sites - mean * mean)))}


def histogram(scores: Float64, bins: int) -> Float64:
    """Counts [bins] of scores in equal parts of [0, 1]."""
    places = np.minimum((scores * bins).astype(np.int64), bins - 1)
    return np.bincount(places, minlength=bins).astype(np.float64)


def total(values: Float64) -> float:
    """The sum, rounded once: the same on every machine, whatever its vector units, because early stopping goes by it (P6)."""
    return fsum(values.tolist())


def histogram_auc(positive: Float64, negative: Float64) -> tuple[float | None, float | None]:
    """ROC-AUC from histograms of both classes' scores, and the most it can be wrong.

    Pairs in one bin count one half (Mann and Whitney 1947), so the error is at most half the share of such pairs.
    """
    positives, negatives = total(positive), total(negative)
    if not positives or not negatives:
        return None, None
    below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    pairs = positives * negatives
    return min(1.0, total(positive * (below + negative / 2)) / pairs), total(positive * negative) / 2 / pairs


def logistic(x: Float64) -> Float64:
    """1 / (1 + exp(-x)), written so that it cannot overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small))


def log_losses(truth: Float64, probability: Float64) -> Float64:
    """-log of the probability given to what is true, at most `WORST_LOSS`, element by element."""
    right = np.where(truth > 0.5, probability, 1.0 - probability)
    return np.minimum(-np.log(np.maximum(right, np.finfo(np.float64).tiny)), WORST_LOSS)


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def fraction(part: float, whole: float) -> float | None:
    """A share that rounding may have put just above 1."""
    return min(1.0, part / whole) if whole else None
