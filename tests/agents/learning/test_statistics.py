"""Federated statistics and the encrypted evaluation in the schedule: what is summed, what is withheld, what sites hold out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from defedbio.errors import InvalidData, InvalidInput
from defedbio.learning import statistics
from defedbio.learning.data import Dataset
from defedbio.learning.evaluation import evaluate, predict
from defedbio.learning.evaluation_sums import summary
from defedbio.learning.global_update import Sums, finalise
from defedbio.learning.local import contribute, hold_out
from defedbio.learning.plan import schedule
from defedbio.learning.preprocessing import Scaler, in_units, model_input, moments, target_input
from defedbio.learning.simulation import plain, simulate, stream
from defedbio.learning.state import GlobalState, genesis
from defedbio.spec import StudySpec

from .conftest import MLP, separable, study

COUNTED = study(statistics={"bins": 20, "minimum_cell": 5})
OPTIONAL = {
    "kind": "table",
    "columns": [{"name": "age", "min": 0, "max": 100, "missing": "mean"}, {"name": "dose", "min": -5, "max": 5, "missing": "mean"}],
}


def _totals(spec: StudySpec, sites: list[Dataset]) -> dict[str, Any]:
    parts = [statistics.counts(spec, s.x, s.y) for s in sites]
    return {name: np.sum([p[name] for p in parts], axis=0) for name in statistics.layout(spec)}


def test_the_report_is_that_of_all_rows_together() -> None:
    sites = [separable(rows, seed) for rows, seed in ((4000, 1), (6000, 2), (3000, 3))]
    report = statistics.report(COUNTED, _totals(COUNTED, sites))
    x, y = np.concatenate([s.x for s in sites]), np.concatenate([s.y for s in sites])
    assert report["rows"] == 13_000
    assert report["labels"] == {"label=yes": int(y.sum()), "label=no": int(len(y) - y.sum())}
    for column, feature in zip(x.T, report["features"], strict=True):
        assert feature["counted"] + feature["withheld"] == 13_000
        assert feature["withheld"] < 60, "only rare bins are withheld"
        assert feature["mean"] == pytest.approx(column.mean(), abs=feature["half_bin"])
        assert feature["sd"] == pytest.approx(column.std(), abs=feature["half_bin"])
        for q, value in feature["quantiles"].items():
            assert value == pytest.approx(np.quantile(column, float(q)), abs=2 * feature["half_bin"])


def test_small_cells_never_leave_a_site() -> None:
    """S4: a count of 1 to 4 is sent as 0, so no sum that is opened holds it."""
    site = separable(300, 4)
    for found in statistics.counts(COUNTED, site.x, site.y).values():
        assert not ((found > 0) & (found < 5)).any()
    one = statistics.counts(COUNTED, site.x[:1], site.y[:1])
    assert not any(found.any() for found in one.values())


def test_missing_values_are_counted_apart() -> None:
    spec = study(features=OPTIONAL, statistics={"bins": 4})
    x = separable(40, 1).x.copy()
    x[:10, 0] = np.nan
    found = statistics.report(spec, statistics.counts(spec, x, separable(40, 1).y))
    assert [f["missing"] for f in found["features"]] == [10, 0]


def test_more_rows_than_agreed_are_refused() -> None:
    spec = study(statistics={"rows": 10})
    with pytest.raises(InvalidInput, match="at most 10 rows"):
        statistics.counts(spec, separable(11, 1).x, separable(11, 1).y)


@pytest.mark.parametrize(
    ("task", "y", "expected"),
    [
        ({"kind": "multiclass", "target": "t", "classes": ["a", "b"]}, [[0], [1], [1]], {"a": 1, "b": 2}),
        ({"kind": "multitask", "targets": ["t", "u"]}, [[1, np.nan], [0, 1], [1, 1]], {"t=1": 2, "t=0": 1, "u=1": 2, "u=0": 0}),
        ({"kind": "survival", "time": "t", "event": "e"}, [[3, 1], [4, 0], [9, 1]], {"event": 2, "censored": 1}),
        ({"kind": "regression", "target": "t", "min": 0, "max": 10}, [[1], [9], [10]], {"0 to 5": 1, "5 to 10": 2}),
    ],
)
def test_label_counts_of_every_task(task: dict[str, Any], y: list[list[float]], expected: dict[str, int]) -> None:
    spec = study(task=task, statistics={"bins": 2, "minimum_cell": 1})
    found = statistics.counts(spec, separable(3, 1).x, np.array(y, np.float32))
    assert statistics.report(spec, found)["labels"] == expected


def test_the_schedule_of_a_study_with_everything() -> None:
    spec = study(statistics={}, evaluation={"bins": 8}, strategy={"kind": "scaffold"}, rounds=2)
    steps = schedule(spec)
    assert [s.kind for s in steps] == ["statistics", "moments", "train", "train", "evaluate"]
    assert [s.name for s in steps[2].segments] == [
        "update",
        "control",
        *[f"evaluation.{name}" for name in ("counts", "losses", "positive", "negative", "sites")],
    ]
    assert [s.training_round for s in steps[2:]] == [0, 1, 2]
    for step in steps:
        for segment in step.segments:
            segment.quantisation.check_slot_rule(spec.seats, 2.45)


def test_each_round_measures_the_model_it_starts_from() -> None:
    spec = study(evaluation={"fraction": 0.25, "bins": 1024}, model=MLP)
    sites = [separable(200, seed) for seed in range(3)]
    runs = list(simulate(spec, sites, stream(0), plain()))
    held = [hold_out(spec, s)[1] for s in sites]
    rows = Dataset(np.concatenate([h.x for h in held if h]), np.concatenate([h.y for h in held if h]))
    for before, after in pairwise(runs):
        measured, exact = summary(spec, after.state).values, evaluate(spec, before.state, rows)
        assert measured["samples"] == exact["samples"] == 150
        assert measured["accuracy"] == pytest.approx(exact["accuracy"])
        assert measured["roc_auc"] == pytest.approx(exact["roc_auc"], abs=measured["roc_auc_error"])
    assert GlobalState.from_bytes(runs[-1].state.to_bytes(), spec).to_bytes() == runs[-1].state.to_bytes()


def test_held_out_rows_are_never_trained_on() -> None:
    spec = study(evaluation={"fraction": 0.3})
    site = separable(50, 1)
    training, held_out = hold_out(spec, site)
    assert held_out is not None
    assert (len(training), len(held_out)) == (35, 15)
    together = np.concatenate([training.x, held_out.x])
    assert sorted(together.tolist()) == sorted(site.x.tolist())
    assert np.array_equal(hold_out(spec, site)[0].x, training.x), "the same rows in every round"
    part = contribute(spec, schedule(spec)[0], genesis(spec), site, 0)
    assert part.weight == 35


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_sites_of_a_few_rows_take_part(rows: int) -> None:
    spec = study(evaluation={})
    runs = list(simulate(spec, [separable(rows, 1), separable(40, 2), separable(60, 3)], stream(0), plain()))
    assert summary(spec, runs[-1].state).values["samples"] == 20 + (rows == 3)


def test_early_stopping_keeps_the_best_and_counts_rounds_without_gain() -> None:
    spec = study(evaluation={"early_stopping": {"patience": 2, "min_delta": 0.01}}, rounds=9, preprocessing=None)
    state, seen = genesis(spec), []
    for step, auc in zip(schedule(spec), (0.6, 0.7, 0.705, 0.8, 0.8, 0.8, 0.9), strict=False):
        parts = {s.name: np.zeros(s.length) for s in step.segments}
        # Negatives in the lowest bin, positives there and in the highest: any AUC from 1/2 to 1.
        parts["evaluation.positive"][[0, 63]] = [1000 * (2 - 2 * auc), 1000 * (2 * auc - 1)]
        parts["evaluation.negative"][0] = 1000
        parts["evaluation.counts"][0] = 2000
        state = finalise(spec, step, state, Sums(parts, 3))
        measured = summary(spec, state).values["roc_auc"]
        assert measured == pytest.approx(auc)
        seen.append((round(state.extras["stopping"][0], 6), state.extras["stopping"][1], state.stopped))
        if state.stopped:
            break
    assert seen == [(0.6, 0, False), (0.7, 0, False), (0.7, 1, False), (0.8, 0, False), (0.8, 1, False), (0.8, 2, True)]


def test_moments_leave_missing_values_out() -> None:
    """Sites that miss different values: the sums give mean and deviation of the values that are there."""
    spec = study(features=OPTIONAL)
    sites = []
    for seed, share in ((1, 0.5), (2, 0.0), (3, 0.9)):
        x = separable(100, seed).x.copy()
        x[np.random.default_rng(seed).random(x.shape) < share] = np.nan
        sites.append(Dataset(x, separable(100, seed).y))
    state = next(iter(simulate(spec, sites, stream(0), plain()))).state
    z = (np.concatenate([s.x for s in sites]).astype(np.float64) - [0, -5]) / [100, 10]
    assert state.scaler is not None
    np.testing.assert_allclose(state.scaler.mean, np.nanmean(z, axis=0), atol=1e-9)
    np.testing.assert_allclose(state.scaler.std, np.nanstd(z, axis=0), atol=1e-9)
    assert model_input(spec, state.scaler, np.full((1, 2), np.nan, np.float32)).tolist() == [[0, 0]], "a missing value is the mean"


def test_a_column_that_no_site_has_is_harmless() -> None:
    spec = study(features=OPTIONAL)
    x = separable(30, 1).x.copy()
    x[:, 1] = np.nan
    runs = list(simulate(spec, [Dataset(x, separable(30, 1).y)] * 3, stream(0), plain()))
    assert np.isfinite(predict(spec, runs[-1].state, x)).all()


REGRESSION = {"kind": "regression", "target": "y", "min": -10, "max": 10, "unit": "log(mol/l)"}


def test_regression_learns_in_its_own_unit() -> None:
    spec = study(task=REGRESSION, training={"learning_rate": 0.2, "steps": 50, "batch_size": 64}, rounds=4)
    sites = []
    for seed in range(3):
        x = separable(150, seed).x
        y = 0.05 * x[:, :1] - 0.8 * x[:, 1:] + np.random.default_rng(seed).normal(0, 0.1, (150, 1))
        sites.append(Dataset(x, y.astype(np.float32)))
    state = [done.state for done in simulate(spec, sites, stream(0), plain())][-1]
    assert state.scaler is not None
    assert state.scaler.mean.shape == (3,), "two features and the target"
    assert evaluate(spec, state, sites[0])["rmse"] == pytest.approx(0.1, abs=0.03)
    assert GlobalState.from_bytes(state.to_bytes(), spec).to_bytes() == state.to_bytes()


def test_targets_come_back_in_units() -> None:
    spec = study(task=REGRESSION)
    y = np.array([[-10], [0.5], [10]], np.float32)
    for scaler in (None, Scaler(np.array([0.5, 0.5, 0.4]), np.array([0.1, 0.1, 0.2]))):
        np.testing.assert_allclose(in_units(spec, scaler, target_input(spec, scaler, y).astype(np.float64)), y, atol=1e-5)
    assert moments(spec, separable(5, 1).x, np.full((5, 1), 5, np.float32))[2] == 0.75


def test_too_few_sites_that_can_train_are_said() -> None:
    spec = study(model=MLP, training={"learning_rate": 100.0, "momentum": 0.99, "weight_decay": 1.0, "steps": 500, "batch_size": 8})
    with pytest.raises(InvalidData, match="only 0 of 3 sites could contribute to step 1: local training diverged"):
        list(simulate(spec, [separable(60, s) for s in range(3)], stream(0), plain(), minimum=3))
