"""S1, S2, P7: when a round can be opened, and by whom."""

from __future__ import annotations

from defedbio.domain import Phase
from tests.contracts.consortium import move_to


def test_R3_any_enrolled_participant_opens_a_round_and_nobody_else(consortium, refused):
    epoch = consortium.active_key(consortium.members[:3], 2)
    study = consortium.study_with(consortium.members[1:4], epoch)
    with refused("RoundManagerNotEnrolled", study, consortium.members[0]):
        consortium.rounds.openRound(study, {"from": consortium.members[0]})
    tx = consortium.rounds.openRound(study, {"from": consortium.members[3]})
    opened = tx.events["RoundOpened"]
    assert (opened["round"], opened["study"], opened["step"], opened["parent"]) == (1, study, 0, 0)
    assert opened["opener"] == consortium.members[3]
    assert tx.events["PhaseEntered"]["phase"] == Phase.OPEN
    assert tx.events["PhaseEntered"]["deadline"] == tx.timestamp + 3600
    assert consortium.rounds.latestRound(study) == 1 == consortium.rounds.roundCount()


def test_S2_no_round_while_enrolment_is_open(consortium, refused):
    epoch = consortium.active_key(consortium.members[:3], 2)
    study = consortium.study_with(consortium.members[:3], epoch, seats=5)
    with refused("RoundManagerEnrolmentOpen", study):
        consortium.open_round(study, consortium.members[0])


def test_P3_no_round_with_fewer_enrolled_than_the_cohort(consortium, refused):
    epoch = consortium.active_key(consortium.members[:3], 2)
    study = consortium.study_with(consortium.members[:3], epoch, seats=5, minCohort=4)
    move_to(consortium.studies.studyOf(study)["rules"][3])
    with refused("RoundManagerTooFewEnrolled", study, 3, 4):
        consortium.open_round(study, consortium.members[0])


def test_P7_one_round_at_a_time(consortium, refused):
    life = consortium.ready()
    with refused("RoundManagerRoundRunning", life.study, life.round):
        life.next()


def test_S1_the_study_ends_with_its_last_step(consortium, refused):
    life = consortium.ready(steps=1).until(Phase.FINALISED)
    with refused("RoundManagerStudyComplete", life.study, 1):
        life.next()


def test_P9_rounds_of_two_studies_run_side_by_side(consortium):
    first = consortium.ready()
    second = consortium.ready()
    first.until(Phase.FINALISED)
    assert second.phase == Phase.OPEN
    assert (first.contract.stepsDone(first.study), second.contract.stepsDone(second.study)) == (1, 0)
