"""Binary classification: logistic loss, probabilities of the positive class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from agents.errors import InvalidInput
from agents.learning.tasks.port import Metrics


class BinaryTask:
    def loss(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, y)

    def scores(self, logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probabilities of the positive class, by the logistic function written so that it cannot overflow."""
        small = np.exp(-np.abs(logits))
        return np.where(logits >= 0, 1.0 / (1.0 + small), small / (1.0 + small))

    def metrics(self, y: npt.NDArray[np.float32], scores: npt.NDArray[np.float64]) -> Metrics:
        """ROC-AUC, accuracy and balanced accuracy at 1/2, and log-loss.

        Raises:
            InvalidInput: if there are no rows, or the lengths differ.
        """
        # Here and not above: scikit-learn takes a second to import, and an agent that only trains never measures.
        from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

        if not y.size or y.shape != scores.shape:
            raise InvalidInput("metrics need as many scores as labels, and at least one")
        truth = y.astype(np.int64)
        guess = (scores >= 0.5).astype(np.int64)
        both = 0 < truth.sum() < truth.size
        return Metrics(
            samples=int(truth.size),
            roc_auc=float(roc_auc_score(truth, scores)) if both else None,
            accuracy=float(accuracy_score(truth, guess)),
            balanced_accuracy=float(balanced_accuracy_score(truth, guess)) if both else None,
            log_loss=float(log_loss(truth, scores, labels=[0, 1])),
        )
