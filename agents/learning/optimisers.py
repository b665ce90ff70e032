"""How minibatches move the weights: torch's own arithmetic, by its functions.

The first step of a `torch.optim.Optimizer` imports torch's compiler: a second or two for nothing, since nothing here is compiled. Its
functions do not, and give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from defedbio.spec import TrainingSpec

Tensors = Sequence[torch.nn.Parameter]
BETAS, EPSILON = (0.9, 0.999), 1e-8


class Optimiser(Protocol):
    def step(self) -> None:
        """Move the tensors by their gradients, which all of them have."""


class Sgd:
    def __init__(self, tensors: Tensors, training: TrainingSpec, rate: float) -> None:
        self._tensors, self._training, self._rate = tensors, training, rate
        self._momenta: list[torch.Tensor | None] = [None] * len(tensors)

    @torch.no_grad()
    def step(self) -> None:
        sgd(
            list(self._tensors),
            _gradients(self._tensors),
            self._momenta,
            weight_decay=self._training.weight_decay,
            momentum=self._training.momentum,
            lr=self._rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )


class AdamW:
    def __init__(self, tensors: Tensors, training: TrainingSpec, rate: float) -> None:
        self._tensors, self._training, self._rate = tensors, training, rate
        self._means = [torch.zeros_like(t, requires_grad=False) for t in tensors]
        self._squares = [torch.zeros_like(t, requires_grad=False) for t in tensors]
        self._steps = [torch.tensor(0.0) for _ in tensors]

    @torch.no_grad()
    def step(self) -> None:
        adamw(
            list(self._tensors),
            _gradients(self._tensors),
            self._means,
            self._squares,
            [],
            self._steps,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self._rate,
            weight_decay=self._training.weight_decay,
            eps=EPSILON,
            maximize=False,
        )


def open_optimiser(training: TrainingSpec, tensors: Tensors, rate: float) -> Optimiser:
    return (AdamW if training.optimizer == "adam" else Sgd)(tensors, training, rate)


def torch_optimiser(training: TrainingSpec, tensors: Tensors, rate: float) -> torch.optim.Optimizer:
    """The same as torch's object, which Opacus wraps."""
    if training.optimizer == "adam":
        return torch.optim.AdamW(tensors, lr=rate, betas=BETAS, eps=EPSILON, weight_decay=training.weight_decay)
    return torch.optim.SGD(tensors, lr=rate, momentum=training.momentum, weight_decay=training.weight_decay)


def _gradients(tensors: Tensors) -> list[torch.Tensor]:
    return [t.grad for t in tensors if t.grad is not None]
