"""P1 to P6: a round from its opening to the named model."""

from __future__ import annotations

from defedbio.domain import Phase
from tests.contracts.consortium import CID, as_bytes


def test_P1_to_P6_a_round_reaches_a_named_model(consortium):
    life = consortium.ready()
    assert life.phase == Phase.OPEN
    life.commit()
    assert life.phase == Phase.COMMITTED
    life.reveal()
    assert life.phase == Phase.REVEALED
    frozen = life.attest()
    assert life.phase == Phase.FROZEN
    assert frozen.events["SetFrozen"]["set"] == life.everyone()
    assert as_bytes(frozen.events["SetFrozen"]["setHash"]) == as_bytes(life.contract.setHashOf(life.round, life.everyone()))
    life.aggregate()
    assert life.phase == Phase.AGGREGATED
    life.release()
    assert life.phase == Phase.DECRYPTED
    assert as_bytes(life.view()["aggregateRoot"]) == life.aggregate_root
    life.open_sum()
    named = life.attest_model().events["RoundFinalised"]
    assert (named["round"], named["study"], named["step"], named["parent"], named["cid"]) == (life.round, life.study, 0, 0, CID)
    assert (as_bytes(named["openingRoot"]), as_bytes(named["modelHash"])) == (life.opening_root, life.model_hash)
    assert life.phase == Phase.FINALISED
    assert life.deadline == 0
    assert as_bytes(life.view()["modelHash"]) == life.model_hash
    assert life.contract.stepsDone(life.study) == 1


def test_P6_the_next_round_starts_from_the_finalised_one(consortium):
    first = consortium.ready().until(Phase.FINALISED)
    second = first.next()
    assert (second.view()["parent"], second.view()["step"]) == (first.round, 1)


def test_refusals_carry_their_values(consortium, refused):
    life = consortium.ready()
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.OPEN):
        life.reveal(life.enrolled[0])
    outsider = consortium.members[4]
    with refused("RoundManagerNotEnrolled", life.study, outsider):
        life.commit(outsider)
    with refused("RoundManagerEmptyValue"):
        life.contract.commit(life.round, bytes(32), {"from": life.enrolled[0]})
