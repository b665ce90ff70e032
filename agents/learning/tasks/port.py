"""What a learning task must offer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch


@dataclass(frozen=True)
class Metrics:
    """`roc_auc` and `balanced_accuracy` are None when the rows hold one class only; `log_loss` is in nats."""

    samples: int
    roc_auc: float | None
    accuracy: float
    balanced_accuracy: float | None
    log_loss: float

    def to_dict(self) -> dict[str, float | int | None]:
        return asdict(self)


class Task(Protocol):
    def loss(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean loss (scalar, differentiable) of logits [n] against labels float32 [n]."""

    def scores(self, logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What users read, float64 [n], from logits [n]."""

    def metrics(self, y: npt.NDArray[np.float32], scores: npt.NDArray[np.float64]) -> Metrics:
        """How good scores [n] are against labels [n]; n at least 1."""
