"""Server strategies: one class for what all owe (P6), and each against its paper's formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from defedbio.learning.data import Dataset
from defedbio.learning.local import contribute
from defedbio.learning.parameters import count, flatten, parameters
from defedbio.learning.plan import schedule
from defedbio.learning.simulation import Finished, plain, simulate, stream
from defedbio.learning.state import GlobalState, genesis
from defedbio.learning.strategies import open_strategy
from defedbio.spec import StudySpec

from .conftest import MLP, separable, study

STRATEGIES: dict[str, dict[str, Any]] = {
    "fedavg": {"kind": "fedavg", "server_learning_rate": 0.7},
    "fedprox": {"kind": "fedprox", "mu": 0.3},
    "fedavgm": {"kind": "fedavgm", "momentum": 0.6, "server_learning_rate": 0.5},
    "fedadam": {"kind": "fedadam", "server_learning_rate": 0.1, "tau": 0.01},
    "fedyogi": {"kind": "fedyogi", "server_learning_rate": 0.1, "tau": 0.01},
    "scaffold": {"kind": "scaffold"},
}


@pytest.fixture(params=STRATEGIES)
def spec(request: pytest.FixtureRequest) -> StudySpec:
    return study(strategy=STRATEGIES[request.param], model=MLP, rounds=4)


def _run(spec: StudySpec, sites: list[Dataset], seed: int = 0) -> list[Finished]:
    return list(simulate(spec, sites, stream(seed), plain()))


class TestEveryStrategy:
    def test_learns(self, spec: StudySpec) -> None:
        sites = [separable(80, seed) for seed in range(3)]
        from defedbio.learning.evaluation import evaluate

        before = evaluate(spec, _run(spec, sites)[0].state, separable(500, 9))["log_loss"]
        after = evaluate(spec, _run(spec, sites)[-1].state, separable(500, 9))["log_loss"]
        assert before is not None and after is not None and after < before

    def test_its_memory_travels_with_the_model(self, spec: StudySpec) -> None:
        """P6: a node that starts from the published bytes makes the same next model as one that was there all along."""
        runs = _run(spec, [separable(60, seed) for seed in range(3)])
        for done in runs:
            again = GlobalState.from_bytes(done.state.to_bytes(), spec)
            assert again.to_bytes() == done.state.to_bytes()
            assert set(again.extras) == {f"memory.{name}" for name in open_strategy(spec.strategy).memory}

    def test_elements_do_not_depend_on_one_another(self, spec: StudySpec) -> None:
        strategy, generator = open_strategy(spec.strategy), np.random.default_rng(0)
        weights, mean = generator.normal(size=9), generator.normal(size=9)
        memory = {name: np.abs(generator.normal(size=9)) for name in strategy.memory}
        moved, after = strategy.apply(weights, mean, memory, 2)
        for i in range(9):
            one, rest = strategy.apply(weights[i : i + 1], mean[i : i + 1], {k: v[i : i + 1] for k, v in memory.items()}, 2)
            assert one[0] == moved[i]
            assert all(rest[k][0] == after[k][i] for k in rest)


def test_momentum_by_hand() -> None:
    strategy = open_strategy(study(strategy=STRATEGIES["fedavgm"]).strategy)
    weights, memory = np.zeros(1), {"momentum": np.zeros(1)}
    for round_, expected in enumerate((0.5, 0.5 + 0.8, 0.5 + 0.8 + 0.98)):
        weights, memory = strategy.apply(weights, np.ones(1), memory, round_)
        assert weights[0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["fedadam", "fedyogi"])
def test_adaptive_strategies_by_the_papers_formula(kind: str) -> None:
    """Reddi et al. 2021, algorithm 2, element by element in plain Python floats."""
    settings = study(strategy=STRATEGIES[kind]).strategy
    strategy = open_strategy(settings)
    generator = np.random.default_rng(1)
    x, memory = np.zeros(3), {name: np.zeros(3) for name in strategy.memory}
    m, v, expected = [0.0] * 3, [settings.tau**2] * 3, [0.0] * 3
    for round_ in range(4):
        delta = generator.normal(size=3)
        x, memory = strategy.apply(x, delta, memory, round_)
        for i, d in enumerate(delta.tolist()):
            m[i] = settings.beta1 * m[i] + (1 - settings.beta1) * d
            if kind == "fedadam":
                v[i] = settings.beta2 * v[i] + (1 - settings.beta2) * d * d
            else:
                v[i] = v[i] - (1 - settings.beta2) * d * d * np.sign(v[i] - d * d)
            expected[i] += settings.server_learning_rate * m[i] / (v[i] ** 0.5 + settings.tau)
    np.testing.assert_allclose(x, expected, rtol=1e-12)


def test_the_proximal_term_keeps_updates_short() -> None:
    """Li et al. 2020: the pull shortens the way from the global model, and mu = 0 is FedAvg."""

    def update(mu: float) -> Any:
        spec = study(strategy={"kind": "fedprox", "mu": mu}, preprocessing=None)
        return contribute(spec, schedule(spec)[0], genesis(spec), separable(60, 1), 3).vectors[0]

    plainly = study(preprocessing=None)
    assert np.array_equal(update(0.0), contribute(plainly, schedule(plainly)[0], genesis(plainly), separable(60, 1), 3).vectors[0])
    assert np.linalg.norm(update(1.0)) < 0.9 * np.linalg.norm(update(0.0))


SCAFFOLD = study(strategy={"kind": "scaffold"}, preprocessing=None, training={"learning_rate": 0.1, "steps": 5, "batch_size": 1000})


def test_scaffolds_variates_are_the_gradients_mean() -> None:
    """Option II: with full batches and small steps c_i is close to the site's own gradient at the global model."""
    spec, site = SCAFFOLD, separable(200, 1)
    part = contribute(spec, schedule(spec)[0], genesis(spec), site, 0)
    update, control = part.vectors
    np.testing.assert_allclose(part.keep["control"], -update / (5 * 0.1), rtol=1e-9)
    np.testing.assert_allclose(control, part.keep["control"], rtol=1e-12)


def test_scaffold_takes_the_drift_out() -> None:
    """At the pooled optimum of two opposite sites, plain local training walks away and SCAFFOLD's, knowing the variates, does not."""
    spec = study(
        strategy={"kind": "scaffold"},
        preprocessing=None,
        participants={"seats": 3},
        rounds=60,
        training={"learning_rate": 0.2, "steps": 10, "batch_size": 1000},
        weighting={"kind": "uniform"},
    )
    sites = [separable(200, seed, shift) for seed, shift in ((1, 3.0), (2, -3.0), (3, 0.0))]
    corrected = [done.state for done in simulate(spec, sites, stream(0), plain(clip=False))]
    control = corrected[-1].extras["memory.control"]
    assert np.abs(control).max() < 0.05, "at the optimum the mean gradient vanishes"
    moved = flatten(corrected[-1].weights, parameters(spec)) - flatten(corrected[-2].weights, parameters(spec))
    assert np.linalg.norm(moved) < 0.1


def test_what_an_organisation_keeps_is_what_it_sent() -> None:
    """A control difference beyond the bound is clipped at the organisation, so that its own variate stays in step with the server's."""
    spec = study(strategy={"kind": "scaffold"}, preprocessing=None, quantisation={"slot_bits": 24, "clip_norm": 0.01})
    kept = {"control": np.full(count(spec), 1.0)}
    part = contribute(spec, schedule(spec)[0], genesis(spec), separable(60, 1), 0, kept=kept)
    assert np.linalg.norm(part.vectors[1]) == pytest.approx(schedule(spec)[0].segments[1].quantisation.clip_norm)
    np.testing.assert_allclose(part.keep["control"], kept["control"] + part.vectors[1])


@pytest.mark.parametrize(
    ("schedule_", "factors"),
    [
        ({"kind": "constant"}, [1, 1, 1, 1]),
        ({"kind": "step", "factor": 0.5, "every": 2}, [1, 1, 0.5, 0.5]),
        ({"kind": "cosine", "floor": 0.2}, [1, 0.2 + 0.8 * (1 + 2**-0.5) / 2, 0.6, 0.2 + 0.8 * (1 - 2**-0.5) / 2]),
    ],
)
def test_learning_rate_schedules(schedule_: dict[str, Any], factors: list[float]) -> None:
    training = {"learning_rate": 0.5, "steps": 1, "batch_size": 1000, "schedule": schedule_}
    spec = study(training=training, preprocessing=None, rounds=4)
    assert [spec.training.schedule.at(r, 4) for r in range(4)] == pytest.approx(factors)
    site, state = separable(50, 1), genesis(spec)
    steps = schedule(spec)
    first = contribute(spec, steps[0], state, site, 0).vectors[0]
    later = GlobalState(state.weights, None, 2, state.spec_digest, state.extras)
    np.testing.assert_allclose(contribute(spec, steps[2], later, site, 0).vectors[0], factors[2] * first, rtol=1e-5, atol=1e-9)
