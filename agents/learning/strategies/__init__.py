"""Server strategies: how the weighted mean of the updates moves the global weights."""

from __future__ import annotations

from collections.abc import Callable

from defedbio.learning.strategies.adaptive import FedAdam, FedYogi
from defedbio.learning.strategies.fedavg import FedAvg
from defedbio.learning.strategies.fedavgm import FedAvgM
from defedbio.learning.strategies.port import Memory, Strategy
from defedbio.learning.strategies.scaffold import Scaffold
from defedbio.spec import StrategySpec

__all__ = ["Memory", "Strategy", "open_strategy"]

_STRATEGIES: dict[str, Callable[[StrategySpec], Strategy]] = {
    "fedavg": FedAvg,
    "fedprox": FedAvg,
    "fedavgm": FedAvgM,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "scaffold": Scaffold,
}


def open_strategy(spec: StrategySpec) -> Strategy:
    """The study's strategy."""
    return _STRATEGIES[spec.kind](spec)
