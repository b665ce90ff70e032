"""Fine-tuning: it helps a site that differs, leaves a site alone that does not, and never lets held-out rows into the tuning."""

from __future__ import annotations

import numpy as np
import pytest

from defedbio.errors import InvalidData
from defedbio.learning import baselines
from defedbio.learning.data import Dataset
from defedbio.learning.evaluation import evaluate
from defedbio.learning.personalise import Choice, personalise
from defedbio.learning.state import GlobalState

from .conftest import separable, study

SPEC = study(training={"learning_rate": 0.3, "steps": 20, "batch_size": 32})
SITES = [separable(200, seed) for seed in range(3)]


def _shifted(rows: int, seed: int) -> Dataset:
    """A site whose labels follow another threshold: an intercept mends it."""
    site = separable(rows, seed)
    score = (site.x[:, :1] - 50) / 15 - 1.2 * site.x[:, 1:]
    return Dataset(site.x, (score > 2.0).astype(np.float32))


@pytest.fixture(scope="module")
def state() -> GlobalState:
    return baselines.federated(SPEC, SITES, 0)


def test_a_site_that_differs_gains(state: GlobalState) -> None:
    done = personalise(SPEC, state, _shifted(200, 7), 0)
    assert done.choice.moves != "nothing"
    assert done.loss < 0.8 * done.global_loss
    new = _shifted(2000, 99)
    tuned, plain = evaluate(SPEC, done.state, new)["log_loss"], evaluate(SPEC, state, new)["log_loss"]
    assert tuned is not None and plain is not None and tuned < plain, "on rows nobody has seen, too"


def test_a_site_that_does_not_differ_keeps_the_global_model() -> None:
    """Tuned on labels that are noise, every change raises the held-out loss."""
    generator = np.random.default_rng(3)
    noise = Dataset(SITES[0].x[:40], generator.integers(0, 2, (40, 1)).astype(np.float32))
    spec = study(training={"learning_rate": 5.0, "steps": 20, "batch_size": 8})
    level = baselines.local_only(SPEC, Dataset(SITES[0].x, np.tile([[0.0], [1.0]], (100, 1)).astype(np.float32)), 0)
    done = personalise(spec, level, noise, 0)
    assert done.choice == Choice("nothing", 0)
    assert done.state is level
    assert done.metrics == done.global_metrics


def test_only_the_chosen_layers_move(state: GlobalState) -> None:
    done = personalise(SPEC, state, _shifted(60, 3), 1)
    if done.choice.moves == "intercept":
        assert np.array_equal(done.state.weights["layer0.weight"], state.weights["layer0.weight"])
    assert not np.array_equal(done.state.weights["layer0.bias"], state.weights["layer0.bias"])


def test_it_depends_on_the_seed_alone(state: GlobalState) -> None:
    site = _shifted(60, 3)
    assert personalise(SPEC, state, site, 4).state.to_bytes() == personalise(SPEC, state, site, 4).state.to_bytes()


def test_too_few_rows_are_refused(state: GlobalState) -> None:
    with pytest.raises(InvalidData, match="at least 20 rows"):
        personalise(SPEC, state, separable(19, 1), 0)
