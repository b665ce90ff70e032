"""Exports: other software computes from features what `predict` does, for every task and model; files tell nothing of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import load as load_tensors

from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.learning.custom import load_module
from defedbio.learning.evaluation import predict
from defedbio.learning.export import OPSET, export_onnx, export_safetensors
from defedbio.learning.parameters import parameters
from defedbio.learning.preprocessing import Scaler
from defedbio.learning.state import GlobalState, genesis
from defedbio.spec import RegressionSpec, StudySpec

from .conftest import study
from .files import genotype_study
from .test_models import MODELS, SOURCE, TENSORS

FACTS = {"study": "3", "round": "12"}
COLUMNS: list[dict[str, Any]] = [
    {"name": "age", "min": 0, "max": 100, "unit": "years", "missing": "mean"},
    {"name": "dose", "min": -5e6, "max": 5e6, "unit": "ng"},
    {"name": "sex", "categories": ["f", "m"]},
    *({"name": f"f{i}", "min": 0, "max": 1} for i in range(4)),
]
TABLE = {"kind": "table", "columns": COLUMNS}
TASKS: dict[str, dict[str, Any]] = {
    "binary": {"kind": "binary", "target": "label"},
    "multiclass": {"kind": "multiclass", "target": "label", "classes": ["a", "b", "c"]},
    "multitask": {"kind": "multitask", "targets": ["t1", "t2"]},
    "regression": {"kind": "regression", "target": "weight", "min": 0, "max": 5000, "unit": "g"},
    "survival": {"kind": "survival", "time": "days", "event": "died"},
}
# Every task and every model once: the preprocessing, the model and the output link are written one after the other, and each export
# takes seconds.
PAIRS = [
    ("binary", "linear"),
    ("multiclass", "mlp"),
    ("multitask", "mlp with layer normalisation"),
    ("regression", "cnn1d"),
    ("survival", "mlp"),
]
CUSTOM = {"kind": "module", "module": "tiny", "sha256": "ab" * 32, "tensors": TENSORS}
INSTALLED = {"ab" * 32: load_module(SOURCE, "tiny.py")}


def trained(spec: StudySpec, seed: int = 0, standardised: bool = True) -> GlobalState:
    """A state as after training: weights of some size, means and very different deviations."""
    generator = np.random.default_rng(seed)
    weights = {p.name: generator.normal(0, 0.7, p.shape).astype(np.float32) for p in parameters(spec)}
    width = spec.features.width + isinstance(spec.task, RegressionSpec)
    scaler = Scaler(generator.uniform(0.2, 0.8, width), 10 ** generator.uniform(-4, 0, width)) if standardised else None
    return replace(genesis(spec), weights=weights, scaler=scaler, step=1)


def rows_of(spec: StudySpec, count: int) -> npt.NDArray[np.float32]:
    """Features over the whole declared ranges and a little beyond, some missing where the study lets them be."""
    low, high = np.array(spec.features.ranges, dtype=np.float64).T
    x = (
        np.random.default_rng(1)
        .uniform(low - 0.1 * (high - low), high + 0.1 * (high - low), (count, spec.features.width))
        .astype(np.float32)
    )
    if spec.features.nullable:
        x[::2, 0] = np.nan
    return x


def run(raw: bytes, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    (scores,) = ort.InferenceSession(raw, providers=["CPUExecutionProvider"]).run(["scores"], {"features": x})
    return np.asarray(scores)


def same(raw: bytes, spec: StudySpec, state: GlobalState, installed: Any = None) -> None:
    for count in (1, 2, 257):
        x = rows_of(spec, count)
        expected = predict(spec, state, x, installed)
        found = run(raw, x)
        assert found.dtype == np.float32 and found.shape == (count, len(spec.task.score_names))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


class TestOnnx:
    @pytest.mark.parametrize(("task", "model"), PAIRS)
    def test_every_task_and_model(self, task: str, model: str) -> None:
        spec = study(task=TASKS[task], features=TABLE, model=MODELS[model])
        state = trained(spec)
        raw = export_onnx(spec, state, FACTS)
        onnx.checker.check_model(onnx.load_from_string(raw), full_check=True)
        same(raw, spec, state)
        scores = run(raw, rows_of(spec, 300))
        assert scores.std(axis=0).min() > 1e-3, "rows differ, or the comparison would say little"

    def test_the_pairs_leave_none_out(self) -> None:
        assert {task for task, _ in PAIRS} == TASKS.keys() and {model for _, model in PAIRS} == MODELS.keys()

    def test_an_own_module(self) -> None:
        spec = study(model=CUSTOM)
        state = trained(spec)
        same(export_onnx(spec, state, FACTS, INSTALLED), spec, state, INSTALLED)
        with pytest.raises(InvalidSpec, match="'tiny' is not installed here"):
            export_onnx(spec, state, FACTS)

    def test_without_standardisation(self) -> None:
        spec = study(task=TASKS["regression"], features=TABLE, preprocessing=None)
        state = trained(spec, standardised=False)
        same(export_onnx(spec, state, FACTS), spec, state)

    def test_a_missing_value_is_the_mean_and_no_number_at_all(self) -> None:
        spec = study(features=TABLE)
        state = trained(spec)
        raw, x = export_onnx(spec, state, FACTS), rows_of(spec, 2)
        assert state.scaler is not None
        x[:, 0] = [np.nan, 100 * state.scaler.mean[0]]
        x[1, 1:] = x[0, 1:]
        scores = run(raw, x)
        assert np.isfinite(scores).all()
        assert scores[0] == pytest.approx(scores[1], abs=1e-2)

    def test_the_file_says_what_goes_in_and_comes_out_and_nothing_of_this_machine(self, capfd: pytest.CaptureFixture[str]) -> None:
        spec = study(task=TASKS["regression"], features=TABLE)
        raw = export_onnx(spec, trained(spec), FACTS)
        assert capfd.readouterr() == ("", ""), "the exporter's own log is silenced"
        proto = onnx.load_from_string(raw)
        assert [(o.domain, o.version) for o in proto.opset_import] == [("", OPSET)]
        told = {p.key: p.value for p in proto.metadata_props}
        assert {k: told[k] for k in FACTS} == FACTS
        assert json.loads(told["feature_names"]) == list(spec.features.names)
        assert json.loads(told["feature_units"]) == ["years", "ng", "", "", "", "", "", ""]
        assert json.loads(told["score_names"]) == ["weight"]
        assert (told["task"], told["target"], told["unit"]) == ("regression", "weight", "g")
        for trace in (str(Path(__file__).parents[3]), "site-packages", "stack_trace", ".py"):
            assert trace.encode() not in raw, trace

    def test_what_onnx_cannot_say_is_refused(self) -> None:
        source = SOURCE.replace(
            b"return self.out(torch.tanh(self.scale * x))", b"return self.out(x) if float(x.sum()) > 0 else -self.out(x)"
        )
        spec = study(model=CUSTOM)
        with pytest.raises(InvalidInput, match="cannot be written as ONNX"):
            export_onnx(spec, trained(spec), FACTS, {"ab" * 32: load_module(source, "tiny.py")})


class TestSafetensors:
    def test_others_load_it_without_our_code(self) -> None:
        """A module and a preprocessing made by hand from what the file holds."""
        spec = study(task=TASKS["regression"], features=TABLE, model={"kind": "mlp", "hidden": [5, 4], "normalisation": "layer"})
        state = trained(spec)
        tensors = load_tensors(export_safetensors(spec, state, FACTS))
        p = {name.removeprefix("preprocessing."): tensors.pop(name) for name in list(tensors) if name.startswith("preprocessing.")}
        net = torch.nn.ModuleDict(
            {
                "layer0": torch.nn.Linear(8, 5),
                "norm0": torch.nn.LayerNorm(5),
                "layer1": torch.nn.Linear(5, 4),
                "norm1": torch.nn.LayerNorm(4),
            }
        )
        net["layer2"] = torch.nn.Linear(4, 1)
        net.load_state_dict(tensors)
        x = rows_of(spec, 50)
        z = ((torch.from_numpy(x).double() - p["low"]) / (p["high"] - p["low"])).clamp(0, 1)
        h = ((z - p["mean"]) / p["std"]).clamp(-8, 8).nan_to_num(0.0).float()
        for layer in ("0", "1"):
            h = net["norm" + layer](net["layer" + layer](h)).relu()
        scores = net["layer2"](h).double() * p["target_scale"] + p["target_shift"]
        np.testing.assert_allclose(scores.detach().numpy(), predict(spec, state, x), rtol=1e-6)

    def test_the_metadata_is_the_recipe(self) -> None:
        spec = study(features=TABLE)
        told = _told(export_safetensors(spec, trained(spec), FACTS))
        assert told["format"] == "defedbio-export/1" and {k: told[k] for k in FACTS} == FACTS
        for step in (
            "clip((x - low) / (high - low), 0, 1)",
            "clip((z - mean) / std, -8, 8)",
            "z = 0 where x is missing",
            "sigmoid(outputs)",
        ):
            assert step in told["recipe"]
        assert "mean" not in _told(export_safetensors(spec, trained(spec, standardised=False), FACTS))["recipe"]

    def test_a_modules_own_tensor_is_not_overwritten(self) -> None:
        tensors = [{"name": "preprocessing.low", "shape": [2]}, *TENSORS]
        spec = study(model=CUSTOM | {"tensors": tensors})
        with pytest.raises(InvalidInput, match=r"preprocessing\.low"):
            export_safetensors(spec, trained(spec), FACTS)

    @pytest.mark.parametrize("seed", [0, 1])
    def test_equal_models_are_equal_bytes(self, seed: int) -> None:
        spec = study(features=TABLE)
        assert export_safetensors(spec, trained(spec, seed), FACTS) == export_safetensors(
            spec, trained(spec, seed), dict(reversed(FACTS.items()))
        )
        assert export_safetensors(spec, trained(spec, seed), FACTS) != export_safetensors(spec, trained(spec, seed + 1), FACTS)


def _told(raw: bytes) -> Any:
    """The metadata of a safetensors file."""
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return json.loads(header["__metadata__"]["defedbio"])


def test_units_stand_by_their_features() -> None:
    spec = genotype_study()
    assert spec.features.units == ("copies of A", "copies of T", "copies of G", "")
    assert len(study(features={"kind": "smiles", "column": "s", "bits": 64, "descriptors": ["TPSA"]}).features.units) == 65
    genes = study(features={"kind": "expression", "genes": ["A", "B"], "max": 12}).features
    assert genes.units == ("log1p", "log1p")


@pytest.fixture(autouse=True)
def _nothing_left_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The exporter can write reports where it is run."""
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []
