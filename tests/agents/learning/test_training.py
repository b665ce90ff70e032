"""Local training, evaluation and the baselines, on data made here."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from defedbio.errors import InvalidData, InvalidInput
from defedbio.learning import baselines
from defedbio.learning.data import Dataset
from defedbio.learning.evaluation import evaluate, predict
from defedbio.learning.global_update import Sums, finalise
from defedbio.learning.local import contribute, use_threads
from defedbio.learning.parameters import flatten, parameters
from defedbio.learning.plan import schedule
from defedbio.learning.preprocessing import model_input
from defedbio.learning.simulation import clipped
from defedbio.learning.state import GlobalState, genesis
from defedbio.learning.tasks.binary import BinaryTask
from defedbio.spec import StudySpec

from .conftest import MLP, separable, study


def _ready(spec: StudySpec) -> GlobalState:
    return finalise(spec, schedule(spec)[0], genesis(spec), Sums({"moments": np.array([0.5, 0.5, 0.3, 0.3])}, 10))


@pytest.mark.parametrize("model", [{"kind": "logistic"}, MLP])
def test_training_depends_on_the_seed_alone(model: dict[str, object]) -> None:
    spec = study(model=model)
    step, state, site = schedule(spec)[1], _ready(spec), separable(60, 1)
    before = state.to_bytes()
    first = contribute(spec, step, state, site, 5)
    assert first.vectors[0].shape == (step.length,)
    assert first.vectors[0].dtype == np.float64
    assert np.array_equal(first.vectors[0], contribute(spec, step, state, site, 5).vectors[0])
    assert not np.array_equal(first.vectors[0], contribute(spec, step, state, site, 6).vectors[0])
    assert state.to_bytes() == before


def test_progress_counts_minibatches() -> None:
    spec = study()
    seen: list[tuple[int, int]] = []
    contribute(spec, schedule(spec)[1], _ready(spec), separable(60, 1), 5, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 10) for i in range(1, 11)]


def test_one_step_of_full_batch_is_the_gradient() -> None:
    """One SGD step from zero weights: the update is -rate * mean((sigmoid(0) - y) * x)."""
    spec = study(training={"learning_rate": 0.5, "steps": 1, "batch_size": 1000})
    state, site = _ready(spec), separable(30, 2)
    x = model_input(spec, state.scaler, site.x).astype(np.float64)
    error = 0.5 - site.y[:, 0].astype(np.float64)
    expected = -0.5 * np.r_[(error[:, None] * x).mean(0), error.mean()]
    np.testing.assert_allclose(contribute(spec, schedule(spec)[1], state, site, 1).vectors[0], expected, atol=1e-6)


def test_averaging_equal_updates_is_training_alone() -> None:
    """FedAvg of organisations with the same data, seeds and steps equals one organisation's own step."""
    spec = study(model=MLP)
    step, state, site = schedule(spec)[1], _ready(spec), separable(40, 3)
    parts = [contribute(spec, step, state, site, 9) for _ in range(3)]
    weight = sum(p.weight for p in parts)
    mean = sum(p.weight * p.vectors[0] for p in parts) / weight
    together = finalise(spec, step, state, Sums({"update": mean}, weight))
    alone = finalise(spec, step, state, Sums({"update": parts[0].vectors[0]}, parts[0].weight))
    np.testing.assert_allclose(flatten(together.weights, parameters(spec)), flatten(alone.weights, parameters(spec)), rtol=1e-6)


def test_federated_of_one_site_is_local_training() -> None:
    spec, site = study(model=MLP), separable(50, 4)
    assert baselines.federated(spec, [site], 3, clip=False).to_bytes() == baselines.local_only(spec, site, 3).to_bytes()


def test_local_training_ignores_the_server_rate() -> None:
    site = separable(50, 4)
    slow = study(strategy={"kind": "fedavg", "server_learning_rate": 0.5})
    expected = flatten(baselines.local_only(study(), site, 3).weights, parameters(slow))
    np.testing.assert_allclose(flatten(baselines.local_only(slow, site, 3).weights, parameters(slow)), expected, rtol=1e-5)


def test_logistic_converges_to_scikit_learns() -> None:
    """Batches of all rows until the loss is flat: the same minimum as L-BFGS without a penalty."""
    spec = study(training={"learning_rate": 2.0, "momentum": 0.9, "steps": 300, "batch_size": 1000}, rounds=2)
    site = separable(300, 5)
    state = baselines.local_only(spec, site, 0)
    x = model_input(spec, state.scaler, site.x)
    reference = LogisticRegression(C=1e9, tol=1e-8, max_iter=1000).fit(x, site.y[:, 0])
    np.testing.assert_allclose(state.weights["layer0.weight"][0], reference.coef_[0], rtol=0.01)
    np.testing.assert_allclose(predict(spec, state, site.x)[:, 0], reference.predict_proba(x)[:, 1], atol=5e-3)


def test_federation_learns_what_no_shifted_site_sees() -> None:
    """Sites that each see one half of the dose range: the common model is better everywhere than the mean of their own."""
    spec = study(model={"kind": "mlp", "hidden": [8]}, training={"learning_rate": 0.3, "steps": 40, "batch_size": 32}, rounds=4)
    sites = [separable(80, 1, 3.0), separable(80, 2, -3.0), separable(80, 3, 0.0)]
    test = separable(2000, 99)
    alone = [evaluate(spec, baselines.local_only(spec, s, 1), test)["accuracy"] for s in sites]
    together = evaluate(spec, baselines.federated(spec, sites, 1), test)["accuracy"]
    assert together > np.mean(alone)
    assert together > 0.85


def test_a_site_with_one_class_or_one_row_takes_part() -> None:
    spec = study()
    one = separable(40, 6)
    ones = Dataset(one.x, np.ones_like(one.y))
    for site in (ones, Dataset(one.x[:1], one.y[:1])):
        vector = contribute(spec, schedule(spec)[1], _ready(spec), site, 0).vectors[0]
        assert np.isfinite(vector).all()
        assert vector.any()
    metrics = evaluate(spec, _ready(spec), ones)
    assert metrics["roc_auc"] is None
    assert metrics["balanced_accuracy"] is None
    assert metrics["log_loss"] > 0


def test_divergence_is_said_and_not_sent() -> None:
    spec = study(model=MLP, training={"learning_rate": 100.0, "momentum": 0.99, "weight_decay": 1.0, "steps": 500, "batch_size": 8})
    with pytest.raises(InvalidData, match="local training diverged at minibatch"):
        contribute(spec, schedule(spec)[1], _ready(spec), separable(60, 1), 0)


def test_wrong_arguments_are_refused() -> None:
    spec = study()
    site = separable(10, 1)
    with pytest.raises(InvalidInput, match="must not be negative"):
        contribute(spec, schedule(spec)[1], _ready(spec), site, -1)
    with pytest.raises(InvalidInput, match="the study has 2 features, the data 1"):
        contribute(spec, schedule(spec)[1], _ready(spec), Dataset(site.x[:, :1], site.y), 0)
    with pytest.raises(InvalidInput, match="at least one thread"):
        use_threads(0)
    with pytest.raises(InvalidInput, match="at least one dataset"):
        baselines.federated(spec, [], 0)


def test_clipping_limits_the_norm_only_when_it_is_exceeded() -> None:
    vector = np.array([3.0, 4.0])
    assert clipped(vector, 5.0).tolist() == [3, 4]
    assert clipped(vector, 2.5).tolist() == [1.5, 2]
    assert clipped(vector, None).tolist() == [3, 4]


def test_metrics_by_hand() -> None:
    task = BinaryTask()
    metrics = task.metrics(np.array([[0], [0], [1], [1]], np.float32), np.array([[0.1], [0.6], [0.4], [0.9]]))
    assert metrics == {
        "samples": 4,
        "roc_auc": 0.75,
        "accuracy": 0.5,
        "balanced_accuracy": 0.5,
        "log_loss": pytest.approx(-np.log([0.9, 0.4, 0.4, 0.9]).mean()),
        "brier": pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4),
    }
    with pytest.raises(InvalidInput, match="as many scores as labels"):
        task.metrics(np.zeros((0, 1), np.float32), np.zeros((0, 1)))


def test_probabilities_do_not_overflow() -> None:
    scores = BinaryTask().scores(np.array([-1e5, -1.0, 0.0, 1.0, 1e5]))
    assert scores[[0, 2, 4]].tolist() == [0, 0.5, 1]
    assert scores[1] == pytest.approx(1 - scores[3])


def test_predict_in_chunks_equals_predict_at_once() -> None:
    spec = study(model=MLP)
    state, x = _ready(spec), separable(9000, 8).x
    scores = predict(spec, state, x)
    assert scores.shape == (9000, 1)
    np.testing.assert_allclose(scores[5000:5010], predict(spec, state, x[5000:5010]), rtol=1e-6)
    assert predict(spec, state, x[:0]).shape == (0, 1)
