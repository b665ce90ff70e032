"""R4, P4, P5 and P6: the aggregate, the shares of its decryption, the opening and the model."""

from __future__ import annotations

import pytest

from defedbio.domain import Phase
from tests.contracts.consortium import CID, as_bytes, word


@pytest.fixture(scope="module")
def life(consortium, request):
    """A round of four that has come to a phase, once for all tests that begin there."""
    return consortium.ready(4).until(request.param)


def at(phase):
    return pytest.mark.parametrize("life", [phase], indirect=True, ids=[phase.name.lower()])


@at(Phase.FROZEN)
def test_R4_P4_anyone_in_the_study_posts_and_nobody_else(life, consortium, refused):
    with refused("RoundManagerNotEnrolled", life.study, consortium.members[4]):
        life.aggregate(consortium.members[4])
    event = life.aggregate(life.enrolled[3]).events["AggregatePosted"]
    assert (event["aggregator"], event["cid"]) == (life.enrolled[3], CID)
    assert as_bytes(event["aggregateRoot"]) == life.aggregate_root
    assert life.phase == Phase.AGGREGATED


@at(Phase.FROZEN)
def test_R4_P4_a_wrong_post_delays_nobody(life):
    life.aggregate(life.enrolled[0], root=word("wrong"))
    deadline = life.deadline
    life.aggregate(life.enrolled[1])
    assert life.deadline == deadline, "a later post does not restart the clock"
    life.release()
    assert as_bytes(life.view()["aggregateRoot"]) == life.aggregate_root


@at(Phase.FROZEN)
def test_P4_one_post_each_and_nothing_empty(life, refused):
    with refused("RoundManagerEmptyValue"):
        life.contract.postAggregate(life.round, bytes(32), CID, {"from": life.enrolled[0]})
    life.aggregate(life.enrolled[0])
    with refused("RoundManagerAlreadyDone", life.round, life.enrolled[0]):
        life.aggregate(life.enrolled[0], root=word("another"))


@at(Phase.AGGREGATED)
def test_P5_only_a_posted_root_is_decrypted(life, refused):
    with refused("RoundManagerUnknownAggregate", life.round, word("unposted")):
        life.release(life.holders[0], root=word("unposted"))


@at(Phase.AGGREGATED)
def test_P5_one_release_a_round_ever(life, refused):
    life.aggregate(life.enrolled[1], root=word("other"))
    life.release(life.holders[0])
    for root in (life.aggregate_root, word("other")):
        with refused("RoundManagerAlreadyDone", life.round, life.holders[0]):
            life.release(life.holders[0], root=root)


@at(Phase.AGGREGATED)
def test_P5_shares_of_different_roots_do_not_add_up(life):
    life.aggregate(life.enrolled[1], root=word("other"))
    life.release(life.holders[0], root=word("other"))
    life.release(life.holders[1])
    assert life.phase == Phase.AGGREGATED
    life.release(life.holders[2])
    assert life.phase == Phase.DECRYPTED


@at(Phase.AGGREGATED)
def test_P5_a_late_share_replaces_a_wrong_one_for_the_same_root_only(life, refused):
    life.aggregate(life.enrolled[1], root=word("other"))
    life.release()
    with refused("RoundManagerUnknownAggregate", life.round, word("other")):
        life.release(life.holders[2], root=word("other"))
    event = life.release(life.holders[2]).events["ShareReleased"]
    assert (event["holder"], event["holderIndex"], event["cid"]) == (life.holders[2], 3, CID)
    assert as_bytes(event["shareRoot"]) == word("share", life.round, life.holders[2])
    assert life.phase == Phase.DECRYPTED


@at(Phase.AGGREGATED)
def test_P5_key_holders_release_and_nobody_else(life, refused):
    with refused("RoundManagerNotHolder", life.epoch, life.enrolled[3]):
        life.release(life.enrolled[3])


@at(Phase.AGGREGATED)
def test_P5_a_share_names_its_root_and_proof(life, refused):
    for share, proof in ((bytes(32), word("proof")), (word("share"), bytes(32))):
        with refused("RoundManagerEmptyValue"):
            life.contract.releaseShare(life.round, life.aggregate_root, share, CID, proof, {"from": life.holders[0]})


@at(Phase.FROZEN)
def test_P5_no_share_before_an_aggregate(life, refused):
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.FROZEN):
        life.release(life.holders[0])


@at(Phase.DECRYPTED)
def test_P5_a_dispute_is_on_record_and_changes_nothing(life, consortium, refused):
    before = life.view()
    event = life.contract.disputeShare(life.round, life.holders[1], "bad response", {"from": life.enrolled[3]}).events["ShareDisputed"]
    assert (event["accuser"], event["holder"], event["reason"]) == (life.enrolled[3], life.holders[1], "bad response")
    assert life.view() == before
    with refused("RoundManagerNoShare", life.round, life.holders[2]):
        life.contract.disputeShare(life.round, life.holders[2], "", {"from": life.enrolled[3]})
    with refused("RoundManagerAlreadyDone", life.round, life.enrolled[3]):
        life.contract.disputeShare(life.round, life.holders[1], "the same again", {"from": life.enrolled[3]})
    with refused("RoundManagerNotHolder", life.epoch, life.enrolled[3]):
        life.contract.disputeShare(life.round, life.enrolled[3], "", {"from": life.enrolled[0]})
    with refused("RoundManagerNotEnrolled", life.study, consortium.members[4]):
        life.contract.disputeShare(life.round, life.holders[1], "", {"from": consortium.members[4]})
    with refused("RoundManagerTextTooLong", 1025, 1024):
        life.contract.disputeShare(life.round, life.holders[1], "r" * 1025, {"from": life.enrolled[0]})
    with refused("RoundManagerUnexpectedPhase", 99, Phase.NONE):
        life.contract.disputeShare(99, life.holders[1], "", {"from": life.enrolled[0]})


@at(Phase.DECRYPTED)
def test_P6_openings_come_from_participants_once_each(life, consortium, refused):
    assert as_bytes(life.open_sum().events["OpeningPosted"]["openingRoot"]) == life.opening_root
    with refused("RoundManagerAlreadyDone", life.round, life.enrolled[0]):
        life.open_sum(root=word("second"))
    life.open_sum(life.enrolled[1], root=word("another"))
    with refused("RoundManagerNotEnrolled", life.study, consortium.members[4]):
        life.open_sum(consortium.members[4])
    with refused("RoundManagerEmptyValue"):
        life.contract.postOpening(life.round, bytes(32), CID, {"from": life.enrolled[2]})


@at(Phase.AGGREGATED)
def test_P6_parts_come_from_participants_once_each_and_finalise_nothing(life, consortium, refused):
    with refused("RoundManagerUnexpectedPhase", life.round, Phase.AGGREGATED):
        life.open_part(life.enrolled[0])
    life.release()
    event = life.open_part(life.enrolled[0]).events["OpeningPartPosted"]
    assert (as_bytes(event["partRoot"]), event["poster"]) == (word("part", life.round, life.enrolled[0]), life.enrolled[0])
    with refused("RoundManagerAlreadyDone", life.round, life.enrolled[0]):
        life.open_part(life.enrolled[0])
    life.open_part(life.enrolled[1])
    with refused("RoundManagerNotEnrolled", life.study, consortium.members[4]):
        life.open_part(consortium.members[4])
    with refused("RoundManagerEmptyValue"):
        life.contract.postOpeningPart(life.round, bytes(32), CID, {"from": life.enrolled[2]})
    with refused("RoundManagerUnknownOpening", life.round, life.opening_root):
        life.attest_model(life.holders[0])
    assert life.open_sum(life.enrolled[0]).events["OpeningPosted"], "a part is not the participant's opening"


@at(Phase.DECRYPTED)
def test_P6_a_model_rests_on_a_posted_opening(life, refused):
    with refused("RoundManagerUnknownOpening", life.round, life.opening_root):
        life.attest_model(life.holders[0])


@at(Phase.DECRYPTED)
def test_P6_different_models_or_openings_do_not_add_up(life):
    life.open_sum()
    life.open_sum(life.enrolled[1], root=word("wrong"))
    life.attest_model(life.holders[0], opening=word("wrong"))
    life.attest_model(life.holders[1])
    assert life.phase == Phase.DECRYPTED
    life.attest_model(life.holders[2])
    assert life.phase == Phase.FINALISED


@at(Phase.DECRYPTED)
def test_P6_no_single_holder_names_the_models_cid(life):
    life.open_sum()
    life.attest_model(life.holders[0])
    life.attest_model(life.holders[1], cid=CID[:-1] + "x")
    assert life.phase == Phase.DECRYPTED
    event = life.attest_model(life.holders[2]).events["RoundFinalised"]
    assert event["cid"] == CID
    assert as_bytes(event["modelHash"]) == life.model_hash


@at(Phase.DECRYPTED)
def test_P6_one_attestation_for_each_holder(life, refused):
    life.open_sum()
    life.attest_model(life.holders[0])
    for model in (life.model_hash, word("another")):
        with refused("RoundManagerAlreadyDone", life.round, life.holders[0]):
            life.attest_model(life.holders[0], model=model)
    with refused("RoundManagerNotHolder", life.epoch, life.enrolled[3]):
        life.attest_model(life.enrolled[3])
    with refused("RoundManagerEmptyValue"):
        life.attest_model(life.holders[1], cid="")


@at(Phase.FINALISED)
def test_P6_nothing_follows_a_finalised_round(life, refused):
    for act in (life.open_sum, lambda: life.release(life.holders[2]), lambda: life.attest_model(life.holders[2])):
        with refused("RoundManagerUnexpectedPhase", life.round, Phase.FINALISED):
            act()
