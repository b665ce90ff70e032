"""What a server strategy must offer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Memory = dict[str, Float64]


class Strategy(Protocol):
    """Deterministic: every element by itself, one IEEE operation after another, so that every node gets the same bytes (P6).

    `memory` names the vectors, float64 [P], that it keeps from round to round; they start at zero and travel with the model.
    """

    memory: tuple[str, ...]

    def apply(self, weights: Float64, mean: Float64, memory: Mapping[str, Float64], round_: int) -> tuple[Float64, Memory]:
        """New weights and memory, from the mean update [P] of training round `round_`, counted from 0."""
