"""Server strategies: how the weighted mean of the updates moves the global weights."""

from __future__ import annotations

from collections.abc import Callable

from agents.learning.strategies.adaptive import FedAdam, FedYogi
from agents.learning.strategies.fedavg import FedAvg
from agents.learning.strategies.fedavgm import FedAvgM
from agents.learning.strategies.port import Memory, Strategy
from agents.learning.strategies.scaffold import Scaffold
from agents.spec import StrategySpec

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
