"""A model's parameters as a fixed list: names, shapes and the one order in which they are flattened into an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.spec import StudySpec

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Parameter:
    """One tensor of a model; first values are uniform in ±`bound` around `fill`."""

    name: str
    shape: tuple[int, ...]
    bound: float
    fill: float = 0.0

    @property
    def size(self) -> int:
        return prod(self.shape)


def parameters(spec: StudySpec) -> tuple[Parameter, ...]:
    """The parameters of the study's model in flattening order, which is that of the torch module's `named_parameters()`.

    A linear model starts at zero (its loss is convex). Hidden layers start Kaiming-uniform, bound sqrt(6 / fan_in) (He et al. 2015,
    section 2.2); the output layer with bound sqrt(1 / fan_in), so that first scores are near the middle.

    Raises:
        InvalidSpec: if this version has no such architecture, or a convolution's kernel is longer than its input.
    """
    model, outputs = spec.model, spec.task.outputs
    match model.kind:
        case "linear" | "logistic":
            return _linear("layer0", spec.features.width, outputs, 0.0)
        case "mlp":
            return _mlp(spec.features.width, model.hidden, outputs, model.normalisation == "layer")
        case "cnn1d":
            return _cnn(spec, outputs)
        case "module":
            return tuple(Parameter(t.name, t.shape, t.bound, t.fill) for t in model.tensors)
    raise InvalidSpec(f"this version has no model of kind {model.kind!r}")


def _linear(name: str, fan_in: int, fan_out: int, bound: float) -> tuple[Parameter, ...]:
    return Parameter(f"{name}.weight", (fan_out, fan_in), bound), Parameter(f"{name}.bias", (fan_out,), 0.0)


def _mlp(width: int, hidden: Sequence[int], outputs: int, normalised: bool) -> tuple[Parameter, ...]:
    result: list[Parameter] = []
    for layer, (fan_in, fan_out) in enumerate(pairwise((width, *hidden))):
        result += _linear(f"layer{layer}", fan_in, fan_out, sqrt(6 / fan_in))
        if normalised:
            result += [Parameter(f"norm{layer}.weight", (fan_out,), 0.0, 1.0), Parameter(f"norm{layer}.bias", (fan_out,), 0.0)]
    return (*result, *_linear(f"layer{len(hidden)}", hidden[-1], outputs, sqrt(1 / hidden[-1])))


def _cnn(spec: StudySpec, outputs: int) -> tuple[Parameter, ...]:
    model, length = spec.model, spec.features.width
    result: list[Parameter] = []
    for layer, (fan_in, fan_out) in enumerate(pairwise((1, *model.channels))):
        if length < model.kernel:
            raise InvalidSpec(f"convolution {layer} reads {model.kernel} positions of {length}", "shorten the kernel or drop a layer")
        length = (length - model.kernel) // model.stride + 1
        shape = (fan_out, fan_in, model.kernel)
        result += [Parameter(f"layer{layer}.weight", shape, sqrt(6 / (fan_in * model.kernel)))]
        result += [Parameter(f"layer{layer}.bias", (fan_out,), 0.0)]
    return (*result, *_linear(f"layer{len(model.channels)}", model.channels[-1], outputs, sqrt(1 / model.channels[-1])))


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
