"""The global state: deterministic bytes, strict parsing with the reason of refusal, a portable first model."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_safetensors

from defedbio.errors import InvalidInput, MalformedBlob
from defedbio.learning.parameters import count, flatten, parameters, unflatten
from defedbio.learning.preprocessing import Scaler
from defedbio.learning.state import GlobalState, digest, genesis, size_cap

from .conftest import MLP, study

SPEC = study(model=MLP)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def _state(step: int = 1) -> GlobalState:
    return GlobalState(genesis(SPEC).weights, Scaler(np.array([0.5, 0.25]), np.array([0.125, 1.0])), step, digest(SPEC))


def _rebuilt(change: Any, body: bytes | None = None) -> bytes:
    """A state's bytes with its JSON header changed by `change(header)`."""
    data = _state().to_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + (data[8 + length :] if body is None else body)


def _metadata(**changes: Any) -> bytes:
    def change(header: dict[str, Any]) -> None:
        inner = json.loads(header["__metadata__"]["defedbio"]) | changes
        header["__metadata__"]["defedbio"] = json.dumps(inner, sort_keys=True, separators=(",", ":"))

    return _rebuilt(change)


def _with_value(name: str, value: float) -> bytes:
    state = _state()
    assert state.scaler is not None
    if name.startswith("scaler"):
        scaler = Scaler(state.scaler.mean.copy(), state.scaler.std.copy())
        (scaler.mean if name == "scaler.mean" else scaler.std)[0] = value
        return GlobalState(state.weights, scaler, 1, state.spec_digest).to_bytes()
    state.weights[name].flat[0] = value
    return state.to_bytes()


@given(st.lists(FLOATS, min_size=count(SPEC), max_size=count(SPEC)))
@settings(max_examples=60, deadline=None)
def test_flatten_and_bytes_are_inverted(values: list[float]) -> None:
    vector = np.array(values, dtype=np.float64)
    weights = unflatten(vector, parameters(SPEC))
    assert np.array_equal(flatten(weights, parameters(SPEC)), vector)
    state = GlobalState(weights, _state().scaler, 2, digest(SPEC))
    again = GlobalState.from_bytes(state.to_bytes(), SPEC)
    assert again.to_bytes() == state.to_bytes()
    assert again.step == 2
    assert np.array_equal(flatten(again.weights, parameters(SPEC)), vector)


def test_bytes_do_not_depend_on_dictionary_order() -> None:
    state = _state()
    reversed_weights = dict(reversed(state.weights.items()))
    assert GlobalState(reversed_weights, state.scaler, 1, state.spec_digest).to_bytes() == state.to_bytes()


def test_a_state_before_the_moments_has_no_scaler() -> None:
    state = GlobalState.from_bytes(genesis(SPEC).to_bytes(), SPEC)
    assert state.scaler is None
    assert state.to_bytes() == genesis(SPEC).to_bytes()
    unscaled = study(model=MLP, preprocessing=None)
    trained = GlobalState(genesis(unscaled).weights, None, 3, digest(unscaled))
    assert GlobalState.from_bytes(trained.to_bytes(), unscaled).step == 3


def test_other_software_reads_the_bytes() -> None:
    state = _state()
    assert state.scaler is not None
    tensors = load_safetensors(state.to_bytes())
    assert set(tensors) == {*state.weights, "scaler.mean", "scaler.std"}
    assert all(np.array_equal(tensors[name], value) for name, value in state.weights.items())
    assert np.array_equal(tensors["scaler.std"], state.scaler.std)


def test_genesis_is_the_same_on_every_machine() -> None:
    """The bytes are pinned: SHAKE256 and IEEE arithmetic, no library's generator."""
    assert genesis(SPEC).to_bytes() == genesis(SPEC).to_bytes()
    weight = genesis(SPEC).weights["layer0.weight"]
    stream = hashlib.shake_256(b"defedbio-genesis/1\0" + (7).to_bytes(8, "big") + b"layer0.weight").digest(4)
    first = np.float32(((int.from_bytes(stream, "big") >> 8) / 2**23 - 1) * np.sqrt(6 / 2))
    assert weight[0, 0] == first
    assert genesis(study(model=MLP, seed=8)).weights["layer0.weight"][0, 0] != first


def test_genesis_values_are_bounded_and_spread() -> None:
    weights = genesis(study(model={"kind": "mlp", "hidden": [500]})).weights["layer1.weight"]
    assert np.abs(weights).max() <= np.sqrt(1 / 500)
    assert abs(weights.mean()) < 0.1 * weights.std()
    assert not genesis(study()).weights["layer0.weight"].any()


def test_size_cap_is_the_largest_state() -> None:
    assert len(genesis(SPEC).to_bytes()) < len(_state(4).to_bytes()) <= size_cap(SPEC)
    assert size_cap(SPEC) - len(_state(4).to_bytes()) < 16


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "header is longer than its bytes"),
        (b"\xff" * 16, "header is longer than its bytes"),
        ((4).to_bytes(8, "little") + b"{no}", "header is not JSON"),
        ((2).to_bytes(8, "little") + b"{}", "no DeFed-Bio metadata"),
        ((2).to_bytes(8, "little") + b"[]", "header is not a JSON object"),
        ((22).to_bytes(8, "little") + b'{"__metadata__": null}', "no DeFed-Bio metadata"),
        ((400).to_bytes(8, "little") + b"[" * 200 + b"]" * 200, "header is nested too deeply"),
        (_rebuilt(lambda h: h["layer0.bias"].update(data_offsets=[float("nan"), 16])), "header has NaN, which is not a number"),
        (_metadata(step=10**90), "metadata has a number of more than 80 characters"),
        (_metadata(format="defedbio-model/9"), "format is not defedbio-model/1"),
        (_metadata(spec="00" * 32), "belongs to another study"),
        (_metadata(step=5), "outside the study's schedule"),
        (_metadata(step=True), "outside the study's schedule"),
        (_metadata(step=0), "has an unexpected tensor scaler.mean"),
        (_metadata(extra=1), "not in canonical form"),
        (_rebuilt(lambda h: h.pop("layer1.bias")), "lacks tensor layer1.bias"),
        (_rebuilt(lambda h: h.update(other=h["layer1.bias"])), "has an unexpected tensor other"),
        (_rebuilt(lambda h: h["layer0.weight"].update(shape=[2, 3])), r"layer0.weight is not a tensor of F32 with the shape \[3, 2\]"),
        (_rebuilt(lambda h: h["layer0.weight"].update(dtype="F64")), "layer0.weight is not a tensor of F32"),
        (_rebuilt(lambda h: h["layer0.bias"].update(data_offsets=[4, 16])), "not in canonical form"),
        (_state().to_bytes()[:-1], "bytes end early"),
        (_state().to_bytes() + b"\0", "go on after the last tensor"),
        (_with_value("layer0.weight", np.nan), "layer0.weight holds a value that is not finite"),
        (_with_value("layer2.bias", np.inf), "layer2.bias holds a value that is not finite"),
        (_with_value("scaler.mean", np.nan), "scaler.mean holds a value that is not finite"),
        (_with_value("scaler.std", 0.0), "as many positive deviations"),
    ],
)
def test_tampered_bytes_are_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedBlob, match=reason):
        GlobalState.from_bytes(data, SPEC)


@given(st.integers(0, len(_state().to_bytes()) * 8 - 1))
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_never_gives_the_same_state(bit: int) -> None:
    data = bytearray(_state().to_bytes())
    data[bit // 8] ^= 1 << bit % 8
    try:
        parsed = GlobalState.from_bytes(bytes(data), SPEC)
    except MalformedBlob:
        return
    assert parsed.to_bytes() == bytes(data)


def test_weights_must_be_those_of_the_model() -> None:
    weights = genesis(SPEC).weights
    with pytest.raises(InvalidInput, match="do not have the parameters"):
        flatten({k: v for k, v in weights.items() if k != "layer0.bias"}, parameters(SPEC))
    with pytest.raises(InvalidInput, match=r"layer0.bias has the shape \[4\]"):
        flatten(weights | {"layer0.bias": np.zeros(4, np.float32)}, parameters(SPEC))
    with pytest.raises(InvalidInput, match="does not fit"):
        unflatten(np.zeros(3), parameters(SPEC))
    with pytest.raises(InvalidInput, match="not finite"):
        unflatten(np.full(count(SPEC), 1e39), parameters(SPEC))
