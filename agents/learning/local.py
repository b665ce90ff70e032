"""What one organisation computes from its own data: the moments of its features, or an update of the global weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from agents.errors import InvalidData, InvalidInput
from agents.learning.data.port import Dataset
from agents.learning.models import forward
from agents.learning.parameters import flatten, parameters
from agents.learning.plan import Step
from agents.learning.preprocessing import model_input, moments
from agents.learning.server import check_step
from agents.learning.state import GlobalState
from agents.learning.tasks import open_task
from agents.spec import StudySpec

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Contribution:
    """`vector` is float64 [step.length], neither clipped nor quantised; `weight` is 1..quantisation.weight_cap."""

    vector: npt.NDArray[np.float64]
    weight: int


def contribute(
    spec: StudySpec, step: Step, state: GlobalState, dataset: Dataset, seed: int, progress: Progress | None = None
) -> Contribution:
    """One organisation's part of a step, before clipping and encryption.

    The weight is the number of rows, at most the study's cap: with `uniform` weighting the cap is 1, so every organisation weighs the
    same however many rows it has, and moments are means of the organisations' means.

    Args:
        seed: at least 0; chooses the minibatches. Use a new one for every attempt (P7).
        progress: called with (done, total) after every minibatch; moments are one unit.

    Raises:
        InvalidData: if training diverges (a loss or weight that is not finite).
        InvalidInput: if the data does not have the study's features, or the state is not the one before `step`.
    """
    check_step(spec, step, state)
    if seed < 0:
        raise InvalidInput("the training seed must not be negative")
    if dataset.x.shape[1] != spec.features.width:
        raise InvalidInput(f"the study has {spec.features.width} features, the data {dataset.x.shape[1]}")
    weight = min(len(dataset), step.quantisation.weight_cap)
    if step.kind == "moments":
        vector = moments(spec.features, dataset.x)
        if progress is not None:
            progress(1, 1)
        return Contribution(vector, weight)
    return Contribution(_train(spec, state, dataset, seed, progress), weight)


def use_threads(count: int) -> None:
    """Let training in this process use `count` cores (at least 1).

    Raises:
        InvalidInput: if the count is below 1.
    """
    if count < 1:
        raise InvalidInput("training needs at least one thread")
    torch.set_num_threads(count)


def _train(spec: StudySpec, state: GlobalState, dataset: Dataset, seed: int, progress: Progress | None) -> npt.NDArray[np.float64]:
    """New weights minus old, float64 [P], after `steps` minibatches of SGD with a fresh optimiser."""
    training, order, task, logits = spec.training, parameters(spec), open_task(spec), forward(spec)
    tensors = [torch.tensor(state.weights[p.name], dtype=torch.float32, requires_grad=True) for p in order]
    optimiser = torch.optim.SGD(tensors, lr=training.learning_rate, momentum=training.momentum, weight_decay=training.weight_decay)
    batches = _batches(len(dataset), training.batch_size, np.random.Generator(np.random.Philox(seed)))
    for done in range(1, training.steps + 1):
        rows = next(batches)
        x = torch.from_numpy(model_input(spec.features, state.scaler, dataset.x[rows]))
        loss = task.loss(logits(tensors, x), torch.from_numpy(dataset.y[rows]))
        if not torch.isfinite(loss):
            raise _diverged(done, training.steps)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if progress is not None:
            progress(done, training.steps)
    new = {p.name: t.detach().numpy() for p, t in zip(order, tensors, strict=True)}
    vector = flatten(new, order) - flatten(state.weights, order)
    if not np.isfinite(vector).all():
        raise _diverged(training.steps, training.steps)
    return vector


def _batches(rows: int, size: int, generator: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Endless minibatches: every pass visits the rows once in a new order; a pass's remainder smaller than a batch is dropped."""
    size = min(size, rows)
    while True:
        shuffled = generator.permutation(rows)
        for start in range(0, rows - size + 1, size):
            yield shuffled[start : start + size]


def _diverged(step: int, steps: int) -> InvalidData:
    return InvalidData(
        f"local training diverged at minibatch {step} of {steps}: a loss or weight is not finite",
        "check the data with the study's data check; if it passes, the study's learning rate is too high for it",
    )
