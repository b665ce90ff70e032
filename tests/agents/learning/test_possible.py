"""Opened sums that honest organisations cannot give: no metric, no scaler, and never a model that nobody can load."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import encoding
from defedbio.errors import InvalidInput
from defedbio.learning.evaluation_sums import Evaluation, summary
from defedbio.learning.global_update import Sums, finalise
from defedbio.learning.plan import EVALUATION, Step, schedule
from defedbio.learning.possible import ImpossibleSums
from defedbio.learning.state import GlobalState, genesis
from defedbio.learning.statistics_sums import report
from defedbio.learning.tasks import open_task
from defedbio.spec import StudySpec

from .conftest import study
from .test_association import _spec as genotype_study
from .test_statistics import OPTIONAL
from .test_strategies import STRATEGIES
from .test_tasks import SPECS, Case

STOPPING = {"early_stopping": {"patience": 2, "min_delta": 0.01}}
REGRESSION = SPECS["regression"]
STUDIES = {
    **{f"task {name}": study(task=task, evaluation=STOPPING | {"bins": 8}, statistics={"bins": 4}) for name, task in SPECS.items()},
    **{f"strategy {name}": study(strategy=strategy, evaluation=STOPPING | {"bins": 8}) for name, strategy in STRATEGIES.items()},
    "missing values": study(features=OPTIONAL, statistics={"bins": 4}),
    "association": genotype_study(3),
    "association of a trait": genotype_study(3, task=REGRESSION),
    "narrow slots": study(evaluation={}, quantisation={"slot_bits": 16, "clip_norm": 2.0}),
}


@given(data=st.data())
@settings(max_examples=10, deadline=None)
@pytest.mark.parametrize("name", STUDIES)
def test_whatever_is_opened_gives_a_model_that_its_reader_takes_or_none(name: str, data: st.DataObject) -> None:
    """From the slots up: any totals that decode, in every step of the study; a step that is refused is done again with nothing in it."""
    spec = STUDIES[name]
    state = genesis(spec)
    for step in schedule(spec):
        try:
            state = _after(spec, step, state, _hostile(step, spec.seats, data))
        except InvalidInput:
            state = _after(spec, step, state, np.concatenate([[3], np.zeros(step.length)]).astype(np.int64))
        assert state.step == step.index + 1
        if spec.evaluation is not None:
            found = summary(spec, state)
            assert bool(found.unusable) <= all(value is None for value in found.values.values())
            json.dumps(found.values, allow_nan=False)
        json.dumps(report(spec, state), allow_nan=False)


def _after(spec: StudySpec, step: Step, state: GlobalState, totals: np.ndarray[Any, np.dtype[np.int64]]) -> GlobalState:
    decoded = encoding.decode(totals, step.segments, 3)
    vectors = {segment.name: vector for segment, vector in zip(step.segments, decoded.vectors, strict=True)}
    return GlobalState.from_bytes(finalise(spec, step, state, Sums(vectors, decoded.weight)).published(spec), spec)


def _hostile(step: Step, seats: int, data: st.DataObject) -> np.ndarray[Any, np.dtype[np.int64]]:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
    weight = data.draw(st.sampled_from([0, 3, 17, 3 * step.weight_cap, 4 * step.weight_cap]), "weight")
    pieces = [np.array([weight])]
    for segment in step.segments:
        limit = 3 * segment.quantisation.largest
        unit = max(1, int(segment.quantisation.scale))
        pieces.append(
            {
                "lowest": lambda n, high=limit: np.full(n, -high),
                "highest": lambda n, high=limit: np.full(n, high),
                "nothing": lambda n: np.zeros(n),
                "anything": lambda n, high=limit: generator.integers(-high, high, n, endpoint=True),
                "counts": lambda n, high=limit, one=unit: np.minimum(generator.integers(0, 50, n) * one, high),
                "signs": lambda n, high=limit: generator.choice([-high, -1, 0, 1, high], n),
            }[data.draw(st.sampled_from(["lowest", "highest", "nothing", "anything", "counts", "signs"]), segment.name)](segment.length)
        )
    return np.concatenate(pieces).astype(np.int64)


@pytest.mark.parametrize("bits", [16, 24, 48])
@pytest.mark.parametrize("task", SPECS)
def test_what_honest_organisations_send_is_usable_however_narrow_the_slots(task: str, bits: int) -> None:
    """Through the real encoding, whose rounding is the only thing between the measures and their sums."""
    spec = study(task=SPECS[task], evaluation={"minimum_cell": 1}, quantisation={"slot_bits": bits, "clip_norm": 2.0})
    evaluation, step = spec.evaluation, schedule(spec)[-1]
    assert evaluation is not None and step.kind == "evaluate"
    case, rand = Case(spec), np.random.default_rng(bits).bytes
    for round_ in range(8):
        totals = []
        for site, rows in enumerate((1, 2, 40, 200)):
            found = case.task.measure(*case.rows(rows, 10 * round_ + site), evaluation)
            totals.append(encoding.encode([found[s.name.removeprefix(EVALUATION)] for s in step.segments], 1, step.segments, rand))
        state = replace(genesis(spec), step=step.index)
        assert summary(spec, _measured(spec, state, sum(totals[1:], start=totals[0]))).unusable == ""


def _measured(spec: StudySpec, state: GlobalState, totals: np.ndarray[Any, np.dtype[np.int64]]) -> GlobalState:
    step = schedule(spec)[state.step]
    decoded = encoding.decode(totals, step.segments, spec.seats)
    return finalise(spec, step, state, Sums({s.name: v for s, v in zip(step.segments, decoded.vectors, strict=True)}, decoded.weight))


GOOD: dict[str, dict[str, list[float]]] = {
    "binary": {
        "counts": [100, 80],
        "losses": [50, 20],
        "positive": [0, 0, 20, 20],
        "negative": [30, 20, 10, 0],
        "sites": [3, 2.4, 2],
    },
    "multiclass": {"classes": [50, 30, 20], "hits": [40, 20, 20], "losses": [50], "sites": [3, 2.4, 2]},
    "multitask": {
        "positive": [0, 0, 20, 20] * 2,
        "negative": [30, 20, 10, 0] * 2,
        "losses": [50, 60],
        "sites": [3, 2.4, 2],
    },
    "regression": {"counts": [100], "sums": [4, 15, 50, 30], "sites": [3, 0.6, 0.2]},
    "survival": {"counts": [100, 60], "pairs": [2000, 1500, 10], "sites": [3, 2.4, 2]},
}


def _evaluated(task: str, changes: dict[str, list[float]]) -> Evaluation:
    spec = study(task=SPECS[task], evaluation={"bins": 4}, quantisation={"slot_bits": 40, "clip_norm": 2.0})
    extras = {f"{EVALUATION}{name}": np.array(values, dtype=np.float64) for name, values in (GOOD[task] | changes).items()}
    state = genesis(spec)
    assert {n: len(v) for n, v in extras.items()} == {n: len(v) for n, v in state.extras.items()}
    return summary(spec, replace(state, extras=extras))


@pytest.mark.parametrize("task", SPECS)
def test_sums_that_can_be_are_metrics(task: str) -> None:
    found = _evaluated(task, {})
    assert found.unusable == ""
    assert found.values[open_task(study(task=SPECS[task])).aim.metric] is not None


@pytest.mark.parametrize(
    ("task", "changes", "reason"),
    [
        ("binary", {"counts": [-1, -1]}, "counts below 0"),
        ("binary", {"counts": [100, 101]}, "more right predictions than rows"),
        ("binary", {"counts": [100.5, 80]}, "parts of a row in counts"),
        ("binary", {"counts": [90, 80]}, "more scores in the histograms than rows"),
        ("binary", {"losses": [2001, 20]}, "a larger log-loss"),
        ("binary", {"losses": [50, 101]}, "a larger Brier score"),
        ("binary", {"positive": [0, -20, 20, 20]}, "positive below 0"),
        ("binary", {"negative": [30, 20, 10.25, 0]}, "parts of a row in negative"),
        ("binary", {"sites": [3, 3.5, 3]}, "metrics above 1"),
        ("binary", {"sites": [3, 2.4, 1.8]}, "a variance of the sites' metrics below 0"),
        ("binary", {"sites": [3, 2.4, 2.5]}, "a larger square of the sites' metrics"),
        ("binary", {"sites": [-3, -2.4, 2]}, "sites below 0"),
        ("multiclass", {"hits": [40, 31, 9]}, "more right predictions of a class"),
        ("multiclass", {"losses": [2001]}, "a larger log-loss"),
        ("multitask", {"losses": [50, 2001]}, "a larger log-loss of a label"),
        ("multitask", {"negative": [30, 20, 10, -1] * 2}, "negative below 0"),
        ("regression", {"sums": [-4, 15, 50, 30]}, "sums below 0"),
        ("regression", {"sums": [401, 200, 50, 30]}, "a larger square of errors"),
        ("regression", {"sums": [4, 30, 50, 30]}, "a variance of errors as parts of the worst below 0"),
        ("regression", {"sums": [4, 15, 50, 24]}, "a variance of the targets as parts of their range below 0"),
        ("regression", {"sums": [4, 15, 50, 51]}, "a larger square of the targets"),
        ("regression", {"counts": [0]}, "errors as parts of the worst above 1"),
        ("survival", {"counts": [100, 101]}, "more events than rows"),
        ("survival", {"pairs": [6001, 1500, 10]}, "more comparable pairs"),
        ("survival", {"pairs": [2000, 1995, 10]}, "more concordant and tied pairs"),
        ("survival", {"pairs": [2000, -1500, 10]}, "pairs below 0"),
    ],
)
def test_sums_that_cannot_be_are_no_metric_and_say_why(task: str, changes: dict[str, list[float]], reason: str) -> None:
    found, good = _evaluated(task, changes), _evaluated(task, {})
    assert reason in found.unusable
    assert found.values == dict.fromkeys(good.values)


@pytest.mark.parametrize(
    ("moments", "reason"),
    [
        ([0.5, 0.5, 0.3, 0.2], "variance of features as parts of their range below 0"),
        ([0.5, 0.5, 0.2, 0.6], "larger square"),
        ([-0.1, 0.5, 0.2, 0.3], "moments below 0"),
        ([1.2, 0.5, 1.1, 0.3], "above 1"),
    ],
)
def test_moments_that_no_data_have_make_no_scaler(moments: list[float], reason: str) -> None:
    """A study standardises once, for good: the round is void, and the next one sums again."""
    spec = study()
    with pytest.raises(ImpossibleSums, match=reason):
        finalise(spec, schedule(spec)[0], genesis(spec), Sums({"moments": np.array(moments)}, 10))


@pytest.mark.parametrize("cap", [1, 1_000_000])
def test_moments_of_constant_and_binary_features_are_possible(cap: int) -> None:
    """The edges of what is possible, where rounding leaves it first: no variance, and squares as large as the values."""
    spec = study(weighting={"kind": "samples", "cap": cap}, quantisation={"slot_bits": 32, "clip_norm": 2.0}, participants={"seats": 256})
    step, rand = schedule(spec)[0], np.random.default_rng(0).bytes
    for value in (0.0, 1e-9, 1 / 3, 1.0):
        parts = [
            encoding.encode([np.array([value, share, value * value, share])], 1, step.segments, rand)
            for share in np.random.default_rng(1).uniform(size=16)
        ]
        decoded = encoding.decode(sum(parts[1:], start=parts[0]), step.segments, len(parts))
        assert finalise(spec, step, genesis(spec), Sums({"moments": decoded.vectors[0]}, decoded.weight)).scaler is not None


def test_values_that_more_rows_have_than_there_are_make_no_scaler() -> None:
    spec = study(features=OPTIONAL)
    with pytest.raises(ImpossibleSums, match="more values than rows"):
        finalise(spec, schedule(spec)[0], genesis(spec), Sums({"moments": np.array([0.1] * 4 + [1.1, 1.0])}, 10))


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("rows", [-100.0], "rows below 0"),
        ("missing", [3.0, 0.0], "under the minimum cell of 5"),
        ("labels", [60.0, 60.0], "more labels than rows"),
        ("histogram", [50.0, 0, 0, 51.0, 0, 0, 0, 0], "more values of a feature than rows"),
        ("histogram", [50.5, 0, 0, 10.0, 0, 0, 0, 0], "parts of a row"),
    ],
)
def test_counts_that_cannot_be_are_no_statistics(name: str, values: list[float], reason: str) -> None:
    spec = study(statistics={"bins": 4})
    counted = {"rows": [100.0], "histogram": [50.0, 0, 0, 50.0] * 2, "missing": [0.0, 0.0], "labels": [50.0, 50.0]}

    def told(found: dict[str, list[float]]) -> Any:
        extras = {f"statistics.{key}": np.array(vector) for key, vector in found.items()}
        return report(spec, replace(genesis(spec), step=1, extras=extras))

    assert told(counted)["rows"] == 100
    assert list(told(counted | {name: values})) == ["unusable"]
    assert reason in told(counted | {name: values})["unusable"]


def test_scores_beyond_information_and_residuals_are_no_association() -> None:
    spec = genotype_study(2, task=REGRESSION)
    step = schedule(spec)[0]
    zeros = {s.name: np.zeros(s.length) for s in step.segments}
    good = zeros | {"statistics.rows": np.array([100.0]), "statistics.residuals": np.array([10.0, 99.0])}
    for score, information, reason in (
        (3.0, 1.0, ""),
        (4.0, 1.0, "a larger score"),
        (0.0, -1.0, "below 0"),
        (0.0, 101.0, "more information"),
    ):
        sums = good | {"statistics.score": zeros["statistics.score"] + score}
        sums |= {"statistics.information": zeros["statistics.information"] + information}
        found = report(spec, finalise(spec, step, genesis(spec), Sums(sums, 3)))
        assert found is not None and reason in found.get("unusable", "")


def test_rounds_without_a_usable_metric_neither_end_the_training_nor_count() -> None:
    """Else one organisation could stop a study by sending nonsense `patience` times, or spoil its first measure for good."""
    spec = study(task=REGRESSION, evaluation=STOPPING, rounds=8, preprocessing=None)
    state, seen = genesis(spec), []
    for step, squares in zip(schedule(spec), (-1.0, None, 9.0, -1.0, 4.0, 4.0, -9.0, 4.0), strict=False):
        parts = {s.name: np.zeros(s.length) for s in step.segments}
        if squares is not None:
            parts |= {"evaluation.counts": np.array([100.0]), "evaluation.sums": np.array([squares, max(squares, 0.0), 0, 0])}
        state = GlobalState.from_bytes(finalise(spec, step, state, Sums(parts, 3)).published(spec), spec)
        best, since, over, known = state.extras["stopping"].tolist()
        seen.append((round(best, 2), since, bool(over), bool(known)))
    none, first, second = (0.0, 0, False, False), (2.4, 0, False, True), (1.6, 0, False, True)
    assert seen == [none, none, first, first, second, (1.6, 1, False, True), (1.6, 1, False, True), (1.6, 2, True, True)]


def test_a_model_that_its_reader_refuses_is_not_published() -> None:
    spec = study(preprocessing=None, evaluation=STOPPING)
    state = genesis(spec)
    assert GlobalState.from_bytes(state.published(spec), spec).to_bytes() == state.to_bytes()
    broken = replace(state, extras={**state.extras, "stopping": np.array([np.nan, 0, 0, 0])})
    with pytest.raises(InvalidInput, match="nobody could load this model: stopping holds a value that is not finite"):
        broken.published(spec)
    with pytest.raises(InvalidInput, match="belongs to another study"):
        state.published(study())
