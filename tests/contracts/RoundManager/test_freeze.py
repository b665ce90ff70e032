"""P3: t equal attestations freeze a set of at least the cohort out of what was revealed."""

from __future__ import annotations

import pytest

from defedbio.domain import BitSet, Phase
from tests.contracts.consortium import Consortium, Life, people


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
    tx = life.contract.attestSet(life.round, good, 0b0100, "2: bad ciphertext 17", {"from": first})
    said = tx.events["SetAttested"]
    assert (said["set"], said["refused"], said["reasons"]) == (good, 0b0100, "2: bad ciphertext 17")
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


@pytest.mark.parametrize("bad", [0b0001, 0b11000, 1 << 255])
def test_P3_only_revealed_updates_outside_the_set_are_refused(life, refused, bad):
    with refused("RoundManagerNotSubset", bad, 0b1000):
        life.attest(life.holders[0], set=0b0111, refused=bad)


@pytest.fixture(scope="module")
def wide(module_isolation):
    """Seven enrolled who all revealed, five holders, threshold three: a set needs five of the good updates."""
    consortium = Consortium.found(people(7))
    epoch = consortium.active_key(consortium.members[:5], 3)
    study = consortium.study_with(consortium.members[:7], epoch)
    life = Life(
        consortium, study, epoch, consortium.open_round(study, consortium.members[0]), consortium.members[:7], consortium.members[:5], 3
    )
    return life.until(Phase.REVEALED)


def test_P3_a_set_below_the_share_is_not_frozen_by_any_number_of_holders(wide):
    wide.attest(*wide.holders, set=0b1111)
    assert wide.phase == Phase.REVEALED, "4 of 7 are fewer than two thirds"
    wide.attest(*wide.holders[:3], set=0b11111)
    assert wide.view()["frozen"] == 0b11111


def test_P3_what_fewer_than_t_holders_refuse_counts_as_good(wide):
    wide.attest(*wide.holders[:2], set=0b1111, refused=0b1110000)
    wide.attest(*wide.holders[2:], set=0b1111)
    assert wide.phase == Phase.REVEALED
    wide.attest(wide.holders[4], set=0b1111, refused=0b1000000)
    assert wide.view()["frozen"] == 0b1111, "t holders refuse one: 4 of 6 are two thirds"


def test_P3_each_update_is_counted_by_itself(wide):
    for holder, bad in zip(wide.holders, (0b1100000, 0b1010000, 0b0110000), strict=False):
        wide.attest(holder, set=0b1111, refused=bad)
    assert wide.phase == Phase.REVEALED, "three holders refuse, but no update is refused by three"
    wide.attest(wide.holders[3], set=0b1111, refused=0b1000000)
    assert wide.view()["frozen"] == 0b1111


def test_P3_a_holder_that_changes_its_word_is_counted_once(wide, refused):
    first, second, third, fourth = wide.holders[:4]
    for bad in (0b1110000, 0b0110000, 0b1110000, 0):
        wide.attest(first, set=0b1111, refused=bad)
    with refused("RoundManagerAlreadyDone", wide.round, first):
        wide.attest(first, set=0b1111, refused=0)
    wide.attest(second, third, set=0b1111, refused=0b1000000)
    assert wide.phase == Phase.REVEALED, "one that takes its refusal back refuses nothing"
    wide.attest(fourth, set=0b1111, refused=0b0100000)
    assert wide.phase == Phase.REVEALED
    wide.attest(first, set=0b1111, refused=0b1000000)
    assert wide.view()["frozen"] == 0b1111


def test_P3_a_holder_attests_32_times_a_round_and_no_more(wide, refused):
    talker, *others = wide.holders[:3]
    for time in range(32):
        wide.attest(talker, set=0b1111 if time % 2 == 0 else 0b11111)
    with refused("RoundManagerAttestedTooOften", wide.round, talker, 32):
        wide.attest(talker, set=0b1111)
    wide.attest(*others, set=0b11111)
    assert wide.view()["frozen"] == 0b11111, "its last word stands, and the others have theirs"


def test_P3_the_agreed_set_waits_for_the_last_refusal_whoever_makes_it(wide):
    wide.attest(*wide.holders[:2], set=0b1111, refused=0b1000000)
    wide.attest(wide.holders[2], set=0b1111)
    assert wide.phase == Phase.REVEALED
    tx = wide.attest(wide.holders[3], set=0b11111, refused=0b1000000)
    assert wide.view()["frozen"] == tx.events["SetFrozen"]["set"] == 0b1111


def test_P3_a_set_that_t_no_longer_agree_on_is_not_frozen_by_a_refusal(wide):
    wide.attest(*wide.holders[:3], set=0b1111)
    wide.attest(wide.holders[0], set=0b11111, refused=0b1000000)
    wide.attest(*wide.holders[3:], set=0b11111, refused=0b1000000)
    assert wide.view()["frozen"] == 0b11111


@pytest.mark.parametrize(
    ("share", "set", "frozen"), [(10_000, 0b0111111, False), (10_000, 0b1111111, True), (5_001, 0b1111, True), (5_001, 0b111, False)]
)
def test_P3_the_share_is_the_studys(wide, share, set, frozen):
    life = wide.consortium.ready(7, leastShare=share).until(Phase.REVEALED)
    life.attest(set=set)
    assert (life.phase == Phase.FROZEN) == frozen


def test_P3_key_holders_attest_and_nobody_else(life, refused):
    with refused("RoundManagerNotHolder", life.epoch, life.enrolled[4]):
        life.attest(life.enrolled[4], set=0b1111)


def test_P3_reasons_are_bounded(life, refused):
    with refused("RoundManagerTextTooLong", 1025, 1024):
        life.contract.attestSet(life.round, 0b1111, 0, "r" * 1025, {"from": life.holders[0]})


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
