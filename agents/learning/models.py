"""The study's architecture as a torch module. No code comes from a spec: a custom module is one that the operator installed (S2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise

import torch

from defedbio.errors import InvalidSpec
from defedbio.learning.custom import Maker
from defedbio.learning.parameters import Weights, parameters
from defedbio.spec import StudySpec

Module = torch.nn.Module
Installed = Mapping[str, Maker]


class _Positions(Module):
    """Features [n, d] as one channel of d positions [n, 1, d]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unsqueeze(1)


class _MeanOverPositions(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=2)


def build(spec: StudySpec, weights: Weights, installed: Installed | None = None) -> Module:
    """The study's module with these weights: x float32 [n, d] -> outputs float32 [n, spec.task.outputs].

    Args:
        installed: makers of the custom modules that the operator allowed, by sha256 of their source.

    Raises:
        InvalidSpec: if a custom module is not installed, or its parameters are not those that the spec lists, or it has buffers
            (running statistics are not safe to average).
    """
    if spec.model.kind == "module":
        module = _custom(spec, installed or {})
    else:
        module = torch.nn.Sequential(OrderedDict(_layers(spec)))
    own = dict(module.named_parameters())
    with torch.no_grad():
        for p in parameters(spec):
            own[p.name].copy_(torch.from_numpy(weights[p.name]))
    return module


def weights_of(module: Module, spec: StudySpec) -> Weights:
    """The module's parameters as arrays of their own."""
    own = dict(module.named_parameters())
    return {p.name: own[p.name].detach().numpy().copy() for p in parameters(spec)}


def _layers(spec: StudySpec) -> list[tuple[str, Module]]:
    model = spec.model
    if model.kind == "cnn1d":
        layers: list[tuple[str, Module]] = [("positions", _Positions())]
        for i, (fan_in, fan_out) in enumerate(pairwise((1, *model.channels))):
            layers += [(f"layer{i}", torch.nn.Conv1d(fan_in, fan_out, model.kernel, model.stride)), (f"relu{i}", torch.nn.ReLU())]
        layers += [("mean", _MeanOverPositions())]
        return [*layers, (f"layer{len(model.channels)}", torch.nn.Linear(model.channels[-1], spec.task.outputs))]
    layers = []
    for i, (fan_in, fan_out) in enumerate(pairwise((spec.features.width, *model.hidden))):
        layers += [(f"layer{i}", torch.nn.Linear(fan_in, fan_out))]
        if model.normalisation == "layer":
            layers += [(f"norm{i}", torch.nn.LayerNorm(fan_out))]
        layers += [(f"relu{i}", torch.nn.ReLU())]
    last = model.hidden[-1] if model.hidden else spec.features.width
    return [*layers, (f"layer{len(model.hidden)}", torch.nn.Linear(last, spec.task.outputs))]


def _custom(spec: StudySpec, installed: Installed) -> Module:
    make = installed.get(spec.model.sha256)
    if make is None:
        raise InvalidSpec(
            f"the study's module {spec.model.module!r} is not installed here",
            "read its source, then allow it with `defedbio module allow FILE`",
        )
    module = make(spec)
    found = {name: tuple(tensor.shape) for name, tensor in module.named_parameters()}
    if list(found.items()) != [(p.name, p.shape) for p in parameters(spec)]:
        raise InvalidSpec(f"the installed module {spec.model.module!r} does not have the parameters that the study lists")
    if next(module.named_buffers(), None) is not None:
        raise InvalidSpec(f"the installed module {spec.model.module!r} has buffers, which are not safe to average")
    return module
