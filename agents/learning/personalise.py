"""Fine-tuning the global model for one organisation, on its own premises, and an honest comparison with the global model.

Which layers to move and for how long is chosen by cross-validation against leaving the model as it is (Wang et al. 2019, "Federated
Evaluation of On-device Personalization"). A change must lower the loss on rows that it was not tuned on by more than one standard error
(Breiman et al. 1984, section 3.4.3), so that noise does not choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from defedbio.errors import InvalidData
from defedbio.learning.data.port import Dataset
from defedbio.learning.evaluation import evaluate
from defedbio.learning.local import Trainer
from defedbio.learning.models import Installed, build, weights_of
from defedbio.learning.parameters import parameters
from defedbio.learning.preprocessing import model_input, target_input
from defedbio.learning.state import GlobalState
from defedbio.learning.tasks import Metrics, open_task
from defedbio.spec import StudySpec

Moves = Literal["nothing", "intercept", "last layer", "all"]
MOVES: tuple[Moves, ...] = ("intercept", "last layer", "all")
STEPS = (10, 30, 100)
FOLDS = 5
LEAST_ROWS = 20


@dataclass(frozen=True)
class Choice:
    """What is tuned, and for how many minibatches; 0 leaves the global model."""

    moves: Moves = "nothing"
    steps: int = 0


@dataclass(frozen=True)
class Personalised:
    """`state` is the tuned model (the global one if that was better); losses and metrics are means over the held-out folds.

    The chosen fold metrics are a little optimistic, as the choice was made on the same folds; the global model's are not.
    """

    choice: Choice
    state: GlobalState
    global_loss: float
    loss: float
    global_metrics: Metrics
    metrics: Metrics


def personalise(spec: StudySpec, state: GlobalState, dataset: Dataset, seed: int, installed: Installed | None = None) -> Personalised:
    """Tune the model on the dataset, choosing by 5-fold cross-validation.

    Raises:
        InvalidData: with fewer than 20 rows, or if training diverges for every choice.
    """
    if len(dataset) < LEAST_ROWS:
        raise InvalidData(f"fine-tuning needs at least {LEAST_ROWS} rows, and the data has {len(dataset)}")
    folds = _folds(len(dataset), seed)
    losses: dict[Choice, list[float]] = {Choice(): [_loss(spec, state, dataset.take(out), installed) for out in folds]}
    for fold, out in enumerate(folds):
        rest = dataset.take(np.setdiff1d(np.arange(len(dataset)), out))
        for moves in MOVES:
            for choice, tuned in _tuned(spec, state, rest, moves, seed + fold, installed):
                losses.setdefault(choice, []).append(_loss(spec, tuned, dataset.take(out), installed))
    whole = {choice: float(np.mean(found)) for choice, found in losses.items() if len(found) == len(folds)}
    best = min(whole, key=whole.__getitem__)
    gains = np.array(losses[Choice()]) - np.array(losses[best])
    if gains.mean() <= gains.std(ddof=1) / sqrt(FOLDS):
        best = Choice()
    before, after = [], []
    for fold, out in enumerate(folds):
        rest = dataset.take(np.setdiff1d(np.arange(len(dataset)), out))
        before.append(evaluate(spec, state, dataset.take(out), installed))
        after.append(evaluate(spec, _apply(spec, state, rest, best, seed + fold, installed), dataset.take(out), installed))
    tuned = _apply(spec, state, dataset, best, seed, installed)
    return Personalised(best, tuned, whole[Choice()], whole[best], _mean(before), _mean(after))


def _apply(spec: StudySpec, state: GlobalState, dataset: Dataset, choice: Choice, seed: int, installed: Installed | None) -> GlobalState:
    if choice.moves == "nothing":
        return state
    return next(tuned for found, tuned in _tuned(spec, state, dataset, choice.moves, seed, installed) if found == choice)


def _tuned(
    spec: StudySpec, state: GlobalState, dataset: Dataset, moves: Moves, seed: int, installed: Installed | None
) -> Sequence[tuple[Choice, GlobalState]]:
    """The model after each number of `STEPS`; those before training diverged, if it does."""
    names = [p.name for p in parameters(spec)]
    tensors = {"intercept": names[-1:], "last layer": names[-2:], "all": names}[moves]
    trainer = Trainer(spec, state, dataset, seed, installed=installed, only=frozenset(tensors))
    found, done = [], 0
    for steps in STEPS:
        try:
            trainer.run(steps - done)
        except InvalidData:
            break
        done = steps
        found.append((Choice(moves, steps), replace(state, weights=weights_of(trainer.module, spec))))
    return found


def _loss(spec: StudySpec, state: GlobalState, dataset: Dataset, installed: Installed | None) -> float:
    module = build(spec, state.weights, installed).eval()
    with torch.inference_mode():
        outputs = module(torch.from_numpy(model_input(spec, state.scaler, dataset.x)))
        return float(open_task(spec).loss(outputs, torch.from_numpy(target_input(spec, state.scaler, dataset.y))))


def _folds(rows: int, seed: int) -> list[npt.NDArray[np.int64]]:
    shuffled = np.random.Generator(np.random.Philox(seed)).permutation(rows)
    return [np.sort(fold) for fold in np.array_split(shuffled, FOLDS)]


def _mean(metrics: Sequence[Metrics]) -> Metrics:
    """Means over folds; None where no fold has the metric. `samples` are summed."""
    result: Metrics = {}
    for name in metrics[0]:
        values = [m[name] for m in metrics]
        there = [v for v in values if v is not None]
        result[name] = sum(there) if name == "samples" else (float(np.mean(there)) if there else None)
    return result
