"""P3: t equal attestations freeze a set of at least the cohort out of what was revealed."""

from __future__ import annotations

import pytest

from defedbio.domain import BitSet, Phase


@pytest.fixture(scope="module")
def life(consortium):
    """Five enrolled, three holders, threshold two; the last participant did not reveal."""
    life = consortium.ready(5).until(Phase.COMMITTED)
    life.reveal(*life.enrolled[:4])
    life.pass_deadline()
    life.contract.advance(life.round, {"from": life.enrolled[0]})
    assert life.phase == Phase.REVEALED
    return life


def test_P3_t_equal_attestations_freeze_the_set(life):
    first, second = life.holders[:2]
    good = BitSet.of(0, 1, 3).bits
    tx = life.contract.attestSet(life.round, good, "2: bad ciphertext 17", {"from": first})
    assert (tx.events["SetAttested"]["set"], tx.events["SetAttested"]["reasons"]) == (good, "2: bad ciphertext 17")
    assert life.phase == Phase.REVEALED
    life.attest(second, set=good)
    assert life.phase == Phase.FROZEN
    assert life.view()["frozen"] == good


def test_P3_different_sets_do_not_add_up(life):
    life.attest(life.holders[0], set=0b0111)
    life.attest(life.holders[1], set=0b1111)
    assert life.phase == Phase.REVEALED
    life.attest(life.holders[2], set=0b0111)
    assert life.view()["frozen"] == 0b0111


def test_P3_a_holder_may_change_its_attestation_and_counts_once(life, refused):
    first, second, third = life.holders
    life.attest(first, set=0b0111)
    with refused("RoundManagerAlreadyDone", life.round, first):
        life.attest(first, set=0b0111)
    life.attest(first, set=0b1111)
    life.attest(second, set=0b0111)
    assert life.phase == Phase.REVEALED, "the first holder's old attestation no longer counts"
    life.attest(third, set=0b1111)
    assert life.view()["frozen"] == 0b1111


@pytest.mark.parametrize("set", [0b10111, 0b10000, 1 << 255 | 0b1111])
def test_P3_only_revealed_updates_are_in_the_set(life, refused, set):
    with refused("RoundManagerNotSubset", set, 0b1111):
        life.attest(life.holders[0], set=set)


@pytest.mark.parametrize(("set", "size"), [(0b0011, 2), (0b0001, 1), (0, 0)])
def test_P3_the_set_is_never_smaller_than_the_cohort(life, refused, set, size):
    with refused("RoundManagerCohortTooSmall", size, 3):
        life.attest(life.holders[0], set=set)


def test_P3_the_studys_own_minimum_counts(consortium, refused):
    life = consortium.ready(5, minCohort=4).until(Phase.REVEALED)
    with refused("RoundManagerCohortTooSmall", 3, 4):
        life.attest(life.holders[0], set=0b111)


def test_P3_key_holders_attest_and_nobody_else(life, refused):
    with refused("RoundManagerNotHolder", life.epoch, life.enrolled[4]):
        life.attest(life.enrolled[4], set=0b1111)


def test_P3_reasons_are_bounded(life, refused):
    with refused("RoundManagerTextTooLong", 1025, 1024):
        life.contract.attestSet(life.round, 0b1111, "r" * 1025, {"from": life.holders[0]})


def test_P3_a_frozen_set_stays(life, refused):
    life.attest(set=0b1111)
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.FROZEN):
        life.attest(life.holders[2], set=0b0111)


def test_R2_a_committee_that_is_not_enrolled_attests(consortium):
    epoch = consortium.active_key(consortium.members[3:5], 2)
    study = consortium.study_with(consortium.members[:3], epoch)
    life = consortium.ready()  # another study between, to tell the two apart
    life.study, life.epoch, life.holders = study, epoch, consortium.members[3:5]
    life.round = consortium.open_round(study, consortium.members[0])
    assert life.until(Phase.FINALISED).view()["frozen"] == 0b111
