"""The global model between two rounds, and its one byte form: safetensors, written canonically, so that equal states are equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from defedbio import foreign_json
from defedbio.errors import InvalidInput, MalformedBlob
from defedbio.learning import clipping, statistics
from defedbio.learning.parameters import Weights, count, parameters, unflatten
from defedbio.learning.plan import measures, schedule
from defedbio.learning.preprocessing import Scaler
from defedbio.learning.quantisation import rotated_ranges
from defedbio.learning.strategies import open_strategy
from defedbio.spec import RegressionSpec, StudySpec

FORMAT = "defedbio-model/1"
METADATA_KEY = "defedbio"
SCALER_NAMES = ("scaler.mean", "scaler.std")
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 1 << 23  # of 10,000 tensors with names of 200 letters
_DTYPES: dict[str, str] = {"F32": "<f4", "F64": "<f8"}


@dataclass(frozen=True)
class GlobalState:
    """`step` is the number of steps of the schedule that are finalised; `spec_digest` is sha256 of the spec's raw text, in hex.

    `extras` are float64 vectors that travel with the model, zeros at first: what the strategy remembers (`memory.*`), sums of encrypted
    statistics (`statistics.*`) and evaluation (`evaluation.*`, of the model that the last finalised step started from), `stopping`
    ([best metric, rounds since, 1 once training is over, 1 once there was a metric]), and `clip.*`, which begin with the clip norm of the
    next training round where the study rotates updates (`clipping`).
    """

    weights: Weights
    scaler: Scaler | None
    step: int
    spec_digest: str
    extras: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Canonical safetensors: little-endian, tensors sorted by name, one metadata key, header padded with spaces to 8 bytes."""
        tensors = {name: np.ascontiguousarray(self.weights[name], dtype="<f4") for name in self.weights}
        arrays: dict[str, npt.NDArray[Any]] = dict(tensors)
        if self.scaler is not None:
            arrays |= dict(zip(SCALER_NAMES, (self.scaler.mean.astype("<f8"), self.scaler.std.astype("<f8")), strict=True))
        arrays |= {name: np.ascontiguousarray(vector, dtype="<f8") for name, vector in self.extras.items()}
        layout = {name: ("F64" if a.dtype.itemsize == 8 else "F32", a.shape) for name, a in arrays.items()}
        header = _header(layout, self.step, self.spec_digest)
        return header + b"".join(arrays[name].tobytes() for name in sorted(arrays))

    def published(self, spec: StudySpec) -> bytes:
        """`to_bytes`, once `from_bytes` has read them: what others are to load is loaded here first.

        Raises:
            InvalidInput: if nobody could load them.
        """
        data = self.to_bytes()
        try:
            same = GlobalState.from_bytes(data, spec).to_bytes() == data
        except MalformedBlob as error:
            raise InvalidInput(f"nobody could load this model: {error.message}") from None
        if not same:
            raise InvalidInput("nobody could load this model: its bytes do not come out again as they went in")
        return data

    @classmethod
    def from_bytes(cls, data: bytes, spec: StudySpec) -> GlobalState:
        """Parse a state of this study; only the canonical bytes of a valid state are accepted.

        Raises:
            MalformedBlob: saying what differs (header, study, step, tensor names, dtypes, shapes, length, values).
        """
        header, metadata = _read_header(data)
        step = _check_metadata(metadata, spec)
        layout = _expected_layout(spec, scaled=spec.standardise and step > (spec.statistics is not None))
        _check_tensors({k: v for k, v in header.items() if k != "__metadata__"}, layout)
        expected = _header(layout, step, digest(spec))
        if not data.startswith(expected):
            raise MalformedBlob("the model's header is not in canonical form")
        body = data[len(expected) :]
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, (dtype, shape, start, end) in _offsets(layout).items():
            if end > len(body):
                raise MalformedBlob("the model's bytes end early")
            arrays[name] = np.frombuffer(body[start:end], dtype=_DTYPES[dtype]).reshape(shape).astype(_DTYPES[dtype][1:])
            if not np.isfinite(arrays[name]).all():
                raise MalformedBlob(f"{name} holds a value that is not finite")
        if len(body) != _body_size(layout):
            raise MalformedBlob("the model's bytes go on after the last tensor")
        scaler = None
        if SCALER_NAMES[0] in arrays:
            try:
                scaler = Scaler(*(arrays.pop(name) for name in SCALER_NAMES))
            except InvalidInput as error:
                raise MalformedBlob(error.message) from None
        extras = {name: arrays.pop(name) for name in extra_lengths(spec)}
        for name, norms in rotated_ranges(spec).items():
            norm, highest = extras[clipping.PREFIX + name].tolist()
            if not norms.least <= norm <= norms.most or not 0 <= highest <= norms.most:
                raise MalformedBlob(f"{clipping.PREFIX}{name} holds a norm that the study does not allow")
        return cls(arrays, scaler, step, digest(spec), extras)

    @property
    def stopped(self) -> bool:
        """Whether the study's early stopping has ended its training."""
        return "stopping" in self.extras and bool(self.extras["stopping"][2])


def digest(spec: StudySpec) -> str:
    """What binds a state to its study: sha256 of the spec's raw text, in hex."""
    return hashlib.sha256(spec.raw).hexdigest()


def size_cap(spec: StudySpec) -> int:
    """The most bytes a state of this study can have: the cap of its download (C3)."""
    layout = _expected_layout(spec, scaled=spec.standardise)
    return len(_header(layout, len(schedule(spec)), digest(spec))) + _body_size(layout)


def genesis(spec: StudySpec) -> GlobalState:
    """The first model, the same on every machine: uniform in ±`Parameter.bound`, 24 bits each from SHAKE256(format ‖ seed ‖ name)."""
    pieces = []
    for p in parameters(spec):
        stream = hashlib.shake_256(b"defedbio-genesis/1\0" + spec.seed.to_bytes(8, "big") + p.name.encode()).digest(4 * p.size)
        unit = (np.frombuffer(stream, dtype=">u4") >> 8).astype(np.float64) * 2.0**-23 - 1.0
        pieces.append(unit * p.bound + p.fill)
    extras = {name: np.zeros(length) for name, length in extra_lengths(spec).items()}
    extras |= {clipping.PREFIX + name: clipping.first(norms) for name, norms in rotated_ranges(spec).items()}
    return GlobalState(unflatten(np.concatenate(pieces), parameters(spec)), None, 0, digest(spec), extras)


def extra_lengths(spec: StudySpec) -> dict[str, int]:
    """Name and length of the vectors that travel with the study's model."""
    lengths = {f"memory.{name}": count(spec) for name in open_strategy(spec.strategy).memory}
    if spec.statistics is not None:
        lengths |= {f"statistics.{name}": length for name, length in statistics.layout(spec).items()}
    lengths |= {segment.name: segment.length for segment in measures(spec)}
    lengths |= {clipping.PREFIX + name: 2 for name in rotated_ranges(spec)}
    if spec.evaluation is not None and spec.evaluation.early_stopping is not None:
        lengths["stopping"] = 4
    return lengths


Layout = dict[str, tuple[str, tuple[int, ...]]]


def _expected_layout(spec: StudySpec, scaled: bool) -> Layout:
    layout: Layout = {p.name: ("F32", p.shape) for p in parameters(spec)}
    if scaled:
        layout |= dict.fromkeys(SCALER_NAMES, ("F64", (spec.features.width + isinstance(spec.task, RegressionSpec),)))
    layout |= {name: ("F64", (length,)) for name, length in extra_lengths(spec).items()}
    return layout


def _offsets(layout: Layout) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
    result: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
    start = 0
    for name in sorted(layout):
        dtype, shape = layout[name]
        end = start + int(np.prod(shape, dtype=np.int64)) * np.dtype(_DTYPES[dtype]).itemsize
        result[name] = (dtype, shape, start, end)
        start = end
    return result


def _body_size(layout: Layout) -> int:
    return max(end for *_, end in _offsets(layout).values())


def _header(layout: Layout, step: int, spec_digest: str) -> bytes:
    metadata = json.dumps({"format": FORMAT, "spec": spec_digest, "step": step}, sort_keys=True, separators=(",", ":"))
    document: dict[str, Any] = {"__metadata__": {METADATA_KEY: metadata}}
    for name, (dtype, shape, start, end) in _offsets(layout).items():
        document[name] = {"data_offsets": [start, end], "dtype": dtype, "shape": list(shape)}
    text = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _read_header(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES or length > len(data) - _LENGTH_BYTES:
        raise MalformedBlob("the model's header is longer than its bytes")
    header = foreign_json.read_object(data[_LENGTH_BYTES : _LENGTH_BYTES + length], "the model's header", _MAX_HEADER_BYTES, MalformedBlob)
    named = header.get("__metadata__")
    text = named.get(METADATA_KEY) if isinstance(named, dict) else None
    if not isinstance(text, str):
        raise MalformedBlob("the model's header has no DeFed-Bio metadata")
    return header, foreign_json.read_object(text.encode(), "the model's metadata", _MAX_HEADER_BYTES, MalformedBlob)


def _check_metadata(metadata: dict[str, Any], spec: StudySpec) -> int:
    if metadata.get("format") != FORMAT:
        raise MalformedBlob(f"the model's format is not {FORMAT}")
    if metadata.get("spec") != digest(spec):
        raise MalformedBlob("the model belongs to another study")
    step = metadata.get("step")
    if type(step) is not int or not 0 <= step <= len(schedule(spec)):
        raise MalformedBlob("the model's step is outside the study's schedule")
    return step


def _check_tensors(found: dict[str, Any], layout: Layout) -> None:
    for what, names in (("lacks", layout.keys() - found.keys()), ("has an unexpected", found.keys() - layout.keys())):
        if names:
            raise MalformedBlob(f"the model {what} tensor {min(names)[:80]}")
    for name, (dtype, shape) in layout.items():
        entry = found[name] if isinstance(found[name], dict) else {}
        if entry.get("dtype") != dtype or entry.get("shape") != list(shape):
            raise MalformedBlob(f"{name} is not a tensor of {dtype} with the shape {list(shape)}")
