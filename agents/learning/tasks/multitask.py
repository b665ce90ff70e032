"""Several binary labels at once, any of them missing (Tox21): masked logistic loss, a probability for each label."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from defedbio.errors import InvalidInput
from defedbio.learning.possible import Slack, at_most
from defedbio.learning.tasks.port import Aim, Float32, Float64, Measure, Metrics
from defedbio.learning.tasks.shared import (
    SITES,
    WORST_LOSS,
    check_sites,
    histogram,
    histogram_auc,
    log_losses,
    logistic,
    share,
    site_measure,
    site_summary,
    total,
)
from defedbio.spec import EvaluationSpec

if TYPE_CHECKING:
    import torch


class MultitaskTask:
    aim = Aim("roc_auc", True)

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks

    def loss(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        there = ~y.isnan()
        losses = binary_cross_entropy_with_logits(outputs, y.nan_to_num(), reduction="none")
        return (losses * there).sum() / there.sum().clamp(min=1)

    def scores(self, outputs: Float64) -> Float64:
        return logistic(outputs)

    def metrics(self, y: Float32, scores: Float64) -> Metrics:
        """ROC-AUC averaged over the labels that have both classes, log-loss over all labels that are there.

        Raises:
            InvalidInput: if there are no rows, or the shapes differ.
        """
        from sklearn.metrics import roc_auc_score

        if not y.size or y.shape != scores.shape:
            raise InvalidInput("metrics need as many scores as labels, and at least one")
        there = ~np.isnan(y)
        aucs = []
        for task in range(self._tasks):
            truth, score = y[there[:, task], task], scores[there[:, task], task]
            if truth.size and 0 < truth.sum() < truth.size:
                aucs.append(float(roc_auc_score(truth, score)))
        loss = log_losses(y[there].astype(np.float64), scores[there])
        return {
            "samples": len(y),
            "roc_auc": float(np.mean(aucs)) if aucs else None,
            "tasks_measured": len(aucs),
            "log_loss": share(float(loss.sum()), float(loss.size)),
        }

    def measures(self, evaluation: EvaluationSpec) -> tuple[Measure, ...]:
        rows, bins = evaluation.rows, self._tasks * evaluation.bins
        return (
            Measure("positive", bins, rows, "by label, histogram of the scores of positive rows", whole=True),
            Measure("negative", bins, rows, "by label, histogram of the scores of negative rows", whole=True),
            Measure("losses", self._tasks, rows * WORST_LOSS, "by label, log-loss of the held-out rows"),
            SITES,
        )

    def measure(self, y: Float32, scores: Float64, evaluation: EvaluationSpec) -> dict[str, Float64]:
        """A label with fewer than `minimum_cell` rows of a class contributes nothing."""
        positive, negative = np.zeros((self._tasks, evaluation.bins)), np.zeros((self._tasks, evaluation.bins))
        losses, shown = np.zeros(self._tasks), np.zeros(self._tasks, dtype=bool)
        for task in range(self._tasks):
            there = ~np.isnan(y[:, task])
            truth, score = y[there, task].astype(np.float64), scores[there, task]
            shown[task] = min(truth.sum(), truth.size - truth.sum()) >= evaluation.minimum_cell
            if shown[task]:
                positive[task] = histogram(score[truth > 0.5], evaluation.bins)
                negative[task] = histogram(score[truth <= 0.5], evaluation.bins)
                losses[task] = log_losses(truth, score).sum()
        auc = self.metrics(np.where(shown, y, np.nan).astype(np.float32), scores)["roc_auc"]
        return {"positive": positive.ravel(), "negative": negative.ravel(), "losses": losses, "sites": site_measure(auc)}

    def check(self, totals: Mapping[str, Float64], slack: Slack) -> None:
        bins = len(totals["positive"]) // self._tasks
        rows = (totals["positive"] + totals["negative"]).reshape(self._tasks, bins).sum(axis=1) + 2 * bins * slack["positive"]
        at_most(totals["losses"], WORST_LOSS * rows, slack["losses"], "a larger log-loss of a label than so many rows can have")
        check_sites(totals, slack)

    def summary(self, totals: Mapping[str, Float64]) -> Metrics:
        positive, negative = totals["positive"].reshape(self._tasks, -1), totals["negative"].reshape(self._tasks, -1)
        found = [(auc, error) for auc, error in map(histogram_auc, positive, negative) if auc is not None and error is not None]
        labels = total(totals["positive"]) + total(totals["negative"])
        return {
            "labels": labels,
            "roc_auc": share(fsum(auc for auc, _ in found), len(found)),
            "roc_auc_error": share(fsum(error for _, error in found), len(found)),
            "tasks_measured": len(found),
            "log_loss": share(total(totals["losses"]), labels),
            **site_summary(totals, "roc_auc"),
        }
