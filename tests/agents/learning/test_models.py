"""Architectures: the static list of parameters is torch's own, and custom modules run only as they were listed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.learning.custom import load_module
from defedbio.learning.models import build, weights_of
from defedbio.learning.parameters import flatten, parameters
from defedbio.learning.simulation import plain, simulate, stream
from defedbio.learning.state import GlobalState, genesis
from defedbio.spec import StudySpec

from .conftest import separable, study

SEVEN = {"kind": "table", "columns": [{"name": f"f{i}", "min": 0, "max": 1} for i in range(7)]}
THREE = {"kind": "multiclass", "target": "label", "classes": ["a", "b", "c"]}
MODELS: dict[str, dict[str, Any]] = {
    "linear": {"kind": "linear"},
    "mlp": {"kind": "mlp", "hidden": [5, 4]},
    "mlp with layer normalisation": {"kind": "mlp", "hidden": [5, 4], "normalisation": "layer"},
    "cnn1d": {"kind": "cnn1d", "channels": [3, 2], "kernel": 3, "stride": 2},
}
SOURCE = b"""
import torch

class Tiny(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.out = torch.nn.Linear(width, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.scale * x))

def build(spec):
    return Tiny(spec.features.width)
"""
TENSORS = [
    {"name": "scale", "shape": [1], "fill": 1.0},
    {"name": "out.weight", "shape": [1, 2], "bound": 0.5},
    {"name": "out.bias", "shape": [1]},
]


def _custom(source: bytes = SOURCE, tensors: list[dict[str, Any]] = TENSORS) -> tuple[StudySpec, dict[str, Any]]:
    spec = study(model={"kind": "module", "module": "tiny", "sha256": "ab" * 32, "tensors": tensors})
    return spec, {"ab" * 32: load_module(source, "tiny.py")}


@pytest.fixture(params=MODELS)
def spec(request: pytest.FixtureRequest) -> StudySpec:
    return study(model=MODELS[request.param], features=SEVEN, task=THREE)


class TestEveryModel:
    def test_parameters_are_torchs(self, spec: StudySpec) -> None:
        module = build(spec, genesis(spec).weights)
        found = [(name, tuple(tensor.shape)) for name, tensor in module.named_parameters()]
        assert found == [(p.name, p.shape) for p in parameters(spec)]
        assert not list(module.buffers()), "running statistics are not safe to average"

    def test_weights_go_in_and_come_out(self, spec: StudySpec) -> None:
        weights = genesis(spec).weights
        order = parameters(spec)
        assert np.array_equal(flatten(weights_of(build(spec, weights), spec), order), flatten(weights, order))
        assert GlobalState.from_bytes(genesis(spec).to_bytes(), spec).to_bytes() == genesis(spec).to_bytes()

    def test_outputs_are_one_a_class(self, spec: StudySpec) -> None:
        assert build(spec, genesis(spec).weights)(torch.rand(6, 7)).shape == (6, 3)

    def test_every_parameter_learns(self, spec: StudySpec) -> None:
        generator = np.random.default_rng(0)
        weights = {p.name: generator.normal(size=p.shape).astype(np.float32) for p in parameters(spec)}
        module = build(spec, weights)
        module(torch.rand(40, 7)).pow(2).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_a_kernel_longer_than_its_input_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="convolution 1 reads 5 positions of 3"):
        parameters(study(model={"kind": "cnn1d", "channels": [2, 2], "kernel": 5}, features=SEVEN))


def test_a_custom_module_learns_in_a_study() -> None:
    spec, installed = _custom()
    runs = list(simulate(spec, [separable(60, seed) for seed in range(3)], stream(0), plain(), installed=installed))
    assert runs[-1].state.weights["scale"] != genesis(spec).weights["scale"]
    assert genesis(spec).weights["scale"].tolist() == [1.0]


def test_a_module_that_is_not_installed_is_refused() -> None:
    """S2: no code comes from the study."""
    spec, _ = _custom()
    with pytest.raises(InvalidSpec, match="'tiny' is not installed here"):
        build(spec, genesis(spec).weights)


def test_a_module_with_other_parameters_or_buffers_is_refused() -> None:
    spec, installed = _custom(tensors=[*TENSORS[:2], {"name": "out.bias", "shape": [2]}])
    with pytest.raises(InvalidSpec, match="does not have the parameters that the study lists"):
        build(spec, genesis(spec).weights, installed)
    buffered = SOURCE.replace(b"self.out =", b"self.register_buffer('seen', torch.zeros(1)); self.out =")
    spec, installed = _custom(buffered)
    with pytest.raises(InvalidSpec, match="buffers, which are not safe to average"):
        build(spec, genesis(spec).weights, installed)


@pytest.mark.parametrize(
    ("source", "reason"),
    [(b"def build(:", "does not run: SyntaxError"), (b"1 / 0", "does not run: ZeroDivisionError"), (b"x = 1", "defines no function build")],
)
def test_a_source_that_is_no_module_is_refused(source: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        load_module(source, "tiny.py")
