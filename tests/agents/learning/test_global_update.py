"""The schedule, and P6: every node makes the same bytes of the opened sum."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from defedbio.crypto import encoding
from defedbio.errors import InvalidInput
from defedbio.learning.global_update import Sums, finalise
from defedbio.learning.local import contribute
from defedbio.learning.parameters import count, flatten, parameters
from defedbio.learning.plan import schedule
from defedbio.learning.preprocessing import Scaler, model_input, moments, normalise
from defedbio.learning.state import GlobalState, genesis
from defedbio.spec import NORM_PROOF_SLACK, StudySpec

from .conftest import MLP, separable, study


def _after_moments(spec: StudySpec) -> GlobalState:
    return finalise(spec, schedule(spec)[0], genesis(spec), Sums({"moments": np.array([0.5, 0.4, 0.3, 0.2])}, 10))


def test_schedule_has_moments_first_then_training() -> None:
    """S3: preprocessing is computed by the same encrypted rounds, before training."""
    steps = schedule(study(model=MLP))
    assert [(s.index, s.kind, s.length) for s in steps] == [
        (0, "moments", 4),
        (1, "train", 20),
        (2, "train", 20),
        (3, "train", 20),
    ]
    assert [s.kind for s in schedule(study(preprocessing=None))] == ["train"] * 3
    assert schedule(study())[1].segments[0].quantisation == study().quantisation


WIDE = {"slot_bits": 32, "clip_norm": 2.0}


@pytest.mark.parametrize("seats", [3, 256])
@pytest.mark.parametrize("weighting", [{"kind": "uniform"}, {"kind": "samples", "cap": 1_000_000}])
def test_moments_obey_the_slot_rule(seats: int, weighting: dict[str, object]) -> None:
    quantisation = schedule(study(participants={"seats": seats}, weighting=weighting, quantisation=WIDE))[0].segments[0].quantisation
    quantisation.check_slot_rule(seats, NORM_PROOF_SLACK)
    assert quantisation.max_abs == 1.0
    with pytest.raises(InvalidInput, match="overflow"):
        quantisation.check_slot_rule(seats, 1.01 * NORM_PROOF_SLACK)


def test_summed_moments_are_those_of_the_pooled_data() -> None:
    """S3, through the real encoding: sites of unequal size give the pooled mean and deviation."""
    spec = study()
    step = schedule(spec)[0]
    sites = [separable(rows, seed, shift) for rows, seed, shift in ((40, 1, 0.0), (300, 2, 1.5), (7, 3, -2.0))]
    parts = [contribute(spec, step, genesis(spec), site, 0) for site in sites]
    assert [p.weight for p in parts] == [40, 300, 7]
    rand = _stream()
    totals = sum(encoding.encode(p.vectors, p.weight, step.segments, rand) for p in parts)
    decoded = encoding.decode(totals, step.segments, len(parts))
    scaler = finalise(spec, step, genesis(spec), Sums({"moments": decoded.vectors[0]}, decoded.weight)).scaler
    z = (np.concatenate([s.x for s in sites]).astype(np.float64) - [0, -5]) / [100, 10]
    assert scaler is not None
    np.testing.assert_allclose(scaler.mean, z.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(scaler.std, z.std(axis=0), atol=1e-8)


def _stream() -> Callable[[int], bytes]:
    return np.random.default_rng(0).bytes


def test_weights_are_capped_and_uniform_weights_are_one() -> None:
    site = separable(50, 1)
    for weighting, expected in (({"kind": "samples", "cap": 30}, 30), ({"kind": "samples", "cap": 80}, 50), ({"kind": "uniform"}, 1)):
        spec = study(weighting=weighting)
        assert contribute(spec, schedule(spec)[0], genesis(spec), site, 0).weight == expected


def test_moments_of_many_rows_are_those_of_numpy() -> None:
    x = separable(9001, 3).x
    z = (x.astype(np.float64) - [0, -5]) / [100, 10]
    np.testing.assert_allclose(moments(study(), x, np.zeros((9001, 1), np.float32)), np.r_[z.mean(0), (z * z).mean(0)], rtol=1e-12)


def test_fingerprints_are_normalised_by_their_largest_value() -> None:
    bits = study(features={"kind": "smiles", "column": "s", "bits": 64})
    counts = study(features={"kind": "smiles", "column": "s", "bits": 64, "counts": True, "max_count": 4})
    x = np.ones((2, 64), dtype=np.float32)
    assert (normalise(bits, x) == 1).all()
    assert (normalise(counts, x) == 0.25).all()
    with pytest.raises(InvalidInput, match="at least one row"):
        moments(bits, x[:0], x[:0, :1])


def test_constant_features_get_deviation_one() -> None:
    scaler = Scaler.from_moments(np.array([0.5, 0.25, 0.25, 0.0625 + 1e-9]))
    assert scaler.std.tolist() == [1.0, 1.0]
    assert Scaler.from_moments(np.array([0.5, 0.25 + 1e-4])).std[0] == pytest.approx(0.01)


def test_moments_outside_their_range_are_bounded() -> None:
    scaler = Scaler.from_moments(np.array([1.2, -0.3, 2.0, -1.0]))
    assert scaler.mean.tolist() == [1.0, 0.0]
    assert scaler.std.tolist() == [1.0, 1.0]


def test_model_input_is_standardised_and_limited() -> None:
    spec = study()
    scaler = Scaler(np.array([0.5, 0.5]), np.array([0.25, 0.001]))
    x = np.array([[75, 5], [50, -5]], dtype=np.float32)
    assert model_input(spec, scaler, x).tolist() == [[1, 8], [0, -8]]
    assert model_input(spec, None, x).tolist() == [[0.75, 1], [0.5, 0]]
    with pytest.raises(InvalidInput, match="the study has 2 features"):
        model_input(spec, None, np.zeros((1, 3), np.float32))


@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_training_moves_the_weights_by_the_mean(rate: float) -> None:
    spec = study(model=MLP, strategy={"kind": "fedavg", "server_learning_rate": rate})
    state = _after_moments(spec)
    mean = np.linspace(-1, 1, count(spec))
    after = finalise(spec, schedule(spec)[1], state, Sums({"update": mean}, 5))
    expected = (flatten(state.weights, parameters(spec)) + rate * mean).astype(np.float32)
    assert np.array_equal(flatten(after.weights, parameters(spec)), expected)
    assert after.scaler is state.scaler
    assert after.step == 2


def test_finalise_gives_the_same_bytes_whatever_the_order_of_dictionaries() -> None:
    """P6."""
    spec = study(model=MLP)
    state, step, mean = _after_moments(spec), schedule(spec)[1], np.random.default_rng(0).normal(size=count(spec))
    first = finalise(spec, step, state, Sums({"update": mean}, 9)).to_bytes()
    shuffled = GlobalState(dict(reversed(state.weights.items())), state.scaler, state.step, state.spec_digest)
    assert finalise(spec, step, shuffled, Sums({"update": mean.copy()}, 9)).to_bytes() == first
    parsed = GlobalState.from_bytes(state.to_bytes(), spec)
    assert finalise(spec, step, parsed, Sums({"update": mean[::-1].copy()[::-1]}, 9)).to_bytes() == first


def test_finalised_bytes_are_pinned() -> None:
    """P6: exact dyadic inputs; this hash changes only when every node's model would."""
    spec = study(model=MLP)
    state = finalise(spec, schedule(spec)[0], genesis(spec), Sums({"moments": np.array([0.5, 0.25, 0.3125, 0.125])}, 4))
    state = finalise(spec, schedule(spec)[1], state, Sums({"update": np.arange(count(spec)) / 64}, 4))
    tensors = state.to_bytes()[8 + int.from_bytes(state.to_bytes()[:8], "little") :]
    assert hashlib.sha256(tensors).hexdigest() == "e520f190e79044fc5136a8c5e3e6572769e3c4b41fcfb164e3cdf3b2d582235e"


@pytest.mark.parametrize(
    ("mean", "weight", "reason"),
    [
        (np.zeros(3), 1, "must be 4 finite numbers"),
        (np.array([0, 0, 0, np.nan]), 1, "must be 4 finite numbers"),
        (np.zeros(4), 0, "weight must be at least 1"),
    ],
)
def test_finalise_refuses(mean: np.ndarray, weight: int, reason: str) -> None:
    spec = study()
    with pytest.raises(InvalidInput, match=reason):
        finalise(spec, schedule(spec)[0], genesis(spec), Sums({"moments": mean}, weight))


def test_steps_follow_one_another() -> None:
    spec = study()
    with pytest.raises(InvalidInput, match="step 1 does not follow a model with 0 finalised steps"):
        finalise(spec, schedule(spec)[1], genesis(spec), Sums({"update": np.zeros(3)}, 1))
    with pytest.raises(InvalidInput, match="another study"):
        finalise(spec, schedule(spec)[0], genesis(study(seed=8)), Sums({"moments": np.zeros(4)}, 1))
    with pytest.raises(InvalidInput, match="step 1 does not follow"):
        contribute(spec, schedule(spec)[1], genesis(spec), separable(5, 1), 0)


def test_auditing_needs_no_torch() -> None:
    """R5: what everybody recomputes loads without the training library."""
    program = (
        "import defedbio.learning.global_update, defedbio.learning.state, defedbio.learning.plan, sys; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
