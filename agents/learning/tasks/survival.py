"""Cox proportional hazards: the partial likelihood of one organisation's own risk sets, log-hazards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from defedbio.errors import InvalidInput
from defedbio.learning.possible import Slack, at_most
from defedbio.learning.tasks.port import Aim, Float32, Float64, Measure, Metrics
from defedbio.learning.tasks.shared import SITES, check_sites, fraction, share, site_measure, site_summary
from defedbio.spec import EvaluationSpec

if TYPE_CHECKING:
    import torch


class SurvivalTask:
    """Risk sets never span organisations: the model is stratified by site, each with a baseline hazard of its own."""

    aim = Aim("c_index", True)

    def loss(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Negative log partial likelihood an event (Cox 1975), tied times after Breslow 1974; 0 for rows without events."""
        import torch

        order = torch.argsort(y[:, 0], descending=True, stable=True)
        hazard, time, event = outputs[order, 0], y[order, 0], y[order, 1]
        at_risk = torch.logcumsumexp(hazard, dim=0)
        # Everyone with the same time is at risk together: take the sum at the last of them.
        last = torch.searchsorted(-time, -time, right=True) - 1
        return ((at_risk[last] - hazard) * event).sum() / event.sum().clamp(min=1)

    def scores(self, outputs: Float64) -> Float64:
        return outputs

    def metrics(self, y: Float32, scores: Float64) -> Metrics:
        """Harrell's C-index (Harrell et al. 1982); None when no pair can be compared.

        Raises:
            InvalidInput: if there are no rows, or the lengths differ.
        """
        if not len(y) or len(y) != len(scores):
            raise InvalidInput("metrics need as many scores as labels, and at least one")
        comparable, concordant, tied = concordance(y, scores[:, 0])
        return {"samples": len(y), "events": float(y[:, 1].sum()), "c_index": share(concordant + tied / 2, comparable)}

    def measures(self, evaluation: EvaluationSpec) -> tuple[Measure, ...]:
        rows = evaluation.rows
        pairs = "pairs of held-out rows that can be compared, that the model orders right, that it ties"
        return (
            Measure("counts", 2, rows, "held-out rows and their events", whole=True),
            Measure("pairs", 3, rows * rows / 2, pairs, whole=True),
            SITES,
        )

    def measure(self, y: Float32, scores: Float64, evaluation: EvaluationSpec) -> dict[str, Float64]:
        events = float(y[:, 1].sum())
        if min(events, len(y)) < evaluation.minimum_cell:
            return {"counts": np.zeros(2), "pairs": np.zeros(3), "sites": np.zeros(3)}
        pairs = np.array(concordance(y, scores[:, 0]))
        site = share(pairs[1] + pairs[2] / 2, pairs[0])
        return {"counts": np.array([len(y), events]), "pairs": pairs, "sites": site_measure(site)}

    def check(self, totals: Mapping[str, Float64], slack: Slack) -> None:
        rows, events = totals["counts"].tolist()
        comparable, concordant, tied = totals["pairs"].tolist()
        off = slack["counts"]
        at_most(events, rows, 2 * off, "more events than rows")
        at_most(comparable, (events + off) * (rows + off), slack["pairs"], "more comparable pairs than so many events and rows have")
        at_most(concordant + tied, comparable, 3 * slack["pairs"], "more concordant and tied pairs than comparable ones")
        check_sites(totals, slack)

    def summary(self, totals: Mapping[str, Float64]) -> Metrics:
        rows, events = totals["counts"].tolist()
        comparable, concordant, tied = totals["pairs"].tolist()
        c_index = fraction(concordant + tied / 2, comparable)
        return {"samples": rows, "events": events, "c_index": c_index, **site_summary(totals, "c_index")}


def concordance(y: Float32, hazard: Float64) -> tuple[float, float, float]:
    """(comparable, concordant, tied) pairs: i had the event before j's time, or at it while j was censored; concordant if hazard i > j."""
    time, event = y[:, 0], y[:, 1] > 0.5
    comparable = concordant = tied = 0
    for i in np.flatnonzero(event):
        later = (time > time[i]) | ((time == time[i]) & ~event)
        comparable += int(later.sum())
        concordant += int((hazard[later] < hazard[i]).sum())
        tied += int((hazard[later] == hazard[i]).sum())
    return float(comparable), float(concordant), float(tied)
