"""Federated averaging (McMahan et al. 2017, algorithm 1) with a server learning rate (Reddi et al. 2021, algorithm 1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def apply(weights: npt.NDArray[np.float64], mean: npt.NDArray[np.float64], learning_rate: float) -> npt.NDArray[np.float64]:
    """weights + learning_rate * mean, float64 [P]: one IEEE multiplication and one addition an element, never fused."""
    step = np.multiply(mean, learning_rate)
    return np.add(weights, step)
