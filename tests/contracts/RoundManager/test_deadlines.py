"""P7 and P8: what a deadline does, and that anyone may say so."""

from __future__ import annotations

import pytest

from defedbio.domain import Phase
from tests.contracts.consortium import ANY, CID, move_to, people, word


@pytest.fixture(scope="module")
def life(consortium):
    return consortium.ready(4)


@pytest.fixture(scope="module")
def anyone():
    return people(8)[7]


def late_actions(life):
    who, holder = life.enrolled[0], life.holders[0]
    return {
        Phase.OPEN: lambda: life.commit(who),
        Phase.COMMITTED: lambda: life.reveal(who),
        Phase.REVEALED: lambda: life.attest(holder),
        Phase.FROZEN: lambda: life.aggregate(who),
        Phase.AGGREGATED: lambda: life.release(holder),
        Phase.DECRYPTED: lambda: life.open_sum(who),
    }


@pytest.mark.parametrize("phase", [p for p in Phase if Phase.NONE < p < Phase.FINALISED])
def test_P7_a_missed_deadline_voids_the_round_and_nothing_late_counts(life, anyone, refused, phase):
    life.until(phase)
    deadline = life.deadline
    with refused("RoundManagerNotDue", life.round, deadline, ANY):
        life.contract.advance(life.round, {"from": anyone})
    life.pass_deadline()
    with refused("RoundManagerDeadlinePassed", life.round, deadline, ANY):
        late_actions(life)[phase]()
    event = life.contract.advance(life.round, {"from": anyone}).events["RoundVoided"]
    assert (event["round"], event["study"], event["phase"]) == (life.round, life.study, phase)
    assert (life.phase, life.deadline) == (Phase.VOIDED, 0)
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.VOIDED):
        late_actions(life)[phase]()
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.VOIDED):
        life.contract.advance(life.round, {"from": anyone})


def test_P7_the_phase_ends_with_its_deadline_to_the_second(life):
    deadline = life.deadline
    move_to(deadline - 2)
    assert life.commit(life.enrolled[0]).timestamp < deadline


def test_P7_after_a_void_the_same_step_starts_from_the_same_model(consortium, anyone):
    first = consortium.ready(4).until(Phase.FINALISED)
    failed = first.next()
    failed.until(Phase.AGGREGATED).release(failed.holders[0])
    failed.pass_deadline()
    failed.contract.advance(failed.round, {"from": anyone})
    again = failed.next()
    assert (again.view()["step"], again.view()["parent"]) == (1, first.round)
    assert again.contract.stepsDone(again.study) == 1
    again.until(Phase.FINALISED)
    assert again.contract.stepsDone(again.study) == 2


def test_P7_nothing_of_a_voided_round_is_used_again(life, anyone, refused):
    life.until(Phase.REVEALED)
    old_root = life.root(life.enrolled[0])
    life.pass_deadline()
    life.contract.advance(life.round, {"from": anyone})
    again = life.next()
    replayed = again.commitment(again.enrolled[0], root=old_root)
    again.contract.commit(again.round, replayed, {"from": again.enrolled[0]})
    again.commit(*again.enrolled[1:])
    with refused("RoundManagerRootReused", old_root):
        again.contract.reveal(again.round, old_root, *reveal_rest(again), {"from": again.enrolled[0]})


def reveal_rest(life):
    return CID, bytes(32), word("salt", life.enrolled[0])


def test_P8_enough_commitments_move_on_at_the_deadline(life, anyone):
    life.commit(*life.enrolled[:3])
    assert life.phase == Phase.OPEN
    life.pass_deadline()
    tx = life.contract.advance(life.round, {"from": anyone})
    assert tx.events["PhaseEntered"]["deadline"] == tx.timestamp + 3600
    assert life.phase == Phase.COMMITTED
    life.reveal(*life.enrolled[:3])
    assert life.phase == Phase.REVEALED, "all who committed have revealed"


def test_P8_too_few_commitments_void_at_the_deadline(life, anyone):
    life.commit(*life.enrolled[:2])
    life.pass_deadline()
    life.contract.advance(life.round, {"from": anyone})
    assert life.phase == Phase.VOIDED


@pytest.mark.parametrize(("reveals", "expected"), [(3, Phase.REVEALED), (2, Phase.VOIDED)])
def test_P8_reveals_at_the_deadline(life, anyone, reveals, expected):
    life.until(Phase.COMMITTED).reveal(*life.enrolled[:reveals])
    life.pass_deadline()
    life.contract.advance(life.round, {"from": anyone})
    assert life.phase == expected


def test_P8_a_running_round_whose_time_is_up_must_be_voided_first(life, refused):
    life.pass_deadline()
    with refused("RoundManagerRoundRunning", life.study, life.round):
        life.next()


def test_P8_an_unknown_round_does_not_advance(life, refused):
    with refused("RoundManagerUnexpectedPhase", 99, Phase.NONE):
        life.contract.advance(99, {"from": life.enrolled[0]})
