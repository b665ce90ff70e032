"""Binary classification: logistic loss, probabilities of the positive class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from defedbio.errors import InvalidInput
from defedbio.learning.possible import Slack, at_most
from defedbio.learning.tasks.port import Aim, Float32, Float64, Measure, Metrics
from defedbio.learning.tasks.shared import (
    SITES,
    WORST_LOSS,
    check_sites,
    fraction,
    histogram,
    histogram_auc,
    log_losses,
    logistic,
    share,
    site_measure,
    site_summary,
)
from defedbio.spec import EvaluationSpec

if TYPE_CHECKING:
    import torch


class BinaryTask:
    aim = Aim("roc_auc", True)

    def loss(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(outputs, y)

    def scores(self, outputs: Float64) -> Float64:
        return logistic(outputs)

    def metrics(self, y: Float32, scores: Float64) -> Metrics:
        """ROC-AUC, accuracy and balanced accuracy at 1/2, log-loss in nats, Brier score.

        Raises:
            InvalidInput: if there are no rows, or the lengths differ.
        """
        # Here and not above: scikit-learn takes a second to import, and an agent that only trains never measures.
        from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

        if not y.size or y.shape != scores.shape:
            raise InvalidInput("metrics need as many scores as labels, and at least one")
        truth, score = y[:, 0].astype(np.int64), scores[:, 0]
        guess = (score >= 0.5).astype(np.int64)
        both = 0 < truth.sum() < truth.size
        return {
            "samples": int(truth.size),
            "roc_auc": float(roc_auc_score(truth, score)) if both else None,
            "accuracy": float(accuracy_score(truth, guess)),
            "balanced_accuracy": float(balanced_accuracy_score(truth, guess)) if both else None,
            "log_loss": float(log_loss(truth, score, labels=[0, 1])),
            "brier": float(np.mean((score - truth) ** 2)),
        }

    def measures(self, evaluation: EvaluationSpec) -> tuple[Measure, ...]:
        rows, bins = evaluation.rows, evaluation.bins
        return (
            Measure("counts", 2, rows, "held-out rows, and how many of them are predicted right", whole=True, withheld=False),
            Measure("losses", 2, rows * WORST_LOSS, "log-loss and squared error of the held-out rows", withheld=False),
            Measure("positive", bins, rows, "histogram of the scores of positive rows", whole=True),
            Measure("negative", bins, rows, "histogram of the scores of negative rows", whole=True),
            SITES,
        )

    def measure(self, y: Float32, scores: Float64, evaluation: EvaluationSpec) -> dict[str, Float64]:
        truth, score = y[:, 0].astype(np.float64), scores[:, 0]
        rare = min(truth.sum(), len(truth) - truth.sum()) < evaluation.minimum_cell
        auc = None if rare else self.metrics(y, scores)["roc_auc"]
        return {
            "counts": np.array([len(truth), np.sum((score >= 0.5) == (truth > 0.5))], dtype=np.float64),
            "losses": np.array([log_losses(truth, score).sum(), np.sum((score - truth) ** 2)]),
            "positive": np.zeros(evaluation.bins) if rare else histogram(score[truth > 0.5], evaluation.bins),
            "negative": np.zeros(evaluation.bins) if rare else histogram(score[truth <= 0.5], evaluation.bins),
            "sites": site_measure(auc),
        }

    def check(self, totals: Mapping[str, Float64], slack: Slack) -> None:
        rows, correct = totals["counts"].tolist()
        loss, brier = totals["losses"].tolist()
        scored, bins = float(totals["positive"].sum() + totals["negative"].sum()), 2 * len(totals["positive"])
        off = slack["counts"]
        at_most(correct, rows, 2 * off, "more right predictions than rows")
        at_most(loss, WORST_LOSS * (rows + off), slack["losses"], "a larger log-loss than so many rows can have")
        at_most(brier, rows + off, slack["losses"], "a larger Brier score than so many rows can have")
        at_most(scored, rows + off, bins * slack["positive"], "more scores in the histograms than rows")
        check_sites(totals, slack)

    def summary(self, totals: Mapping[str, Float64]) -> Metrics:
        rows, correct = totals["counts"].tolist()
        loss, brier = totals["losses"].tolist()
        auc, error = histogram_auc(totals["positive"], totals["negative"])
        return {
            "samples": rows,
            "roc_auc": auc,
            "roc_auc_error": error,
            "accuracy": fraction(correct, rows),
            "log_loss": share(loss, rows),
            "brier": fraction(brier, rows),
            **site_summary(totals, "roc_auc"),
        }
