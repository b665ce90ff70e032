"""What a learning task must offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from defedbio.learning.possible import Slack
from defedbio.spec import EvaluationSpec

if TYPE_CHECKING:
    import torch

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Measure:
    """`length` numbers in 0..`bound` that one organisation adds to the encrypted evaluation; `whole` if they count.

    `what` they are, for those who are to consent that their sum is opened; `withheld` if those of fewer rows than the minimum cell are
    sent as 0.
    """

    name: str
    length: int
    bound: float
    what: str
    whole: bool = False
    withheld: bool = True


@dataclass(frozen=True)
class Aim:
    """The metric that a study goes by, and its direction."""

    metric: str
    higher_is_better: bool


class Task(Protocol):
    """Labels y are float32 [n, k] as the study's task declares them, model outputs [n, o], scores float64 [n, o]."""

    aim: Aim

    def loss(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean loss (scalar, differentiable) over the labels that are there; 0 where none is."""

    def scores(self, outputs: Float64) -> Float64:
        """What users read: probabilities, log-hazards, or values on the scale of `outputs`."""

    def metrics(self, y: Float32, scores: Float64) -> Metrics:
        """How good scores are; `samples` counts rows, None stands where a metric has no meaning. n is at least 1."""

    def measures(self, evaluation: EvaluationSpec) -> tuple[Measure, ...]:
        """The sufficient statistics of the encrypted evaluation; `sites` is always one of them."""

    def measure(self, y: Float32, scores: Float64, evaluation: EvaluationSpec) -> dict[str, Float64]:
        """One organisation's part of every measure."""

    def check(self, totals: Mapping[str, Float64], slack: Slack) -> None:
        """Refuse sums, each at least 0, that honest organisations' measures cannot add up to.

        Raises:
            ImpossibleSums: with the reason.
        """

    def summary(self, totals: Mapping[str, Float64]) -> Metrics:
        """Metrics from the measures' sums over all organisations."""
