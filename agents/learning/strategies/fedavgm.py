"""Server momentum (Hsu, Qi and Brown 2019, section 4.2): v = momentum * v + mean; weights + rate * v."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from defedbio.learning.strategies.port import Float64, Memory
from defedbio.spec import StrategySpec


class FedAvgM:
    memory: tuple[str, ...] = ("momentum",)

    def __init__(self, spec: StrategySpec) -> None:
        self._rate, self._momentum = spec.server_learning_rate, spec.momentum

    def apply(self, weights: Float64, mean: Float64, memory: Mapping[str, Float64], round_: int) -> tuple[Float64, Memory]:
        velocity = np.add(np.multiply(memory["momentum"], self._momentum), mean)
        return np.add(weights, np.multiply(velocity, self._rate)), {"momentum": velocity}
