"""Differential privacy: accounting against known values, DP-SGD's mechanics, and noise on the sum."""

from __future__ import annotations

from math import erf, exp, log, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.errors import InvalidData, InvalidInput, InvalidSpec
from defedbio.learning.local import contribute
from defedbio.learning.parameters import count
from defedbio.learning.plan import schedule
from defedbio.learning.privacy.accounting import record_epsilon, sum_epsilon
from defedbio.learning.privacy.budget import loss_after, sensitivity
from defedbio.learning.privacy.record import private_steps
from defedbio.learning.simulation import plain, simulate, stream
from defedbio.learning.state import genesis
from defedbio.protocol.simulate import exact, rotations_from, secrets_from
from defedbio.spec import StudySpec

from .conftest import MLP, separable, study

PRIVATE: dict[str, Any] = {
    "privacy": {"kind": "record", "noise_multiplier": 1.0, "max_grad_norm": 1.0, "sample_rate": 0.1, "epsilon": 3.0, "delta": 1e-5},
    "preprocessing": None,
    "weighting": {"kind": "uniform"},
}


def _gaussian_delta(sigma: float, epsilon: float) -> float:
    """The exact delta of the Gaussian mechanism (Balle and Wang 2018, theorem 8)."""
    cdf = lambda z: (1 + erf(z / sqrt(2))) / 2  # noqa: E731
    return cdf(1 / (2 * sigma) - epsilon * sigma) - exp(epsilon) * cdf(-1 / (2 * sigma) - epsilon * sigma)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 3.0, 20.0])
def test_epsilon_bounds_the_exact_gaussian_mechanism_closely(sigma: float) -> None:
    """Without sampling one step is the Gaussian mechanism, whose delta is known exactly; k steps are one with sigma / sqrt(k)."""
    for steps in (1, 4):
        epsilon = record_epsilon(sigma, 1.0, steps, 1e-5)
        assert _gaussian_delta(sigma / sqrt(steps), epsilon) <= 1e-5
        assert _gaussian_delta(sigma / sqrt(steps), 0.8 * epsilon) > 1e-5


def test_epsilon_of_the_published_example() -> None:
    """MNIST of TensorFlow Privacy's tutorial: 60,000 rows, batch 256, noise 1.3, 15 epochs, delta 1e-5. It says 1.19, by the older
    conversion from Rényi orders, which is some 20 % looser."""
    assert 0.85 < record_epsilon(1.3, 256 / 60_000, 15 * 60_000 // 256, 1e-5) <= 1.19


@settings(deadline=None, max_examples=8)
@given(st.floats(0.5, 5), st.floats(0.001, 1), st.integers(1, 500), st.floats(1e-8, 1e-3))
def test_more_steps_and_rows_cost_more_and_noise_less(noise: float, rate: float, steps: int, delta: float) -> None:
    epsilon = record_epsilon(noise, rate, steps, delta)
    slack = 1e-9
    assert record_epsilon(noise, rate, 2 * steps, delta) >= epsilon - slack
    assert record_epsilon(2 * noise, rate, steps, delta) <= epsilon + slack
    assert record_epsilon(noise, rate / 2, steps, delta) <= epsilon + slack
    assert record_epsilon(noise, rate, steps, delta / 10) >= epsilon - slack


@pytest.mark.parametrize(
    "arguments", [(0, 0.1, 1, 1e-5), (1, 0, 1, 1e-5), (1, 1.1, 1, 1e-5), (1, 0.1, 0, 1e-5), (1, 0.1, 1, 0), (1, 0.1, 1, 1)]
)
def test_impossible_arguments_are_refused(arguments: tuple[float, float, int, float]) -> None:
    with pytest.raises(InvalidInput):
        record_epsilon(*arguments)


def test_the_loss_follows_from_the_study_alone() -> None:
    spec = study(**PRIVATE)
    loss = loss_after(spec, 3)
    assert loss.epsilon_round == record_epsilon(1.0, 0.1, 10, 1e-5)
    assert loss.epsilon_total == record_epsilon(1.0, 0.1, 30, 1e-5)
    with pytest.raises(InvalidInput):
        loss_after(study(), 1)


def _linear(seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    module = torch.nn.Linear(2, 1)
    return module, torch.optim.SGD(module.parameters(), lr=0.5)


def _flat(module: torch.nn.Module) -> Any:
    return torch.cat([p.detach().ravel() for p in module.parameters()]).numpy()


def _run(module: Any, optimiser: Any, x: Any, y: Any, **changes: Any) -> None:
    settings_ = {"steps": 1, "sample_rate": 1.0, "noise_multiplier": 0.0, "max_grad_norm": 1e9, "seed": 1}
    private_steps(module, optimiser, torch.nn.functional.mse_loss, x, y, **(settings_ | changes))


X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
Y = X[:, :1] * 2 - 1


def test_without_noise_and_clipping_it_is_gradient_descent() -> None:
    private, optimiser = _linear()
    _run(private, optimiser, X, Y, steps=5)
    plain, descent = _linear()
    for _ in range(5):
        descent.zero_grad()
        torch.nn.functional.mse_loss(plain(torch.from_numpy(X)), torch.from_numpy(Y)).backward()
        descent.step()
    np.testing.assert_allclose(_flat(private), _flat(plain), rtol=1e-4, atol=1e-6)


def test_one_row_moves_the_weights_by_no_more_than_the_clip() -> None:
    """The guarantee's premise: with and without an outlier the step differs by at most lr * C / expected batch."""
    far = np.concatenate([X, np.array([[1000, -1000]], np.float32)]), np.concatenate([Y, np.array([[1e6]], np.float32)])
    moves = []
    for x, y in ((X, Y), far):
        module, optimiser = _linear()
        start = _flat(module)
        _run(module, optimiser, x, y, max_grad_norm=0.1)
        moves.append((_flat(module) - start) * len(x))
    assert np.linalg.norm(moves[1] - moves[0]) <= 0.5 * 0.1 * 1.001


def test_the_noise_has_the_stated_deviation() -> None:
    """On rows whose gradient is zero nothing is left but noise: deviation lr * noise * C / batch, in an empty minibatch, too."""
    module = torch.nn.Linear(100, 200)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.5)
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
    x, y = np.ones((50, 100), np.float32), np.zeros((50, 200), np.float32)
    _run(module, optimiser, x, y, noise_multiplier=2.0, max_grad_norm=3.0)
    assert np.std(_flat(module)) == pytest.approx(0.5 * 2.0 * 3.0 / 50, rel=0.03)
    module, optimiser = _linear()
    start = _flat(module)
    _run(module, optimiser, X, Y, sample_rate=1e-9, noise_multiplier=1.0, max_grad_norm=1.0)
    assert not np.array_equal(_flat(module), start)


def test_it_depends_on_the_seed_alone_and_leaves_no_hooks() -> None:
    runs = []
    for seed in (3, 3, 4):
        module, optimiser = _linear()
        _run(module, optimiser, X, Y, noise_multiplier=1.0, max_grad_norm=1.0, sample_rate=0.3, steps=4, seed=seed)
        runs.append(_flat(module))
        assert not module._forward_hooks and not module._backward_hooks
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_rows_that_are_mixed_are_refused() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))
    with pytest.raises(InvalidSpec, match="mixes rows"):
        _run(module, torch.optim.SGD(module.parameters(), lr=0.1), X, Y)


def test_divergence_is_said() -> None:
    module, _ = _linear()
    with pytest.raises(InvalidData, match="private training diverged"):
        _run(module, torch.optim.SGD(module.parameters(), lr=1e30), X, Y, steps=50)


@pytest.mark.parametrize(
    "model",
    [{"kind": "linear"}, MLP, {"kind": "mlp", "hidden": [4], "normalisation": "layer"}, {"kind": "cnn1d", "channels": [3], "kernel": 2}],
)
def test_every_model_trains_privately_in_a_study(model: dict[str, Any]) -> None:
    spec = study(**PRIVATE, model=model)
    seen: list[tuple[int, int]] = []
    part = contribute(spec, schedule(spec)[0], genesis(spec), separable(80, 1), 7, lambda done, total: seen.append((done, total)))
    assert part.weight == 1
    assert np.isfinite(part.vectors[0]).all() and part.vectors[0].any()
    assert seen[-1] == (10, 10)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"preprocessing": {"standardise": "federated"}}, "preprocessing.standardise"),
        ({"evaluation": {}}, "evaluation"),
        ({"statistics": {}}, "statistics"),
        ({"weighting": {"kind": "samples", "cap": 10}}, "weighting by samples"),
        ({"strategy": {"kind": "scaffold"}}, "control variates"),
        ({"task": {"kind": "survival", "time": "t", "event": "e"}}, "survival"),
        ({"task": {"kind": "multitask", "targets": ["t"]}}, "multitask"),
        ({"training": {"learning_rate": 0.1, "steps": 1, "batch_size": 8, "optimizer": "adam"}}, "plain SGD"),
    ],
)
def test_what_the_noise_would_not_cover_is_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidSpec, match=what):
        study(**PRIVATE | changes)


def test_delta_is_no_rounding_of_epsilon() -> None:
    """Smaller deltas cost about sqrt(log(1/delta)) more, never nothing."""
    assert record_epsilon(5.0, 1.0, 1, 1e-10) / record_epsilon(5.0, 1.0, 1, 1e-5) == pytest.approx(sqrt(log(1e10) / log(1e5)), rel=0.15)


def _noisy(**changes: Any) -> StudySpec:
    privacy = {"kind": "sum", "noise_multiplier": 2.0, "honest": 3, "epsilon": 8.0, "delta": 1e-5} | changes.pop("privacy", {})
    return study(**{"privacy": privacy, "preprocessing": None, "weighting": {"kind": "uniform"}} | changes)


@pytest.mark.parametrize(("multiplier", "rounds"), [(0.8, 1), (2.0, 1), (2.0, 10), (30.0, 100)])
def test_one_wide_share_is_the_gaussian_mechanism(multiplier: float, rounds: int) -> None:
    """Discrete and continuous Gaussians cost the same (Canonne, Kamath and Steinke 2020, theorem 4)."""
    ours = sum_epsilon(round(multiplier * 10**6), 1, 10**6, 5000, rounds, 1e-5)
    assert ours == pytest.approx(record_epsilon(multiplier, 1.0, rounds, 1e-5), rel=1e-9)


@given(st.integers(1, 256), st.floats(0.5, 20))
@settings(max_examples=40, deadline=None)
def test_shares_of_wide_noise_cost_what_one_of_their_sum_costs(honest: int, multiplier: float) -> None:
    share = round(multiplier * 1e6 / sqrt(honest))
    assert sum_epsilon(share, honest, 1e6, 1000, 3, 1e-6) == pytest.approx(record_epsilon(multiplier, 1.0, 3, 1e-6), rel=1e-4)


def test_shares_too_narrow_to_add_up_cost_more() -> None:
    """Theorem 1's tau: with deviations near one unit, a sum of discrete Gaussians is visibly not one."""
    alone, shared = sum_epsilon(2, 1, 1.0, 10**6, 1, 1e-5), sum_epsilon(1, 4, 1.0, 10**6, 1, 1e-5)
    assert shared > 1.5 * alone


@pytest.mark.parametrize("arguments", [(0, 1, 1.0, 1, 1, 0.1), (1, 0, 1.0, 1, 1, 0.1), (1, 1, 0.0, 1, 1, 0.1), (1, 1, 1.0, 1, 1, 1.0)])
def test_impossible_sums_are_refused(arguments: tuple[int, int, float, int, int, float]) -> None:
    with pytest.raises(InvalidInput, match="epsilon needs"):
        sum_epsilon(*arguments)


def test_the_sums_loss_covers_the_replacement_of_a_whole_contribution() -> None:
    spec = _noisy()
    scale, clip = spec.quantisation.scale, spec.quantisation.clip_norm
    assert clip is not None
    assert spec.quantisation.noise == pytest.approx(2.0 * clip * scale / sqrt(3), abs=1)
    assert sensitivity(spec) == pytest.approx(2 * clip * scale, rel=1e-3)
    assert sensitivity(spec) > 2 * clip * scale + 2 * sqrt(count(spec)) - 1e-6
    assert loss_after(spec, 5).epsilon_total == pytest.approx(record_epsilon(1.0, 1.0, 5, 1e-5), rel=1e-3)


def test_the_model_gets_the_stated_noise() -> None:
    """With a learning rate of next to nothing the new model is the old one and the noise: of every organisation, over their number."""
    spec = _noisy(rounds=1, model={"kind": "mlp", "hidden": [64, 32]}, training={"learning_rate": 1e-9, "steps": 1, "batch_size": 8})
    sites = [separable(40, i) for i in range(4)]
    expected = spec.quantisation.noise / spec.quantisation.scale * sqrt(4) / 4
    for combine in (exact(secrets_from(1), rotations_from(1)), (stream(1), plain(seed=1))):
        (done,) = simulate(spec, sites, *combine)
        moved = np.concatenate([(done.state.weights[n] - w).ravel() for n, w in genesis(spec).weights.items()])
        assert np.std(moved) == pytest.approx(expected, rel=0.1)


def test_the_scale_leaves_room_for_the_noise_of_every_seat() -> None:
    quiet, loud = _noisy(privacy={"noise_multiplier": 0.1}), _noisy(privacy={"noise_multiplier": 50.0})
    for spec in (quiet, loud):
        spec.quantisation.check_slot_rule(spec.seats, 2.45)
        with pytest.raises(InvalidInput, match="overflow"):
            spec.quantisation.check_slot_rule(spec.seats, 2.5)
    assert loud.quantisation.scale < quiet.quantisation.scale / 100


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"privacy": {"honest": 4}}, "privacy.honest exceeds"),
        ({"evaluation": {}}, "evaluation"),
        ({"strategy": {"kind": "scaffold"}}, "control variates"),
        ({"quantisation": {"slot_bits": 24, "clip_norm": 2.0, "scale": 1e6}}, "overflow 24-bit slots"),
        ({"quantisation": {"slot_bits": 48, "clip_norm": 2.0, "scale": 1e9}}, "the deviation of the noise"),
    ],
)
def test_sums_that_the_noise_would_not_cover_are_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidSpec, match=what):
        _noisy(**changes)


def test_noise_on_the_sum_goes_with_any_task_and_optimiser() -> None:
    adam = {"learning_rate": 0.1, "steps": 1, "batch_size": 8, "optimizer": "adam"}
    assert _noisy(task={"kind": "survival", "time": "t", "event": "e"}, training=adam, model={"kind": "linear"}).privacy is not None
