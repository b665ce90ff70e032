"""Federated averaging (McMahan et al. 2017, algorithm 1) with a server learning rate (Reddi et al. 2021, algorithm 1).

FedProx (Li et al. 2020, algorithm 2) and SCAFFOLD (Karimireddy et al. 2020, algorithm 1) train differently at the organisations and move
the weights alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from defedbio.learning.strategies.port import Float64, Memory
from defedbio.spec import StrategySpec


class FedAvg:
    memory: tuple[str, ...] = ()

    def __init__(self, spec: StrategySpec) -> None:
        self._rate = spec.server_learning_rate

    def apply(self, weights: Float64, mean: Float64, memory: Mapping[str, Float64], round_: int) -> tuple[Float64, Memory]:
        return np.add(weights, np.multiply(mean, self._rate)), {}
