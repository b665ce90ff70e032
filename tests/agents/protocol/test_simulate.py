"""The encrypted run and `simulate --exact` give the same bytes, and what rounds need beyond an update: kept variates, early stopping."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from defedbio.chain.records import Head
from defedbio.domain import Phase, RoundContext
from defedbio.learning.evaluation_sums import summary
from defedbio.learning.plan import Step
from defedbio.learning.simulation import plain, simulate
from defedbio.learning.state import GlobalState
from defedbio.protocol import actions as act
from defedbio.protocol import catalogue as kinds
from defedbio.protocol import randomness
from defedbio.protocol.effects import updates
from defedbio.protocol.effects.keeping import Housekeeping, tidy
from defedbio.protocol.simulate import exact, secrets_from
from tests.agents.protocol.in_process import CHAIN, CONTRACT, PEOPLE, PROVEN, STUDY, InProcess, dataset, frame_of, reached

RICH: dict[str, Any] = {
    "strategy": {"kind": "scaffold"},
    "statistics": {"bins": 4, "minimum_cell": 1},
    "evaluation": {"fraction": 0.3, "bins": 8, "minimum_cell": 1},
    "rounds": 2,
}


def _secret(step: Step, site: int) -> bytes:
    return secrets_from(5)(step, site)


def _rotation(step: Step) -> bytes:
    """That of the step's round where none was voided."""
    return RoundContext(CHAIN, CONTRACT, STUDY, step.index + 1).to_bytes()


@pytest.fixture
def rich(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """A study with everything that is summed, whose organisations draw known secrets."""
    made = InProcess(tmp_path, frame_of(RICH | getattr(request, "param", {})))
    _draw_known_secrets(made, monkeypatch)
    yield made
    made.close()


def _draw_known_secrets(world: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = updates.prepare_update

    def prepared(tools: Any, study: Any, view: Any) -> None:
        secret = _secret(tools.frame.step(view), PEOPLE.index(tools.address))
        with monkeypatch.context() as patch:
            patch.setattr(updates, "training_seed", lambda drawn: randomness.training_seed(secret))
            patch.setattr(updates, "rounding", lambda drawn: randomness.rounding(secret))
            prepare(tools, study, view)

    monkeypatch.setattr(updates, "prepare_update", prepared)


@pytest.mark.parametrize("rich", [PROVEN], indirect=True, ids=["proven"])
def test_the_encrypted_run_and_the_exact_simulation_give_the_same_bytes(rich: InProcess) -> None:
    """Every model of the study: statistics, moments, SCAFFOLD's rounds, the last evaluation."""
    study = rich.play(lambda s: s.complete)
    sites = [dataset(i) for i in range(4)]
    simulated = list(simulate(rich.study.spec, sites, *exact(_secret, _rotation), minimum=3))
    assert [done.step.kind for done in simulated] == ["statistics", "moments", "train", "train", "evaluate"]
    for view, done in zip(study.finalised, simulated, strict=True):
        assert rich.tools[0].fetcher.model_bytes(view) == done.state.to_bytes(), done.step


NARROW: dict[str, Any] = RICH | {"quantisation": "auto", "model": {"kind": "mlp", "hidden": [24]}, "rounds": 3}


def test_narrow_slots_are_simulated_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotated updates and control variates beside counts in wide slots, under clip norms that follow the training.

    The second training round is voided: the one that takes its place has another rotation and the same clip norm.
    """

    def rotation(step: Step) -> bytes:
        return RoundContext(CHAIN, CONTRACT, STUDY, step.index + (1 if step.index < 3 else 2)).to_bytes()

    world = InProcess(tmp_path, frame_of(NARROW))
    _draw_known_secrets(world, monkeypatch)
    world.play(reached(4, Phase.COMMITTED))
    world.recorder(0).advance("void 4", 4)
    world.recorder(0).open_round("open 5", 1)
    study = world.play(lambda s: s.complete)
    simulated = list(simulate(world.study.spec, [dataset(i) for i in range(4)], *exact(_secret, rotation), minimum=3))
    clips = [done.state.extras["clip.update"][0] for done in simulated if done.step.kind == "train"]
    assert len(set(clips)) == 3
    for view, done in zip(study.finalised, simulated, strict=True):
        assert world.tools[0].fetcher.model_bytes(view) == done.state.to_bytes(), done.step
    world.close()


def test_noise_on_the_sum_is_simulated_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    privacy = {"kind": "sum", "noise_multiplier": 0.5, "honest": 2, "epsilon": 900.0, "delta": 1e-5}
    world = InProcess(tmp_path, frame_of({"privacy": privacy, "preprocessing": None, "weighting": {"kind": "uniform"}, "rounds": 1}))
    _draw_known_secrets(world, monkeypatch)
    study = world.play(lambda s: s.complete)
    (done,) = simulate(world.study.spec, [dataset(i) for i in range(4)], *exact(_secret, _rotation), minimum=3)
    assert world.tools[0].fetcher.model_bytes(study.finalised[0]) == done.state.to_bytes()
    world.close()


def test_exact_and_plain_simulations_agree_but_for_the_rounding(rich: InProcess) -> None:
    spec, sites = rich.study.spec, [dataset(i) for i in range(4)]
    seed_of, combine = exact(_secret, _rotation)
    integers = [done.state for done in simulate(spec, sites, seed_of, combine)]
    floats = [done.state for done in simulate(spec, sites, seed_of, plain())]
    for name in floats[-1].weights:
        np.testing.assert_allclose(integers[-1].weights[name], floats[-1].weights[name], atol=1e-5)
    for name in ("statistics.histogram", "evaluation.counts", "evaluation.positive"):
        assert integers[-1].extras[name].tolist() == floats[-1].extras[name].tolist(), f"{name} are counts: exact"


def test_a_variate_outlives_a_crash_and_counts_only_where_the_round_did(rich: InProcess) -> None:
    """SCAFFOLD: what an organisation keeps is that of its newest contribution in a finalised round."""
    first = next(i for i, s in enumerate(rich.study.steps, 1) if s.kind == "train")
    rich.play(reached(first, Phase.COMMITTED))
    assert rich.tools[2].kept(rich.ledger.study()) == {}, "prepared, but not yet counted"
    study = rich.play(reached(first, Phase.FINALISED))
    kept = rich.restart(2).kept(study)["control"]
    assert kept.shape == (51,)
    assert kept.any()
    study = rich.play(reached(first + 1, Phase.FINALISED))
    assert not np.array_equal(rich.tools[2].kept(study)["control"], kept)
    newest = rich.tools[2].kept(study)["control"]
    done, deep = Housekeeping(), Head(10**6, bytes(32), 0)
    while tidy(rich.tools[2], study, deep, done):
        pass
    assert rich.tools[2].memory.get(kinds.KEEP, study.rounds[first], "control") is None, "what is outdated is not kept"
    assert np.array_equal(rich.restart(2).kept(study)["control"], newest)


def test_early_stopping_ends_the_study_at_every_node(tmp_path: Path) -> None:
    """S5."""
    stopping = {"minimum_cell": 1, "early_stopping": {"patience": 1, "min_delta": 1.0}}
    world = InProcess(tmp_path, frame_of({"evaluation": stopping, "rounds": 5}))
    try:
        world.play(reached(3, Phase.FINALISED))
        for index in range(4):
            while not isinstance(world.next_action(index), act.Finish):
                assert world.step(index)
        assert len(world.ledger.study().finalised) == 3, "moments, a first round, and one that did not improve by 1.0"
        state = GlobalState.from_bytes(world.tools[0].fetcher.model_bytes(world.ledger.round(3)), world.study.spec)
        assert state.stopped
        assert summary(world.study.spec, state).values["roc_auc"] is not None
    finally:
        world.close()


def test_nobody_trains_in_a_round_that_is_opened_after_the_stop(tmp_path: Path) -> None:
    """S5."""
    stopping = {"minimum_cell": 1, "early_stopping": {"patience": 1, "min_delta": 1.0}}
    world = InProcess(tmp_path, frame_of({"evaluation": stopping, "rounds": 5}))
    try:
        world.play(reached(3, Phase.FINALISED))
        world.recorder(0).open_round("rogue", 1)
        assert isinstance(world.next_action(1), act.PrepareUpdate)
        world.step(1)
        assert world.next_action(1) is None
        assert any("early stopping has ended" in str(note.get("message")) for note in world.notes)
    finally:
        world.close()
