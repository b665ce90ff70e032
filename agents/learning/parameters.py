"""A model's parameters as a fixed list: names, shapes and the one order in which they are flattened into an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from agents.errors import InvalidInput
from agents.spec import StudySpec

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Parameter:
    """One tensor of a model; `bound` is the half-width of its uniform first values (0 means that it starts at zero)."""

    name: str
    shape: tuple[int, ...]
    bound: float

    @property
    def size(self) -> int:
        return prod(self.shape)


def parameters(spec: StudySpec) -> tuple[Parameter, ...]:
    """The parameters of the study's model in flattening order: per layer the weight [out, in], then the bias [out].

    Logistic regression is one layer without hidden units; it starts at zero (its loss is convex). Hidden layers start Kaiming-uniform,
    bound sqrt(6 / fan_in) (He et al. 2015, section 2.2); the output layer with bound sqrt(1 / fan_in), so that first scores are near 1/2.
    """
    widths = (spec.features.width, *spec.model.hidden, 1)
    last = len(widths) - 2
    result: list[Parameter] = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        bound = sqrt(6 / fan_in) if layer < last else (sqrt(1 / fan_in) if last else 0.0)
        result.append(Parameter(f"layer{layer}.weight", (fan_out, fan_in), bound))
        result.append(Parameter(f"layer{layer}.bias", (fan_out,), 0.0))
    return tuple(result)


def count(spec: StudySpec) -> int:
    """The number of weights P."""
    return sum(p.size for p in parameters(spec))


def flatten(weights: Mapping[str, npt.NDArray[np.float32]], order: Sequence[Parameter]) -> npt.NDArray[np.float64]:
    """The weights as one float64 vector [P], tensor after tensor in `order`, each in row-major order; the mapping's own order is ignored.

    Raises:
        InvalidInput: if names or shapes are not exactly those of `order`.
    """
    if set(weights) != {p.name for p in order}:
        raise InvalidInput("the weights do not have the parameters of the study's model")
    for p in order:
        if weights[p.name].shape != p.shape:
            raise InvalidInput(f"{p.name} has the shape {list(weights[p.name].shape)}, the study's model has {list(p.shape)}")
    return np.concatenate([weights[p.name].ravel().astype(np.float64) for p in order])


def unflatten(vector: npt.NDArray[np.float64], order: Sequence[Parameter]) -> Weights:
    """The inverse of `flatten`; values are rounded to float32.

    Raises:
        InvalidInput: if the vector's length is not P, or a value is not finite as float32.
    """
    if vector.ndim != 1 or vector.size != sum(p.size for p in order):
        raise InvalidInput(f"a weight vector of shape {list(vector.shape)} does not fit the model's {sum(p.size for p in order)} weights")
    with np.errstate(over="ignore"):
        narrow = vector.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise InvalidInput("a weight is not finite")
    result: Weights = {}
    start = 0
    for p in order:
        result[p.name] = narrow[start : start + p.size].reshape(p.shape).copy()
        start += p.size
    return result
