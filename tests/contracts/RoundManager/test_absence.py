"""P1 and P2: who stays away is waited for in three rounds, and then no longer."""

from __future__ import annotations

import pytest

from defedbio.domain import Phase
from tests.contracts.consortium import HOUR


@pytest.fixture(scope="module")
def life(consortium):
    """The fourth round of a study of five, of whom the last was in none before."""
    life = consortium.ready(5, steps=100)
    for _ in range(3):
        life = life.without(life.enrolled[4]).next()
    return life


def test_P1_two_rounds_away_are_waited_for(consortium):
    life = consortium.ready(4, steps=100)
    for _ in range(2):
        life = life.without(life.enrolled[3]).next()
    assert life.view()["absent"] == 0
    life.commit(*life.enrolled[:3])
    assert life.phase == Phase.OPEN


def test_P1_who_was_away_three_times_is_waited_for_no_longer(life):
    assert life.view()["absent"] == 0b10000
    opened = life.deadline - HOUR
    life.without(life.enrolled[4])
    assert life.contract.roundOf(life.round)["frozen"] == 0b01111
    assert life.next().deadline - HOUR < opened + HOUR, "no phase lasted until its deadline"


def test_P1_the_chain_says_whom_a_round_passes_over(life, consortium):
    event = consortium.rounds.openRound(life.without(life.enrolled[4]).study, {"from": life.enrolled[0]}).events["AbsenteesPassedOver"]
    assert event["absent"] == 0b10000


def test_P1_the_absent_commits_and_reveals_while_the_phases_last_and_is_back(life):
    *others, absent = life.enrolled
    life.commit(absent, *others)
    assert life.phase == Phase.COMMITTED
    life.reveal(absent, *others)
    assert life.phase == Phase.REVEALED
    life.attest(set=0b11111)
    life.aggregate()
    life.release()
    life.open_sum()
    life.attest_model()
    assert life.next().view()["absent"] == 0


def test_P2_the_reveal_of_an_absent_one_is_not_waited_for(life):
    *others, absent = life.enrolled
    life.commit(absent, *others)
    life.reveal(*others)
    assert life.phase == Phase.REVEALED and life.view()["revealed"] == 0b01111


def test_P1_who_commits_and_never_reveals_is_away_as_well(consortium):
    life = consortium.ready(4, steps=100)
    *others, mute = life.enrolled
    for waited in (True, True, True, False, False):
        life.commit(mute, *others)
        life.reveal(*others)
        assert (life.phase == Phase.COMMITTED) == waited
        if waited:
            life.pass_deadline()
            life.contract.advance(life.round, {"from": mute})
        life.attest(set=0b0111)
        life.aggregate()
        life.release()
        life.open_sum()
        life.attest_model()
        life = life.next()


def test_P3_whose_revealed_update_is_left_out_is_away_as_well(consortium):
    """It commits and reveals in time, and nobody can fetch what it revealed."""
    life = consortium.ready(4, steps=100)
    for _ in range(3):
        life.until(Phase.REVEALED).attest(set=0b0111)
        life.aggregate()
        life.release()
        life.open_sum()
        life.attest_model()
        life = life.next()
    assert life.view()["absent"] == 0b1000


def test_P2_a_phase_never_ends_early_with_fewer_than_the_cohort(life):
    """Two of those that are waited for committed, with the absent one: when the two have revealed, the third is needed all the same."""
    first, second, *_, absent = life.enrolled
    life.commit(first, second, absent)
    life.pass_deadline()
    life.contract.advance(life.round, {"from": first})
    life.reveal(first, second)
    assert life.phase == Phase.COMMITTED
    life.reveal(absent)
    assert life.phase == Phase.REVEALED


def test_P7_a_round_without_a_set_is_no_absence(consortium):
    life = consortium.ready(4, steps=100)
    for _ in range(4):
        life.until(Phase.REVEALED).pass_deadline()
        life.contract.advance(life.round, {"from": life.enrolled[0]})
        life = life.next()
        life.commit(life.enrolled[0])
        life.pass_deadline()
        life.contract.advance(life.round, {"from": life.enrolled[0]})
        life = life.next()
    assert life.view()["absent"] == 0


def test_P7_a_round_that_was_voided_after_its_set_counts(consortium):
    life = consortium.ready(4, steps=100)
    for _ in range(3):
        life.commit(*life.enrolled[:3])
        life.pass_deadline()
        life.contract.advance(life.round, {"from": life.enrolled[0]})
        life.reveal(*life.enrolled[:3])
        life.attest(set=0b0111)
        life.pass_deadline()
        life.contract.advance(life.round, {"from": life.enrolled[0]})
        life = life.next()
    assert life.view()["absent"] == 0b1000


def test_P1_one_that_comes_back_is_waited_for_in_both_phases(life):
    *others, slow = life.enrolled
    event = life.contract.comeBack(life.round, {"from": slow}).events["ParticipantReturned"]
    assert (event["participant"], event["index"]) == (slow, 5) and life.view()["absent"] == 0
    life.commit(*others)
    assert life.phase == Phase.OPEN
    life.commit(slow)
    life.reveal(*others)
    assert life.phase == Phase.COMMITTED
    life.reveal(slow)
    assert life.phase == Phase.REVEALED


def test_P1_coming_back_is_for_the_absent_while_commitments_are_taken(life, consortium, refused):
    with refused("RoundManagerNotAbsent", life.round, life.enrolled[0]):
        life.contract.comeBack(life.round, {"from": life.enrolled[0]})
    life.contract.comeBack(life.round, {"from": life.enrolled[4]})
    with refused("RoundManagerNotAbsent", life.round, life.enrolled[4]):
        life.contract.comeBack(life.round, {"from": life.enrolled[4]})
    life.until(Phase.COMMITTED)
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.COMMITTED):
        life.contract.comeBack(life.round, {"from": life.enrolled[4]})


def test_P1_coming_back_and_staying_away_makes_one_round_wait_in_eight_steps(life, refused):
    *_, away = life.enrolled
    for step in range(3, 10):
        assert life.view()["step"] == step
        if step in (3, 8):
            life.contract.comeBack(life.round, {"from": away})
        else:
            with refused("RoundManagerReturnedLately", life.study, away):
                life.contract.comeBack(life.round, {"from": away})
        life = life.without(away).next()
