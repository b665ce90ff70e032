"""Regression: squared loss on the standardised target, values in the target's unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from defedbio.errors import InvalidInput
from defedbio.learning.possible import Slack, moments
from defedbio.learning.tasks.port import Aim, Float32, Float64, Measure, Metrics
from defedbio.learning.tasks.shared import SITES, check_sites, share, site_measure, site_summary
from defedbio.spec import EvaluationSpec, RegressionSpec

if TYPE_CHECKING:
    import torch

# In ranges of the target: errors beyond it are counted as this much.
WORST_ERROR = 2.0


class RegressionTask:
    aim = Aim("rmse", False)

    def __init__(self, target: RegressionSpec) -> None:
        self._low, self._span = target.minimum, target.maximum - target.minimum

    def loss(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import mse_loss

        return mse_loss(outputs, y)

    def scores(self, outputs: Float64) -> Float64:
        return outputs

    def metrics(self, y: Float32, scores: Float64) -> Metrics:
        """RMSE and mean absolute error in the target's unit, R^2 against the rows' own mean.

        Raises:
            InvalidInput: if there are no rows, or the shapes differ.
        """
        if not y.size or y.shape != scores.shape:
            raise InvalidInput("metrics need as many scores as labels, and at least one")
        truth = y[:, 0].astype(np.float64)
        errors = scores[:, 0] - truth
        spread = float(np.sum((truth - truth.mean()) ** 2))
        return {
            "samples": len(y),
            "rmse": float(np.sqrt(np.mean(errors**2))),
            "mae": float(np.mean(np.abs(errors))),
            "r2": 1 - float(np.sum(errors**2)) / spread if spread else None,
        }

    def measures(self, evaluation: EvaluationSpec) -> tuple[Measure, ...]:
        errors = "of the held-out rows' errors: sum of squares and of magnitudes; of their targets: sum and sum of squares"
        return (
            Measure("counts", 1, evaluation.rows, "held-out rows", whole=True),
            Measure("sums", 4, evaluation.rows * WORST_ERROR**2, errors),
            SITES,
        )

    def measure(self, y: Float32, scores: Float64, evaluation: EvaluationSpec) -> dict[str, Float64]:
        if len(y) < evaluation.minimum_cell:
            return {"counts": np.zeros(1), "sums": np.zeros(4), "sites": np.zeros(3)}
        truth = np.clip((y[:, 0].astype(np.float64) - self._low) / self._span, 0.0, 1.0)
        errors = np.clip((scores[:, 0] - self._low) / self._span - truth, -WORST_ERROR, WORST_ERROR)
        sums = np.array([np.sum(errors**2), np.abs(errors).sum(), truth.sum(), np.sum(truth**2)])
        site = min(1.0, float(np.sqrt(np.mean(errors**2))))
        return {"counts": np.array([float(len(y))]), "sums": sums, "sites": site_measure(site)}

    def check(self, totals: Mapping[str, Float64], slack: Slack) -> None:
        rows, off = float(totals["counts"][0]), slack["counts"] + slack["sums"]
        squares, absolute, total, total_squares = totals["sums"].tolist()
        moments(absolute / WORST_ERROR, squares / WORST_ERROR**2, rows, off, "errors as parts of the worst")
        moments(total, total_squares, rows, off, "the targets as parts of their range")
        check_sites(totals, slack)

    def summary(self, totals: Mapping[str, Float64]) -> Metrics:
        rows = float(totals["counts"][0])
        squares, absolute, total, total_squares = totals["sums"].tolist()
        spread = total_squares - total * total / rows if rows else 0.0
        sites = site_summary(totals, "rmse")
        in_units = {name: value * self._span if value is not None and name.startswith("rmse") else value for name, value in sites.items()}
        return {
            "samples": rows,
            "rmse": float(np.sqrt(squares / rows)) * self._span if rows else None,
            "mae": absolute / rows * self._span if rows else None,
            "r2": 1 - ratio if (ratio := share(squares, max(0.0, spread))) is not None else None,
            **in_units,
        }
