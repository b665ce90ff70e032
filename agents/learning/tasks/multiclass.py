"""Multi-class classification: softmax cross-entropy, a probability for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from defedbio.errors import InvalidInput
from defedbio.learning.possible import Slack, at_most
from defedbio.learning.tasks.port import Aim, Float32, Float64, Measure, Metrics
from defedbio.learning.tasks.shared import SITES, WORST_LOSS, check_sites, fraction, share, site_measure, site_summary, total
from defedbio.spec import EvaluationSpec

if TYPE_CHECKING:
    import torch


class MulticlassTask:
    aim = Aim("accuracy", True)

    def __init__(self, classes: int) -> None:
        self._classes = classes

    def loss(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, y[:, 0].long())

    def scores(self, outputs: Float64) -> Float64:
        shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        probabilities: Float64 = shifted / shifted.sum(axis=1, keepdims=True)
        return probabilities

    def metrics(self, y: Float32, scores: Float64) -> Metrics:
        """Accuracy, balanced accuracy (mean recall over the classes present), log-loss in nats.

        Raises:
            InvalidInput: if there are no rows, or the lengths differ.
        """
        if not len(y) or len(y) != len(scores):
            raise InvalidInput("metrics need as many scores as labels, and at least one")
        counts, hits, loss = self._sums(y, scores)
        present = counts > 0
        return {
            "samples": len(y),
            "accuracy": float(hits.sum() / len(y)),
            "balanced_accuracy": float(np.mean(hits[present] / counts[present])),
            "log_loss": loss / len(y),
        }

    def measures(self, evaluation: EvaluationSpec) -> tuple[Measure, ...]:
        rows, classes = evaluation.rows, self._classes
        return (
            Measure("classes", classes, rows, "held-out rows of each class", whole=True),
            Measure("hits", classes, rows, "how many of these are predicted right", whole=True),
            Measure("losses", 1, rows * WORST_LOSS, "log-loss of the held-out rows"),
            SITES,
        )

    def measure(self, y: Float32, scores: Float64, evaluation: EvaluationSpec) -> dict[str, Float64]:
        """A class with fewer than `minimum_cell` rows is left out of the counts by class, and so out of the accuracy."""
        counts, hits, loss = self._sums(y, scores)
        shown = counts >= evaluation.minimum_cell
        accuracy = None if len(y) < evaluation.minimum_cell else float(hits.sum() / len(y))
        losses = np.array([loss if shown.all() else loss * counts[shown].sum() / len(y)])
        return {"classes": counts * shown, "hits": hits * shown, "losses": losses, "sites": site_measure(accuracy)}

    def check(self, totals: Mapping[str, Float64], slack: Slack) -> None:
        counts, off = totals["classes"], slack["classes"]
        rows = float(counts.sum()) + len(counts) * off
        at_most(totals["hits"], counts, 2 * off, "more right predictions of a class than rows")
        at_most(float(totals["losses"][0]), WORST_LOSS * rows, slack["losses"], "a larger log-loss than so many rows can have")
        check_sites(totals, slack)

    def summary(self, totals: Mapping[str, Float64]) -> Metrics:
        counts, hits = totals["classes"], totals["hits"]
        rows, present = total(counts), counts > 0
        recalls = np.minimum(hits[present] / counts[present], 1.0)
        return {
            "samples": rows,
            "accuracy": fraction(total(hits), rows),
            "balanced_accuracy": share(total(recalls), len(recalls)),
            "log_loss": share(float(totals["losses"][0]), rows),
            **site_summary(totals, "accuracy"),
        }

    def _sums(self, y: Float32, scores: Float64) -> tuple[Float64, Float64, float]:
        truth = y[:, 0].astype(np.int64)
        counts = np.bincount(truth, minlength=self._classes).astype(np.float64)
        hits = np.bincount(truth[scores.argmax(axis=1) == truth], minlength=self._classes).astype(np.float64)
        right = np.maximum(scores[np.arange(len(truth)), truth], np.finfo(np.float64).tiny)
        return counts, hits, float(np.minimum(-np.log(right), WORST_LOSS).sum())
