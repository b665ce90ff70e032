"""A model for others' software: an ONNX graph from features to scores, or plain safetensors that say how to use them."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import onnx
import torch
from safetensors.numpy import save

from defedbio.errors import InvalidInput
from defedbio.learning.models import Installed, build
from defedbio.learning.parameters import parameters
from defedbio.learning.preprocessing import STANDARDISED_LIMIT, target_scale
from defedbio.learning.state import METADATA_KEY, GlobalState
from defedbio.spec import (
    BinarySpec,
    MulticlassSpec,
    MultitaskSpec,
    RegressionSpec,
    StudySpec,
)

OPSET = 18
INPUT, OUTPUT = "features", "scores"
FORMAT = "defedbio-export/1"
PREPROCESSING = "preprocessing."
MAX_ONNX_BYTES = (1 << 31) - 1  # protobuf's

Float64 = npt.NDArray[np.float64]


class Deployed(torch.nn.Module):
    """Features float32 [n, d] in natural units, NaN where missing -> the task's scores, float32 [n, o], as `predict` gives them."""

    low: torch.Tensor
    high: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    target_shift: torch.Tensor
    target_scale: torch.Tensor

    def __init__(self, spec: StudySpec, state: GlobalState, installed: Installed | None = None) -> None:
        super().__init__()
        self.model = build(spec, state.weights, installed)
        for name, values in constants(spec, state).items():
            self.register_buffer(name, torch.from_numpy(values))
        self._standardised = state.scaler is not None
        self._task = spec.task

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        missing = features.isnan()
        # In float64, as training does it: a deviation may be a ten-thousandth of the range.
        x = torch.where(missing, self.low, features.double())
        z = ((x - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
        if self._standardised:
            z = ((z - self.mean) / self.std).clamp(-STANDARDISED_LIMIT, STANDARDISED_LIMIT)
        outputs = self.model(z.masked_fill(missing, 0.0).float()).double()
        return self._scores(outputs).float()

    def _scores(self, outputs: torch.Tensor) -> torch.Tensor:
        if isinstance(self._task, BinarySpec | MultitaskSpec):
            return outputs.sigmoid()
        if isinstance(self._task, MulticlassSpec):
            return outputs.softmax(dim=1)
        if isinstance(self._task, RegressionSpec):
            return outputs * self.target_scale + self.target_shift
        return outputs


def constants(spec: StudySpec, state: GlobalState) -> dict[str, Float64]:
    """What the preprocessing and the output link read: float64 [d] each, [1] for the target's."""
    low, high = np.array(spec.features.ranges, dtype=np.float64).T
    found = {"low": low.copy(), "high": high.copy()}
    if state.scaler is not None:
        found |= {"mean": state.scaler.mean[: spec.features.width], "std": state.scaler.std[: spec.features.width]}
    if isinstance(spec.task, RegressionSpec):
        shift, scale = target_scale(spec.task, state.scaler)
        found |= {"target_shift": np.array([shift]), "target_scale": np.array([scale])}
    return found


def export_onnx(spec: StudySpec, state: GlobalState, facts: Mapping[str, str], installed: Installed | None = None) -> bytes:
    """An ONNX model (opset 18) with preprocessing and output link: input `features` float32 [rows, d], output `scores` float32 [rows, o].

    Args:
        facts: where the model comes from, for the file's metadata, beside the names and units of features and scores.

    Raises:
        InvalidInput: if the study's own module does what ONNX cannot say, or the model is larger than an ONNX file can be.
        InvalidSpec: if the study's own module is not installed.
    """
    deployed = Deployed(spec, state, installed).eval()
    with _silent():
        try:
            program = torch.onnx.export(
                deployed,
                (torch.zeros(2, spec.features.width),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0][:200]
            raise InvalidInput(f"the study's module cannot be written as ONNX: {reason}", "export it as safetensors") from error
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    _strip(proto)
    onnx.helper.set_model_props(proto, {**facts, **_names(spec)})
    if proto.ByteSize() > MAX_ONNX_BYTES:
        raise InvalidInput("the model is larger than the 2 GiB of an ONNX file", "export it as safetensors")
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def export_safetensors(spec: StudySpec, state: GlobalState, facts: Mapping[str, str]) -> bytes:
    """The torch module's tensors by their `state_dict` names, `preprocessing.*` float64, and in the metadata how to use them.

    Equal models give equal bytes.

    Raises:
        InvalidInput: if the study's own module has a tensor of one of these names.
    """
    tensors: dict[str, npt.NDArray[np.generic]] = {p.name: np.ascontiguousarray(state.weights[p.name]) for p in parameters(spec)}
    added = {PREPROCESSING + name: np.ascontiguousarray(values) for name, values in constants(spec, state).items()}
    if taken := tensors.keys() & added.keys():
        raise InvalidInput(f"the study's module has a tensor called {min(taken)}, as the export would", "export it as ONNX")
    tensors |= added
    # One key: the library writes several in no fixed order.
    metadata = {"format": FORMAT, "recipe": recipe(spec, state), **facts, **_names(spec)}
    return bytes(save(tensors, {METADATA_KEY: json.dumps(metadata, sort_keys=True)}))


def recipe(spec: StudySpec, state: GlobalState) -> str:
    """From features in natural units to scores, in words that name the file's tensors."""
    steps = ["z = clip((x - low) / (high - low), 0, 1)"]
    if state.scaler is not None:
        steps.append(f"z = clip((z - mean) / std, -{STANDARDISED_LIMIT:g}, {STANDARDISED_LIMIT:g})")
    steps += ["z = 0 where x is missing", f"outputs = {_architecture(spec)}(z)"]
    match spec.task.kind:
        case "binary" | "multitask":
            steps.append("scores = sigmoid(outputs)")
        case "multiclass":
            steps.append("scores = softmax(outputs)")
        case "regression":
            steps.append("scores = outputs * target_scale + target_shift")
        case _:
            steps.append("scores = outputs")
    return "; ".join(steps)


def _architecture(spec: StudySpec) -> str:
    model = spec.model
    match model.kind:
        case "mlp":
            norm = ", layer normalisation before each ReLU" if model.normalisation == "layer" else ""
            return f"mlp[{', '.join(map(str, model.hidden))}, ReLU{norm}]"
        case "cnn1d":
            channels = ", ".join(map(str, model.channels))
            return (
                f"cnn1d[one channel of d positions; channels {channels}, kernel {model.kernel}, stride {model.stride}, ReLU; mean; linear]"
            )
        case "module":
            return f"module[sha256 {model.sha256}]"
        case _:
            return "linear"


def _names(spec: StudySpec) -> dict[str, str]:
    """Features, their units and the scores as JSON lists in the order of the columns of input and output; what is predicted."""
    task = spec.task
    lists = {"feature_names": spec.features.names, "feature_units": spec.features.units, "score_names": task.score_names}
    told = {"task": task.kind, "target": ", ".join(task.columns)}
    told |= {name: getattr(task, name, "") for name in ("positive", "unit")}
    return {name: json.dumps(list(values)) for name, values in lists.items()} | {name: text for name, text in told.items() if text}


def _strip(proto: onnx.ModelProto) -> None:
    """Drop what the exporter notes for its own debugging: source lines and paths of this machine."""
    proto.producer_name, proto.producer_version, proto.doc_string = "DeFed-Bio", "", ""
    del proto.metadata_props[:]
    graph = proto.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    for noted in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        noted.doc_string = ""
        del noted.metadata_props[:]


@contextmanager
def _silent() -> Iterator[None]:
    """The exporter logs and warns about packages that are not there and about its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
