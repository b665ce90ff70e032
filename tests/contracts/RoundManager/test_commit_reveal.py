"""P1 and P2: commitments that show nothing, and reveals that match them."""

from __future__ import annotations

import pytest

from defedbio.domain import Phase
from tests.contracts.consortium import CID, as_bytes, word


@pytest.fixture(scope="module")
def life(consortium):
    return consortium.ready()


def test_P1_the_commitment_is_the_hash_of_the_sentence(life):
    who = life.enrolled[0]
    computed = life.contract.commitmentOf(life.round, who, life.root(who), CID, bytes(32), word("salt", who))
    assert as_bytes(computed) == life.commitment(who)


def test_P1_only_the_commitment_is_visible(life):
    event = life.commit(life.enrolled[1]).events["UpdateCommitted"]
    assert (event["participant"], event["index"]) == (life.enrolled[1], 2)
    assert as_bytes(event["commitment"]) == life.commitment(life.enrolled[1])
    assert life.view()["committed"] == 0b010


def test_P1_one_commitment_each(life, refused):
    life.commit(life.enrolled[0])
    with refused("RoundManagerAlreadyDone", life.round, life.enrolled[0]):
        life.commit(life.enrolled[0])


def test_P1_who_and_what_may_be_committed(life, consortium, refused):
    with refused("RoundManagerNotEnrolled", life.study, consortium.members[4]):
        life.commit(consortium.members[4])
    with refused("RoundManagerEmptyValue"):
        life.contract.commit(life.round, bytes(32), {"from": life.enrolled[0]})


def test_P2_reveals_begin_when_all_enrolled_have_committed(life, refused):
    life.commit(*life.enrolled[:2])
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.OPEN):
        life.reveal(life.enrolled[0])
    tx = life.commit(life.enrolled[2])
    assert tx.events["PhaseEntered"]["phase"] == Phase.COMMITTED
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.COMMITTED):
        life.commit(life.enrolled[0])


def test_P2_a_reveal_puts_everything_on_record(life):
    life.until(Phase.COMMITTED)
    who = life.enrolled[2]
    event = life.reveal(who).events["UpdateRevealed"]
    assert (event["participant"], event["index"], event["cid"]) == (who, 3, CID)
    assert as_bytes(event["updateRoot"]) == life.root(who)
    assert as_bytes(event["salt"]) == word("salt", who)
    assert life.view()["revealed"] == 0b100


@pytest.mark.parametrize("changed", ["root", "cid", "proof", "salt"])
def test_P2_a_reveal_that_does_not_match_its_commitment_is_refused(life, refused, changed):
    life.until(Phase.COMMITTED)
    who = life.enrolled[0]
    values = {"root": life.root(who), "cid": CID, "proof": bytes(32), "salt": word("salt", who)}
    values[changed] = CID[:-1] if changed == "cid" else word("another")
    with refused("RoundManagerCommitmentMismatch", life.round, life.commitment(who), life.commitment(who, **values)):
        life.contract.reveal(life.round, *values.values(), {"from": who})


def test_P2_only_committers_reveal(life, consortium, refused):
    life = consortium.ready(4)
    life.commit(*life.enrolled[:3])
    life.pass_deadline()
    life.contract.advance(life.round, {"from": consortium.members[4]})
    with refused("RoundManagerNoCommitment", life.round, life.enrolled[3]):
        life.reveal(life.enrolled[3])
    with refused("RoundManagerNotEnrolled", life.study, consortium.members[4]):
        life.reveal(consortium.members[4])


def test_P2_one_reveal_each(life, refused):
    life.until(Phase.COMMITTED).reveal(life.enrolled[0])
    with refused("RoundManagerAlreadyDone", life.round, life.enrolled[0]):
        life.reveal(life.enrolled[0])


def test_P2_a_copied_root_is_refused(life, refused):
    victim, copier, other = life.enrolled
    copied = life.root(victim)
    life.commit(victim, other)
    life.contract.commit(life.round, life.commitment(copier, root=copied), {"from": copier})
    life.reveal(victim)
    with refused("RoundManagerRootReused", copied):
        life.contract.reveal(life.round, copied, CID, bytes(32), word("salt", copier), {"from": copier})
    assert life.view()["revealed"] == 0b001


def test_P2_what_a_reveal_holds_is_checked(life, refused):
    life.until(Phase.COMMITTED)
    who = {"from": life.enrolled[0]}
    with refused("RoundManagerEmptyValue"):
        life.contract.reveal(life.round, bytes(32), CID, bytes(32), word("salt"), who)
    with refused("RoundManagerEmptyValue"):
        life.contract.reveal(life.round, word("root"), "", bytes(32), word("salt"), who)
    with refused("RoundManagerTextTooLong", 129, 128):
        life.contract.reveal(life.round, word("root"), "c" * 129, bytes(32), word("salt"), who)
