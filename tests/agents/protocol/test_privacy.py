"""S6, the privacy budget in rounds: charged once, declared before the commitment, enforced by the node, audited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest

from defedbio.chain import events as ev
from defedbio.chain.bindings.round_manager import privacy_units
from defedbio.domain import Phase
from defedbio.errors import ChainUnreachable, InvalidInput, InvalidSpec
from defedbio.learning.privacy.budget import Loss, loss_after
from defedbio.protocol import actions as act
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.condense import condense
from defedbio.protocol.effects.privacy import charge
from defedbio.protocol.journal import snapshot
from defedbio.protocol.perform import perform
from defedbio.protocol.verify import verify_round
from defedbio.spec.privacy import privacy_from
from tests.agents.protocol.in_process import PEOPLE, QUORUM, STUDY, InProcess, frame_of, reached

PRIVACY: dict[str, dict[str, Any]] = {
    "record": {"noise_multiplier": 2.0, "max_grad_norm": 0.5, "sample_rate": 0.5, "epsilon": 50.0, "delta": 1e-5},
    "sum": {"noise_multiplier": 2.0, "honest": 3, "epsilon": 50.0, "delta": 1e-5},
}


def _world(tmp_path: Path, rounds_paid: int, kind: str) -> InProcess:
    """A study whose budget covers so many rounds and a half."""

    def changes(**budget: float) -> dict[str, Any]:
        privacy = {"kind": kind, **PRIVACY[kind], **budget}
        return {"privacy": privacy, "preprocessing": None, "weighting": {"kind": "uniform"}, "rounds": 3}

    spec = frame_of(changes()).spec
    budget = (loss_after(spec, rounds_paid).epsilon_total + loss_after(spec, rounds_paid + 1).epsilon_total) / 2
    return InProcess(tmp_path, frame_of(changes(epsilon=budget)))


@pytest.fixture(params=["record", "sum"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[InProcess]:
    made = _world(tmp_path, 2, request.param)
    yield made
    made.close()


def test_every_organisation_declares_before_it_commits(world: InProcess) -> None:
    study = world.play(reached(1, Phase.FINALISED))
    view = study.rounds[1]
    assert set(view.privacy) == set(PEOPLE)
    expected = loss_after(world.study.spec, 1)
    for declared in view.privacy.values():
        assert declared.epsilon_total == pytest.approx(expected.epsilon_total, abs=2e-6)
        assert declared.epsilon_total >= expected.epsilon_total, "rounded up"
        assert declared.delta == pytest.approx(1e-5)
    for person in PEOPLE:
        calls = [name for who, name, _ in world.ledger.sent if who == person and name in ("declare_privacy", "commit")]
        assert calls == ["declare_privacy", "commit"]


def test_the_total_grows_with_every_round(world: InProcess) -> None:
    study = world.play(reached(2, Phase.FINALISED))
    first, second = (study.rounds[i].privacy[PEOPLE[0]] for i in (1, 2))
    assert second.epsilon_round == first.epsilon_round == first.epsilon_total
    assert second.epsilon_total == pytest.approx(loss_after(world.study.spec, 2).epsilon_total, abs=2e-6)


def test_the_round_that_would_exceed_the_budget_is_refused(world: InProcess) -> None:
    """Its node sits the third round out: no record is touched, nothing is sent."""
    world.play(reached(2, Phase.FINALISED))
    for index in range(4):
        while isinstance(world.next_action(index), act.AttestModel | act.AdoptModel):
            world.step(index)
    world.recorder(0).open_round("third", 1)
    for index in range(4):
        assert world.next_action(index) == act.PrepareUpdate(3)
        world.step(index)
    assert not world.ledger.round(3).commitments
    assert all(world.next_action(index) is None for index in range(4))
    reasons = [str(note.get("message")) for note in world.notes]
    assert sum("sits round 3 out: the privacy budget is spent" in reason for reason in reasons) == 4


def test_a_loss_that_is_no_number_is_beyond_every_budget(world: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    world.play(lambda study: bool(study.rounds))
    monkeypatch.setattr("defedbio.protocol.effects.privacy.loss_after", lambda spec, rounds: Loss(nan, nan, 1e-5))
    perform(world.tools[0], world.ledger.study(), act.PrepareUpdate(1))
    assert any("the privacy budget is spent" in str(note.get("message")) for note in world.notes)
    assert world.tools[0].memory.journal.get("study/privacy") is None


def test_within_a_budget_that_is_no_number_is_nobody(world: InProcess) -> None:
    study = world.play(reached(1, Phase.FINALISED))
    fetcher = world.tools[0].fetcher
    object.__setattr__(fetcher.frame.spec.privacy, "epsilon", nan)
    last = list(verify_round(fetcher, study, study.rounds[1], PEOPLE))[-1]
    assert (last.name, last.ok) == ("privacy", False) and last.peer in PEOPLE


@pytest.mark.parametrize("wrong", [nan, float("inf"), 0.0, -1.0])
@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind in PRIVACY for field in PRIVACY[kind]])
def test_what_is_agreed_are_numbers(kind: str, field: str, wrong: float) -> None:
    with pytest.raises(InvalidSpec, match=f"privacy.{field} must be a positive number"):
        privacy_from({"kind": kind, **PRIVACY[kind], field: wrong})


def test_a_crash_and_a_restart_charge_a_round_once(world: InProcess) -> None:
    world.play(lambda study: bool(study.rounds))
    perform(world.tools[2], world.ledger.study(), act.PrepareUpdate(1))
    world.restart(2)
    perform(world.tools[2], world.ledger.study(), act.PrepareUpdate(1))
    charged = world.tools[2].memory.journal.get("study/privacy")
    assert charged is not None and len(charged["rounds"]) == 1
    assert world.next_action(2) == act.DeclarePrivacy(1)


def charged(world: InProcess, index: int) -> int:
    return len((world.tools[index].memory.journal.get("study/privacy") or {"rounds": []})["rounds"])


def void_and_open(world: InProcess, number: int) -> None:
    world.recorder(0).advance(f"void {number}", number)
    world.recorder(0).open_round(f"open {number + 1}", 1)


def test_a_round_that_came_to_nothing_before_the_reveal_costs_nothing(world: InProcess) -> None:
    """A commitment tells nothing: the budget of two rounds is there for the two that publish an update."""
    for number in (1, 2, 3):
        world.play(reached(number, Phase.COMMITTED))
        assert not world.store(1).blobs and charged(world, 1) == 1
        void_and_open(world, number)
    study = world.play(reached(4, Phase.REVEALED))
    totals = {view.privacy[PEOPLE[1]].epsilon_total for view in study.rounds.values()}
    assert len(totals) == 1, "declared totals never fall, and need not rise"
    assert world.store(1).blobs and charged(world, 1) == 1


def test_a_round_that_went_on_without_this_organisation_costs_nothing(world: InProcess) -> None:
    """As for one that is not waited for, and whose training takes longer than the others'."""
    world.play(lambda study: bool(study.rounds))
    perform(world.tools[1], world.ledger.study(), act.PrepareUpdate(1))
    assert charged(world, 1) == 1
    world.play(lambda study: len(study.rounds[1].commitments) == 3, who=(0, 2, 3))
    world.ledger.enter(1, Phase.COMMITTED)
    world.play(lambda study: len(study.rounds[1].reveals) == 3, who=(0, 2, 3))
    world.ledger.enter(1, Phase.REVEALED)
    world.play(reached(1, Phase.FINALISED))
    world.recorder(0).open_round("open 2", 1)
    perform(world.tools[1], world.ledger.study(), act.PrepareUpdate(2))
    assert charged(world, 1) == 1


def test_a_round_that_came_to_nothing_after_the_reveal_stays_charged(world: InProcess) -> None:
    """A published ciphertext cannot be called back. Whoever voids rounds from then on spends the others' budget, and no more than that."""
    for number in (1, 2):
        world.play(reached(number, Phase.REVEALED))
        assert charged(world, 1) == number
        void_and_open(world, number)
    for index in range(4):
        assert world.next_action(index) == act.PrepareUpdate(3)
        world.step(index)
    assert not world.ledger.round(3).commitments and charged(world, 1) == 2


def test_a_crash_between_publishing_and_revealing_keeps_the_charge(world: InProcess) -> None:
    world.play(reached(1, Phase.COMMITTED))
    world.recorder(1).refuse["reveal"] = ChainUnreachable("killed here")
    with pytest.raises(ChainUnreachable):
        world.step(1)
    world.restart(1)
    void_and_open(world, 1)
    perform(world.tools[1], world.ledger.study(), act.PrepareUpdate(2))
    assert charged(world, 1) == 2


def test_a_voided_round_that_comes_back_is_charged_again_before_it_publishes(world: InProcess) -> None:
    """A reorganisation can take the voiding back, when the charge has been given to the next round already."""
    world.play(reached(1, Phase.COMMITTED))
    before = list(world.ledger.events)
    void_and_open(world, 1)
    perform(world.tools[1], world.ledger.study(), act.PrepareUpdate(2))
    assert charged(world, 1) == 1
    world.ledger.events[:] = before
    world.step(1)
    assert charged(world, 1) == 2 and len(world.ledger.round(1).reveals) == 1


def test_an_auditor_names_who_declared_nothing_or_too_much(world: InProcess) -> None:
    study = world.play(reached(1, Phase.FINALISED))
    view = study.rounds[1]
    fetcher = world.tools[0].fetcher
    checks = {c.name: c for c in verify_round(fetcher, study, view, PEOPLE)}
    assert all(c.ok for c in checks.values()), checks
    assert "declared by all in the sum" in checks["privacy"].detail
    silent = replace(view, privacy={who: loss for who, loss in view.privacy.items() if who != PEOPLE[2]})
    last = list(verify_round(fetcher, study, silent, PEOPLE))[-1]
    assert (last.name, last.ok, last.peer) == ("privacy", False, PEOPLE[2])
    spent = replace(view.privacy[PEOPLE[1]], epsilon_total=99.0)
    last = list(verify_round(fetcher, study, replace(view, privacy={**view.privacy, PEOPLE[1]: spent}), PEOPLE))[-1]
    assert (last.name, last.ok, last.peer) == ("privacy", False, PEOPLE[1])


@pytest.mark.parametrize(
    "values", [(0, 1, 1e-5), (2, 1, 1e-5), (1, 1e13, 1e-5), (1, 1, 0), (1, 1, 1), (float("nan"), 1, 1e-5), (1, float("inf"), 1e-5)]
)
def test_a_loss_that_the_contract_cannot_hold_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidInput):
        privacy_units(*values)


def test_units_are_rounded_up() -> None:
    assert privacy_units(1.0000001, 2.5, 1e-5) == (1_000_001, 2_500_000, 10**13)
    assert privacy_units(1e-9, 1e-9, 1e-30) == (1, 1, 1)


def test_c7_what_was_spent_after_a_backup_stays_spent(tmp_path: Path) -> None:
    world = _world(tmp_path, 2, "record")
    losses = [loss_after(world.study.spec, rounds).epsilon_total for rounds in (1, 2)]
    world.play(reached(1, Phase.OPEN))
    early = snapshot(tmp_path / "2.sqlite")
    world.play(reached(1, Phase.REVEALED))
    world.recorder(0).advance("deadline", 1)
    world.from_backup(2, early)
    study = world.play(lambda study: 2 in study.rounds and PEOPLE[2] in study.rounds[2].privacy)
    declared = [study.rounds[number].privacy[PEOPLE[2]].epsilon_total for number in (1, 2)]
    assert declared == pytest.approx(losses, abs=2e-6), "the voided round's update had left the node"
    world.recorder(0).advance("deadline", 2)
    world.play(lambda study: 3 in study.rounds)
    world.step(2)
    assert world.step(2) is False and PEOPLE[2] not in world.ledger.round(3).privacy
    assert any("the privacy budget is spent" in str(note.get("message")) for note in world.notes)
    world.close()


@pytest.mark.parametrize(("unknown_through", "left"), [(0, [2, 4]), (2, [1, 2, 4])], ids=["known", "after a restore"])
def test_past_rounds_are_charged_as_any_other(tmp_path: Path, unknown_through: int, left: list[int]) -> None:
    """A void round, one that published and one that did not; then the next one is paid for."""
    world = _world(tmp_path, 3, "record")
    for number, parent in ((1, 0), (2, 0), (3, 2), (4, 3)):
        world.ledger.emit(ev.RoundOpened, number, STUDY, max(0, number - 2), parent, PEOPLE[0])
        world.ledger.emit(ev.UpdateCommitted, number, PEOPLE[2], 3, bytes(32))
        if number == 1:
            world.ledger.emit(ev.RoundVoided, number, STUDY, Phase.COMMITTED)
        elif number < 4:
            world.ledger.emit(ev.RoundFinalised, number, STUDY, number - 2, bytes(32), bytes(32), "model", parent)
    full, tools = world.ledger.study(), world.tools[2]
    condensed = condense(full, 4, QUORUM)
    assert list(condensed.past.rounds) == [1, 2]
    tools.sits_out_through = unknown_through
    tools.memory.put(kinds.PUBLISHED, full.rounds[2], {"published": True})
    names = {number: f"{number}/{view.start}" for number, view in full.rounds.items()}
    for study in (full, condensed):
        tools.memory.put(kinds.CHARGED, None, {"rounds": [] if unknown_through else [names[1], names[2], names[3]]})
        charge(tools, study, full.rounds[4])
        assert tools.memory.get(kinds.CHARGED) == {"rounds": [names[number] for number in left]}
    world.close()
