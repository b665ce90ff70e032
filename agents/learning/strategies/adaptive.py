"""Adaptive server optimisers (Reddi et al. 2021, algorithm 2): FedAdam and FedYogi differ in the second moment's rule only.

As in the paper there is no bias correction, and the second moment starts at tau^2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from defedbio.learning.strategies.port import Float64, Memory
from defedbio.spec import StrategySpec


class _Adaptive(ABC):
    memory: tuple[str, ...] = ("first_moment", "second_moment")

    def __init__(self, spec: StrategySpec) -> None:
        self._rate, self._beta1, self._beta2, self._tau = spec.server_learning_rate, spec.beta1, spec.beta2, spec.tau

    def apply(self, weights: Float64, mean: Float64, memory: Mapping[str, Float64], round_: int) -> tuple[Float64, Memory]:
        second = memory["second_moment"] if round_ else np.full_like(mean, self._tau * self._tau)
        first = np.add(np.multiply(memory["first_moment"], self._beta1), np.multiply(mean, 1.0 - self._beta1))
        second = self._second_moment(second, np.multiply(mean, mean))
        step = np.divide(np.multiply(first, self._rate), np.add(np.sqrt(second), self._tau))
        return np.add(weights, step), {"first_moment": first, "second_moment": second}

    @abstractmethod
    def _second_moment(self, old: Float64, square: Float64) -> Float64:
        """The new second moment from the old one and the squared mean update, [P] each."""


class FedAdam(_Adaptive):
    def _second_moment(self, old: Float64, square: Float64) -> Float64:
        return np.add(np.multiply(old, self._beta2), np.multiply(square, 1.0 - self._beta2))


class FedYogi(_Adaptive):
    def _second_moment(self, old: Float64, square: Float64) -> Float64:
        return np.subtract(old, np.multiply(np.multiply(square, 1.0 - self._beta2), np.sign(np.subtract(old, square))))
