"""What one organisation computes from its own data: counts, moments, measures of the global model, an update of its weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from defedbio.errors import InvalidData, InvalidInput
from defedbio.learning import statistics
from defedbio.learning.data.port import Dataset
from defedbio.learning.evaluation import predict
from defedbio.learning.global_update import check_step
from defedbio.learning.models import Installed, build, weights_of
from defedbio.learning.optimisers import open_optimiser, torch_optimiser
from defedbio.learning.parameters import count, flatten, parameters, unflatten
from defedbio.learning.plan import EVALUATION, Step
from defedbio.learning.preprocessing import model_input, moments, target_input
from defedbio.learning.state import GlobalState
from defedbio.learning.strategies.scaffold import own_control
from defedbio.learning.tasks import open_task
from defedbio.spec import RecordPrivacy, StudySpec

Float64 = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Contribution:
    """`vectors` are float64, one a segment of the step in its order, neither clipped nor quantised; `weight` is 1..weight_cap.

    `keep` is what the organisation needs in its next round once this one is finalised with it in the set (SCAFFOLD's own variate).
    """

    vectors: tuple[Float64, ...]
    weight: int
    keep: Mapping[str, Float64] = field(default_factory=dict)


def contribute(
    spec: StudySpec,
    step: Step,
    state: GlobalState,
    dataset: Dataset,
    seed: int,
    progress: Progress | None = None,
    kept: Mapping[str, Float64] | None = None,
    installed: Installed | None = None,
) -> Contribution:
    """One organisation's part of a step, before clipping and encryption.

    The weight is the number of training rows, at most the study's cap: with `uniform` weighting the cap is 1, so every organisation weighs
    the same however many rows it has, and moments are means of the organisations' means.

    Args:
        seed: at least 0; chooses the minibatches. Use a new one for every attempt (P7).
        progress: called with (done, total) after every minibatch; what is not training is one unit.
        step: with the clip norms of `state` (`clipping.at`). kept: the last finalised contribution's `keep`.
        installed: the custom modules that the operator allowed.

    Raises:
        InvalidData: if training diverges (a loss or weight that is not finite), or too few rows are left to train on.
        InvalidInput: if the data does not have the study's features, or the state is not the one before `step`.
    """
    check_step(spec, step, state)
    if seed < 0:
        raise InvalidInput("the training seed must not be negative")
    if dataset.x.shape[1] != spec.features.width or dataset.y.shape[1] != len(spec.task.columns):
        raise InvalidInput(f"the study has {spec.features.width} features, the data {dataset.x.shape[1]}, or its labels differ")
    training, held_out = hold_out(spec, dataset)
    vectors: dict[str, Float64] = {}
    keep: dict[str, Float64] = {}
    if step.kind == "statistics":
        vectors |= {f"{statistics.PREFIX}{name}": found for name, found in statistics.counts(spec, dataset.x, dataset.y).items()}
    elif step.kind == "moments":
        vectors["moments"] = moments(spec, training.x, training.y)
    elif step.kind == "train":
        trainer = Trainer(spec, state, training, seed, step.training_round, installed)
        vectors["update"], keep = _update(trainer, step, kept or {}, progress)
        if keep:
            vectors["control"] = keep["control"] - (kept or {}).get("control", np.zeros(count(spec)))
    if spec.evaluation is not None and step.measures:
        scores = predict(spec, state, held_out.x, installed) if held_out is not None else None
        vectors |= {f"{EVALUATION}{name}": part for name, part in _measure(spec, held_out, scores).items()}
    if step.kind != "train" and progress is not None:
        progress(1, 1)
    return Contribution(tuple(vectors[s.name] for s in step.segments), min(len(training), step.weight_cap), keep)


def hold_out(spec: StudySpec, dataset: Dataset) -> tuple[Dataset, Dataset | None]:
    """The rows to train on, and those that the study's evaluation holds out (None if none): the same ones in every round.

    The choice depends on the study's seed and the number of rows only. A site with fewer than 3 rows holds none out.
    """
    rows = len(dataset)
    if spec.evaluation is None or rows < 3:
        return dataset, None
    out = min(max(1, round(rows * spec.evaluation.fraction)), spec.evaluation.rows, rows - 1)
    shuffled = np.random.Generator(np.random.Philox([spec.seed, rows])).permutation(rows)
    return dataset.take(np.sort(shuffled[out:])), dataset.take(np.sort(shuffled[:out]))


def use_threads(threads: int) -> None:
    """Let training in this process use so many cores (at least 1).

    Raises:
        InvalidInput: if it is below 1.
    """
    if threads < 1:
        raise InvalidInput("training needs at least one thread")
    torch.set_num_threads(threads)


class Trainer:
    """Minibatch training of the study's model on one dataset, from a global state, with a fresh optimiser.

    `only` names the tensors to move; all of them when it is None. `round_` is the training round, for the learning rate's schedule.
    """

    def __init__(
        self,
        spec: StudySpec,
        state: GlobalState,
        dataset: Dataset,
        seed: int,
        round_: int = 0,
        installed: Installed | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        self.spec, self.state, self.dataset, self._seed = spec, state, dataset, seed
        self.rate = spec.training.learning_rate * spec.training.schedule.at(round_, spec.rounds)
        self.module = build(spec, state.weights, installed)
        own = dict(self.module.named_parameters())
        self._names = [p.name for p in parameters(spec) if only is None or p.name in only]
        self._tensors = [own[name] for name in self._names]
        self._start = [t.detach().clone() for t in self._tensors]
        self._optimiser = open_optimiser(spec.training, self._tensors, self.rate)
        self._batches = _batches(len(dataset), spec.training.batch_size, np.random.Generator(np.random.Philox(seed)))
        self._task = open_task(spec)
        self._y = target_input(spec, state.scaler, dataset.y)

    def run(self, steps: int, correction: Float64 | None = None, progress: Progress | None = None) -> None:
        """`steps` minibatches; `correction`, float64 [P], is added to every gradient (SCAFFOLD's c - c_i).

        Raises:
            InvalidData: if a loss or weight is not finite.
        """
        spec = self.spec
        pull = spec.strategy.mu if spec.strategy.kind == "fedprox" else 0.0
        drift = unflatten(correction, parameters(spec)) if correction is not None else None
        self.module.train()
        for done in range(1, steps + 1):
            rows = next(self._batches)
            x = torch.from_numpy(model_input(spec, self.state.scaler, self.dataset.x[rows]))
            loss = self._task.loss(self.module(x), torch.from_numpy(self._y[rows]))
            if not torch.isfinite(loss):
                raise diverged(done, steps)
            for tensor in self._tensors:
                if tensor.grad is not None:
                    tensor.grad.zero_()
            loss.backward()  # type: ignore[no-untyped-call]
            for i, tensor in enumerate(self._tensors):
                gradient = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
                if pull:
                    gradient = gradient + pull * (tensor.detach() - self._start[i])
                if drift is not None:
                    gradient = gradient + torch.from_numpy(drift[self._names[i]])
                tensor.grad = gradient
            self._optimiser.step()
            if progress is not None:
                progress(done, steps)
        if not all(bool(torch.isfinite(t).all()) for t in self._tensors):
            raise diverged(steps, steps)

    def run_privately(self, privacy: RecordPrivacy, progress: Progress | None = None) -> None:
        """The study's minibatches of DP-SGD: each row's gradient clipped, Gaussian noise on their sum.

        Raises:
            InvalidData: if a loss or weight is not finite. InvalidSpec: if the module mixes rows (batch normalisation).
        """
        # Here and not above: Opacus takes a second to import.
        from defedbio.learning.privacy.record import private_steps

        private_steps(
            self.module,
            torch_optimiser(self.spec.training, self._tensors, self.rate),
            self._task.loss,
            model_input(self.spec, self.state.scaler, self.dataset.x),
            self._y,
            steps=self.spec.training.steps,
            sample_rate=privacy.sample_rate,
            noise_multiplier=privacy.noise_multiplier,
            max_grad_norm=privacy.max_grad_norm,
            seed=self._seed,
            progress=progress,
        )

    def moved(self) -> Float64:
        """New weights minus old, float64 [P]."""
        order = parameters(self.spec)
        return flatten(weights_of(self.module, self.spec), order) - flatten(self.state.weights, order)


def _update(trainer: Trainer, step: Step, kept: Mapping[str, Float64], progress: Progress | None) -> tuple[Float64, dict[str, Float64]]:
    spec = trainer.spec
    if isinstance(spec.privacy, RecordPrivacy):
        trainer.run_privately(spec.privacy, progress)
        return trainer.moved(), {}
    if spec.strategy.kind != "scaffold":
        trainer.run(spec.training.steps, progress=progress)
        return trainer.moved(), {}
    control, own = trainer.state.extras["memory.control"], kept.get("control", np.zeros(count(spec)))
    trainer.run(spec.training.steps, control - own, progress)
    update = trainer.moved()
    difference = own_control(own, control, update, spec.training.steps, trainer.rate) - own
    # Clipped here and not only when it is encoded: what the server adds must be what this organisation keeps.
    norm = float(np.linalg.norm(difference))
    largest = next(float(s.quantisation.clip_norm or 0) for s in step.segments if s.name == "control")
    return update, {"control": own + difference * min(1.0, largest / norm if norm else 1.0)}


def _measure(spec: StudySpec, held_out: Dataset | None, scores: Float64 | None) -> dict[str, Float64]:
    assert spec.evaluation is not None
    task = open_task(spec)
    if held_out is None or scores is None:
        return {m.name: np.zeros(m.length) for m in task.measures(spec.evaluation)}
    return task.measure(held_out.y, scores, spec.evaluation)


def _batches(rows: int, size: int, generator: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Endless minibatches: every pass visits the rows once in a new order; a pass's remainder smaller than a batch is dropped."""
    size = min(size, rows)
    while True:
        shuffled = generator.permutation(rows)
        for start in range(0, rows - size + 1, size):
            yield shuffled[start : start + size]


def diverged(step: int, steps: int) -> InvalidData:
    return InvalidData(
        f"local training diverged at minibatch {step} of {steps}: a loss or weight is not finite",
        "check the data with the study's data check; if it passes, the study's learning rate is too high for it",
    )
