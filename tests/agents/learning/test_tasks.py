"""Every task under one class: its loss against an oracle, and the encrypted evaluation's sums against metrics of all rows together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from defedbio.learning.tasks import Task, open_task
from defedbio.learning.tasks.shared import histogram, histogram_auc
from defedbio.learning.tasks.survival import concordance
from defedbio.spec import EvaluationSpec, StudySpec

from .conftest import study

SPECS: dict[str, dict[str, Any]] = {
    "binary": {"kind": "binary", "target": "label"},
    "multiclass": {"kind": "multiclass", "target": "label", "classes": ["a", "b", "c"]},
    "multitask": {"kind": "multitask", "targets": ["t1", "t2"]},
    "regression": {"kind": "regression", "target": "y", "min": -4, "max": 4},
    "survival": {"kind": "survival", "time": "days", "event": "dead"},
}
EVALUATION = EvaluationSpec(bins=200, minimum_cell=5)


@dataclass(frozen=True)
class Case:
    spec: StudySpec

    @property
    def task(self) -> Task:
        return open_task(self.spec)

    def rows(self, count: int, seed: int) -> tuple[Any, Any]:
        """Labels and the scores of a model that knows something about them."""
        generator = np.random.default_rng(seed)
        outputs = generator.normal(size=(count, self.spec.task.outputs))
        noisy = outputs + generator.normal(size=outputs.shape)
        match self.spec.task.kind:
            case "multiclass":
                y = noisy.argmax(axis=1)[:, None]
            case "multitask":
                y = np.where(generator.random(outputs.shape) < 0.3, np.nan, noisy > 0)
            case "regression":
                outputs, y = np.clip(outputs, -4, 4), np.clip(noisy, -4, 4)
            case "survival":
                y = np.stack([np.round(np.exp(-noisy[:, 0]) * 50), generator.random(count) < 0.6], axis=1)
            case _:
                y = noisy > 0
        return y.astype(np.float32), self.task.scores(outputs)


@pytest.fixture(params=SPECS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(study(task=SPECS[request.param]))


class TestEveryTask:
    def test_the_loss_falls_when_the_outputs_agree(self, case: Case) -> None:
        y, _ = case.rows(60, 1)
        outputs = torch.zeros(60, case.spec.task.outputs, requires_grad=True)
        before = case.task.loss(outputs, torch.from_numpy(y))
        before.backward()
        assert outputs.grad is not None
        after = case.task.loss(outputs - 0.1 * outputs.grad, torch.from_numpy(y))
        assert 0 < after.item() < before.item()

    def test_summed_measures_give_the_metrics_of_all_rows(self, case: Case) -> None:
        """Sites of unequal size: the sums say what one would measure on their rows together."""
        sites = [case.rows(rows, seed) for rows, seed in ((80, 1), (300, 2), (50, 3))]
        found = [case.task.measure(y, s, EVALUATION) for y, s in sites]
        totals = {m.name: np.sum([f[m.name] for f in found], axis=0) for m in case.task.measures(EVALUATION)}
        summary = case.task.summary(totals)
        together = case.task.metrics(np.concatenate([y for y, _ in sites]), np.concatenate([s for _, s in sites]))
        for name in set(summary) & set(together) - {"roc_auc", "c_index"}:
            assert summary[name] == pytest.approx(together[name], rel=1e-6), name
        if case.spec.task.kind in ("binary", "multitask"):
            assert abs(summary["roc_auc"] - together["roc_auc"]) <= summary["roc_auc_error"] < 0.01
        aim = case.task.aim.metric
        own = np.array([case.task.metrics(y, s)[aim] for y, s in sites])
        assert summary[f"{aim}_site_mean"] == pytest.approx(own.mean(), rel=1e-9)
        assert summary[f"{aim}_site_sd"] == pytest.approx(own.std(), rel=1e-5)

    def test_measures_keep_to_their_lengths_and_bounds(self, case: Case) -> None:
        y, scores = case.rows(200, 4)
        bounds = EvaluationSpec(rows=200)
        for measure in case.task.measures(bounds):
            part = case.task.measure(y, scores, bounds)[measure.name]
            assert part.shape == (measure.length,)
            assert np.abs(part).max() <= measure.bound

    def test_a_site_with_too_few_rows_tells_nothing_of_itself(self, case: Case) -> None:
        y, scores = case.rows(4, 5)
        found = case.task.measure(y, scores, EVALUATION)
        assert not found["sites"].any()
        for name in set(found) & {"positive", "negative", "classes", "hits", "pairs", "sums"}:
            assert not found[name].any(), name

    def test_sums_of_nothing_are_no_metric(self, case: Case) -> None:
        summary = case.task.summary({m.name: np.zeros(m.length) for m in case.task.measures(EVALUATION)})
        assert summary[case.task.aim.metric] is None
        assert summary[f"{case.task.aim.metric}_site_mean"] is None

    def test_two_sites_get_no_spread(self, case: Case) -> None:
        """Mean and deviation of two values are the two values."""
        found = [case.task.measure(*case.rows(100, seed), EVALUATION) for seed in (1, 2)]
        totals = {m.name: np.sum([f[m.name] for f in found], axis=0) for m in case.task.measures(EVALUATION)}
        assert case.task.summary(totals)[f"{case.task.aim.metric}_site_mean"] is None


def test_multitask_loss_leaves_missing_labels_out() -> None:
    task = open_task(study(task=SPECS["multitask"]))
    outputs = torch.tensor([[0.3, 5.0], [-2.0, 7.0]])
    y = torch.tensor([[1.0, torch.nan], [0.0, torch.nan]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], y[:, 0])
    assert task.loss(outputs, y).item() == pytest.approx(expected.item())
    assert task.loss(outputs, torch.full((2, 2), torch.nan)).item() == 0


def _breslow(hazard: Any, y: Any) -> float:
    """The definition, one risk set after another."""
    terms = [np.log(np.exp(hazard[y[:, 0] >= time]).sum()) - own for own, (time, event) in zip(hazard, y, strict=True) if event]
    return float(np.mean(terms)) if terms else 0.0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(-3, 3)), min_size=1, max_size=12))
def test_the_cox_loss_is_breslows(rows: list[tuple[int, bool, float]]) -> None:
    """Tied times included; rows without events cost nothing."""
    y = np.array([[time, event] for time, event, _ in rows], dtype=np.float32)
    hazard = np.array([h for *_, h in rows], dtype=np.float32)
    loss = open_task(study(task=SPECS["survival"])).loss(torch.from_numpy(hazard[:, None]), torch.from_numpy(y))
    assert loss.item() == pytest.approx(_breslow(hazard.astype(np.float64), y), abs=1e-4)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=2, max_size=12))
def test_concordance_counts_pairs(rows: list[tuple[int, bool, int]]) -> None:
    y = np.array([[time, event] for time, event, _ in rows], dtype=np.float32)
    hazard = np.array([h for *_, h in rows], dtype=np.float64)
    pairs = [
        (hazard[i], hazard[j])
        for i in range(len(rows))
        for j in range(len(rows))
        if rows[i][1] and (rows[i][0] < rows[j][0] or (rows[i][0] == rows[j][0] and not rows[j][1]))
    ]
    assert concordance(y, hazard) == (len(pairs), sum(a > b for a, b in pairs), sum(a == b for a, b in pairs))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=60), st.integers(2, 40))
def test_the_histogram_auc_is_within_its_stated_error(rows: list[tuple[bool, float]], bins: int) -> None:
    truth, scores = np.array([t for t, _ in rows]), np.array([s for _, s in rows])
    auc, error = histogram_auc(histogram(scores[truth], bins), histogram(scores[~truth], bins))
    if truth.all() or not truth.any():
        assert auc is None
    else:
        assert abs(auc - roc_auc_score(truth, scores)) <= error + 1e-12
