"""What everybody does with the opened sum: the next global state, byte for byte the same on every node (P6)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agents.errors import InvalidInput
from agents.learning.parameters import flatten, parameters, unflatten
from agents.learning.plan import Step
from agents.learning.preprocessing import Scaler
from agents.learning.state import GlobalState, digest
from agents.learning.strategies import fedavg
from agents.spec import StudySpec


def check_step(spec: StudySpec, step: Step, state: GlobalState) -> None:
    """Refuse to apply a step to a state that it does not follow.

    Raises:
        InvalidInput: if the state is of another study or at another step.
    """
    if state.spec_digest != digest(spec):
        raise InvalidInput("the model belongs to another study")
    if state.step != step.index:
        raise InvalidInput(f"step {step.index} does not follow a model with {state.step} finalised steps")


def finalise(spec: StudySpec, step: Step, state: GlobalState, mean: npt.NDArray[np.float64], weight: int) -> GlobalState:
    """The state after `step`.

    Args:
        mean: float64 [step.length], the decoded weighted mean of the contributions.
        weight: their total weight, at least 1.

    Raises:
        InvalidInput: if the mean has the wrong length or is not finite, the weight is below 1, or the state is not the one before `step`.
    """
    check_step(spec, step, state)
    if weight < 1:
        raise InvalidInput("the total weight must be at least 1")
    vector = np.asarray(mean, dtype=np.float64)
    if vector.shape != (step.length,) or not np.isfinite(vector).all():
        raise InvalidInput(f"the mean must be {step.length} finite numbers")
    if step.kind == "moments":
        return GlobalState(state.weights, Scaler.from_moments(vector), step.index + 1, state.spec_digest)
    order = parameters(spec)
    moved = fedavg.apply(flatten(state.weights, order), vector, spec.strategy.server_learning_rate)
    return GlobalState(unflatten(moved, order), state.scaler, step.index + 1, state.spec_digest)
