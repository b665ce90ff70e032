"""How a study learns: model, local training, server strategy, evaluation and statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi
from typing import Any

from defedbio.errors import InvalidSpec


@dataclass(frozen=True)
class ParameterSpec:
    """One tensor of a module that organisations installed themselves; first values are uniform in ±`bound`, or all `fill`."""

    name: str
    shape: tuple[int, ...]
    bound: float = 0.0
    fill: float = 0.0


@dataclass(frozen=True)
class ModelSpec:
    """`hidden` is empty for a linear model. `channels`, `kernel` and `stride` are a 1-D CNN's; `sha256` and `tensors` a custom module's."""

    kind: str
    hidden: tuple[int, ...] = ()
    normalisation: str = "none"
    channels: tuple[int, ...] = ()
    kernel: int = 0
    stride: int = 1
    module: str = ""
    sha256: str = ""
    tensors: tuple[ParameterSpec, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """The learning rate's factor by training round, counted from 0 of `rounds`."""

    kind: str = "constant"
    factor: float = 1.0
    every: int = 1
    floor: float = 0.0

    def at(self, round_: int, rounds: int) -> float:
        """`step`: factor^(round // every). `cosine`: from 1 to `floor` by half a cosine (Loshchilov and Hutter 2017, eq. 5, one cycle)."""
        if self.kind == "step":
            return float(self.factor ** (round_ // self.every))
        if self.kind == "cosine":
            return self.floor + (1 - self.floor) * (1 + cos(pi * round_ / max(1, rounds))) / 2
        return 1.0


@dataclass(frozen=True)
class TrainingSpec:
    learning_rate: float
    steps: int
    batch_size: int
    momentum: float = 0.0
    weight_decay: float = 0.0
    optimizer: str = "sgd"
    schedule: Schedule = Schedule()


@dataclass(frozen=True)
class StrategySpec:
    """`mu` is FedProx's, `momentum` FedAvgM's, `beta1`, `beta2` and `tau` the adaptive strategies'."""

    kind: str = "fedavg"
    server_learning_rate: float = 1.0
    mu: float = 0.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3


@dataclass(frozen=True)
class EarlyStopping:
    """Training ends when the evaluation's first metric has not improved by `min_delta` for `patience` rounds."""

    patience: int
    min_delta: float = 0.0


@dataclass(frozen=True)
class EvaluationSpec:
    """Each organisation holds out `fraction` of its rows, at most `rows`, and measures the global model on them each round, encrypted.

    `bins` are those of the score histograms; a site with fewer than `minimum_cell` rows of a class contributes nothing of it.
    """

    fraction: float = 0.2
    rows: int = 2000
    bins: int = 64
    minimum_cell: int = 5
    early_stopping: EarlyStopping | None = None


@dataclass(frozen=True)
class StatisticsSpec:
    """Histograms of `bins` over each declared range, missing counts and label counts; a site's count under `minimum_cell` is sent as 0.

    With `association` also score tests of every variant with the label.
    """

    bins: int = 16
    rows: int = 1_000_000
    minimum_cell: int = 5
    association: bool = False


def model_from(document: Mapping[str, Any]) -> ModelSpec:
    fields = dict(document)
    for name in ("hidden", "channels"):
        fields[name] = tuple(fields.get(name, ()))
    fields["tensors"] = tuple(ParameterSpec(**t | {"shape": tuple(t["shape"])}) for t in fields.get("tensors", ()))
    names = [t.name for t in fields["tensors"]]
    if len(set(names)) != len(names):
        raise InvalidSpec("the model's tensors must have different names")
    return ModelSpec(**fields)


def training_from(document: Mapping[str, Any]) -> TrainingSpec:
    return TrainingSpec(**{**document, "schedule": Schedule(**document.get("schedule", {}))})


def evaluation_from(document: Mapping[str, Any]) -> EvaluationSpec:
    stopping = document.get("early_stopping")
    return EvaluationSpec(**{**document, "early_stopping": EarlyStopping(**stopping) if stopping else None})
