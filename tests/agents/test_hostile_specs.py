"""Study specs by a coordinator that means harm: each is refused as a bad spec, or is one that can be planned and counted."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from defedbio.domain import Quantisation
from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.learning.parameters import count
from defedbio.learning.plan import schedule
from defedbio.network.connection import rules_of
from defedbio.spec import StudySpec

PHASES = ("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise")
PLAIN: dict[str, Any] = {
    "format": "defedbio-study/1",
    "name": "hostile",
    "task": {"kind": "regression", "target": "y", "min": 0, "max": 1},
    "features": {"kind": "table", "columns": [{"name": "age", "min": 0, "max": 100}, {"name": "sex", "categories": ["f", "m"]}]},
    "preprocessing": {"standardise": "federated"},
    "model": {"kind": "mlp", "hidden": [3, 2]},
    "training": {"learning_rate": 0.5, "steps": 10, "batch_size": 16, "schedule": {"kind": "step", "factor": 0.5, "every": 2}},
    "strategy": {"kind": "scaffold", "server_learning_rate": 1.0},
    "rounds": 3,
    "weighting": {"kind": "samples", "cap": 1000},
    "quantisation": {"slot_bits": 24, "clip_norm": 2.0, "scale": 10.0},
    "evaluation": {"fraction": 0.2, "early_stopping": {"patience": 2, "min_delta": 0.1}},
    "statistics": {"bins": 4},
    "seed": 7,
    "key": {"epoch": 1, "modulus_bits": 2048},
    "participants": {"seats": 4, "minimum": 3},
    "deadlines": dict.fromkeys(PHASES, 60),
    "confirmations": 1,
    "max_voids": 2,
}
PRIVATE = {k: v for k, v in PLAIN.items() if k not in ("preprocessing", "strategy", "weighting", "evaluation", "statistics")} | {
    "training": {"learning_rate": 0.5, "steps": 10, "batch_size": 16},
    "quantisation": {"slot_bits": 32, "clip_norm": 2.0},
    "privacy": {"kind": "sum", "noise_multiplier": 0.1, "honest": 2, "epsilon": 3.0, "delta": 1e-5},
}
RECORDS = PRIVATE | {
    "task": {"kind": "binary", "target": "y"},
    "privacy": {"kind": "record", "noise_multiplier": 1.0, "max_grad_norm": 1.0, "sample_rate": 0.1, "epsilon": 3.0, "delta": 1e-5},
}
# As they stand in the text of the spec.
VALUES = ("NaN", "-Infinity", "1e999", "9" * 5000, "9" * 78, "1e308", "1e-320", "24.0", "2.0", "true", '"\\ud800"', '"y\\n"', "[" * 2000)
MARK = "the place"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))
    else:
        yield path


def with_text(document: dict[str, Any], path: tuple[Any, ...], text: str) -> bytes:
    changed = copy.deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = MARK
    return json.dumps(changed).replace(json.dumps(MARK), text).encode()


@pytest.mark.parametrize("document", [PLAIN, PRIVATE, RECORDS], ids=["plain", "sum", "records"])
@pytest.mark.parametrize("text", VALUES, ids=lambda text: text[:9])
def test_whatever_stands_anywhere_is_refused_as_a_bad_spec_or_can_be_used(document: dict[str, Any], text: str) -> None:
    assert StudySpec.from_bytes(json.dumps(document).encode()).rounds == 3
    for path in places(document):
        said = outcome(with_text(document, path, text))
        assert len(said) < 1000 and said.isprintable()
        assert text not in ("NaN", "-Infinity", "1e999") or "number" in said


def outcome(raw: bytes) -> str:
    """Why a spec is refused; empty for one that can be planned and counted."""
    try:
        spec = StudySpec.from_bytes(raw)
    except InvalidSpec as refusal:
        return str(refusal)
    assert schedule(spec) and count(spec) and rules_of(spec, 1).steps
    return ""


@pytest.mark.parametrize("path", [("rounds",), ("training", "steps"), ("model", "hidden", 0), ("seed",), ("deadlines", "commit")])
def test_an_integer_is_written_as_one(path: tuple[Any, ...]) -> None:
    assert outcome(with_text(PLAIN, path, "24")) == ""
    for text in ("24.0", "2.4e1", "true", '"24"'):
        assert "breaks its schema" in outcome(with_text(PLAIN, path, text))


@pytest.mark.parametrize("field", ["epsilon", "delta", "noise_multiplier", "max_grad_norm", "sample_rate"])
@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_a_budget_is_a_number(field: str, text: str) -> None:
    with pytest.raises(InvalidSpec, match="number"):
        StudySpec.from_bytes(with_text(RECORDS, ("privacy", field), text))


def test_a_pattern_is_of_the_whole_text() -> None:
    module = {"kind": "module", "module": "mine\n", "sha256": "0" * 64, "tensors": [{"name": "w", "shape": [2]}]}
    with pytest.raises(InvalidSpec, match="is not valid under any"):
        StudySpec.from_bytes(json.dumps(PLAIN | {"model": module}).encode())
    assert StudySpec.from_bytes(json.dumps(PLAIN | {"model": module | {"module": "mine"}}).encode()).model.module == "mine"


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 0.0, -1.0])
@pytest.mark.parametrize("field", ["scale", "clip_norm", "max_abs"])
def test_a_quantisation_has_bounds_that_are_numbers(field: str, wrong: float) -> None:
    good = Quantisation(24, 10.0, 1, clip_norm=1.0, max_abs=1.0)
    with pytest.raises(InvalidInput, match="must be positive"):
        replace(good, **{field: wrong})


@pytest.mark.parametrize(("scale", "norm"), [(1e300, 1e300), (1e-300, 1e-300)])
def test_a_quantisation_has_a_bound_that_can_be_counted(scale: float, norm: float) -> None:
    with pytest.raises(InvalidInput, match="units of the scale"):
        Quantisation(24, scale, 1, clip_norm=norm)
