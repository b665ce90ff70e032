"""What everybody does with the opened sum: the next global state, byte for byte the same on every node (P6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from defedbio.errors import InvalidInput
from defedbio.learning import clipping
from defedbio.learning.evaluation_sums import summary
from defedbio.learning.parameters import flatten, parameters, unflatten
from defedbio.learning.plan import Step
from defedbio.learning.preprocessing import Scaler, check_moments
from defedbio.learning.quantisation import rotated_ranges
from defedbio.learning.state import GlobalState, digest
from defedbio.learning.strategies import open_strategy
from defedbio.learning.strategies.scaffold import server_control
from defedbio.learning.tasks import open_task
from defedbio.spec import StudySpec

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """What was opened, float64 by segment name: the weighted mean of weighted segments, the sum of the others; the total weight."""

    vectors: Mapping[str, Float64]
    weight: int

    @classmethod
    def of(cls, step: Step, vectors: Iterable[Float64], weight: int) -> Sums:
        """Of the decoded segments of a step, in their order."""
        return cls({segment.name: vector for segment, vector in zip(step.segments, vectors, strict=True)}, weight)


def check_step(spec: StudySpec, step: Step, state: GlobalState) -> None:
    """Refuse to apply a step to a state that it does not follow.

    Raises:
        InvalidInput: if the state is of another study or at another step.
    """
    if state.spec_digest != digest(spec):
        raise InvalidInput("the model belongs to another study")
    if state.step != step.index:
        raise InvalidInput(f"step {step.index} does not follow a model with {state.step} finalised steps")


def finalise(spec: StudySpec, step: Step, state: GlobalState, sums: Sums) -> GlobalState:
    """The state after `step`.

    Raises:
        InvalidInput: if the sums are not those of the step's segments or not finite, the weight is below 1, the moments are none that
            data can have, or the state is not the one before `step`.
    """
    check_step(spec, step, state)
    if sums.weight < 1:
        raise InvalidInput("the total weight must be at least 1")
    if set(sums.vectors) != {s.name for s in step.segments}:
        raise InvalidInput("the sums are not those of the step")
    vectors = {name: np.asarray(part, dtype=np.float64) for name, part in sums.vectors.items()}
    for segment in step.segments:
        if vectors[segment.name].shape != (segment.length,) or not np.isfinite(vectors[segment.name]).all():
            raise InvalidInput(f"the {segment.name} must be {segment.length} finite numbers")
    extras = {**state.extras, **{name: part for name, part in vectors.items() if name in state.extras}}
    after = replace(state, step=step.index + 1, extras=extras)
    if step.kind == "moments":
        quantisation = step.segments[0].quantisation
        check_moments(spec, vectors["moments"], spec.seats * quantisation.weight_cap / (quantisation.scale * sums.weight))
        return replace(after, scaler=Scaler.from_moments(vectors["moments"], spec.features.nullable))
    if step.kind == "train":
        return _stopping(spec, step, _clipped(spec, step, sums, _trained(spec, step, after, vectors)))
    return after


def _trained(spec: StudySpec, step: Step, state: GlobalState, vectors: Mapping[str, Float64]) -> GlobalState:
    order, strategy, extras = parameters(spec), open_strategy(spec.strategy), dict(state.extras)
    memory = {name: extras[f"memory.{name}"] for name in strategy.memory}
    moved, memory = strategy.apply(flatten(state.weights, order), vectors["update"], memory, step.training_round)
    if "control" in vectors:
        memory = {"control": server_control(extras["memory.control"], vectors["control"], spec.seats)}
    extras |= {f"memory.{name}": vector for name, vector in memory.items()}
    return replace(state, weights=unflatten(moved, order), extras=extras)


def _clipped(spec: StudySpec, step: Step, sums: Sums, state: GlobalState) -> GlobalState:
    """The clip norms of the next training round."""
    extras = dict(state.extras)
    for name, norms in rotated_ranges(spec).items():
        weighted = next(s for s in step.segments if s.name == name).quantisation.weighted
        shares = sums.weight / step.weight_cap if weighted else float(spec.seats)
        mean = np.asarray(sums.vectors[name], dtype=np.float64)
        extras[clipping.PREFIX + name] = clipping.follow(
            norms, extras[clipping.PREFIX + name], mean if weighted else np.divide(mean, shares), shares
        )
    return replace(state, extras=extras)


def _stopping(spec: StudySpec, step: Step, state: GlobalState) -> GlobalState:
    """Early stopping: the state with the best metric so far, and whether patience is out.

    A round whose metric is missing or unusable changes nothing: otherwise one organisation could end the training by spoiling sums.
    """
    rule = spec.evaluation.early_stopping if spec.evaluation is not None else None
    aim = open_task(spec).aim
    measured = summary(spec, state).values[aim.metric] if rule is not None else None
    if rule is None or measured is None:
        return state
    best, since, over, known = state.extras["stopping"].tolist()
    gain = measured - best if aim.higher_is_better else best - measured
    better = not known or gain > rule.min_delta
    since = 0.0 if better else since + 1
    stopping = np.array([measured if better else best, since, float(over or since >= rule.patience), 1.0])
    return replace(state, extras={**state.extras, "stopping": stopping})
