"""Privacy losses on record: who may declare, when, how often, and that a total never falls."""

from __future__ import annotations

import pytest

from defedbio.domain import Phase

DELTA = 10**13


@pytest.fixture(scope="module")
def life(consortium):
    return consortium.ready()


def declare(life, who, *loss):
    return life.contract.declarePrivacy(life.round, *(loss or (1_000_000, 1_000_000, DELTA)), {"from": who})


def test_a_loss_is_on_record(life):
    event = declare(life, life.enrolled[1], 250_000, 1_500_000, DELTA).events["PrivacyDeclared"]
    assert (event["participant"], event["index"]) == (life.enrolled[1], 2)
    assert (event["epsilonRound"], event["epsilonTotal"], event["delta"]) == (250_000, 1_500_000, DELTA)
    assert life.contract.privacySpent(life.study, life.enrolled[1]) == 1_500_000
    assert life.contract.privacySpent(life.study, life.enrolled[0]) == 0


def test_once_a_round_by_the_enrolled_only(life, consortium, refused):
    declare(life, life.enrolled[0])
    with refused("RoundManagerAlreadyDone", life.round, life.enrolled[0]):
        declare(life, life.enrolled[0])
    with refused("RoundManagerNotEnrolled", life.study, consortium.members[4]):
        declare(life, consortium.members[4])


@pytest.mark.parametrize("loss", [(0, 1, DELTA), (2, 1, DELTA), (1, 1, 0), (1, 1, 10**18)])
def test_impossible_losses_are_refused(life, refused, loss):
    with refused("RoundManagerInvalidPrivacy", *loss):
        declare(life, life.enrolled[0], *loss)


def test_only_while_commitments_are_taken(life, refused):
    life.until(Phase.COMMITTED)
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.COMMITTED):
        declare(life, life.enrolled[0])


def test_a_total_never_falls_within_a_study(life, consortium, refused):
    who = life.enrolled[0]
    declare(life, who, 1_000_000, 3_000_000, DELTA)
    life.until(Phase.FINALISED)
    second = life.next()
    with refused("RoundManagerPrivacyFell", life.study, 3_000_000, 2_999_999):
        declare(second, who, 1_000_000, 2_999_999, DELTA)
    declare(second, who, 1_000_000, 3_000_000, DELTA)
    other = consortium.ready()
    declare(other, who, 1, 1, DELTA)
    assert other.contract.privacySpent(other.study, who) == 1
    assert life.contract.privacySpent(life.study, who) == 3_000_000
