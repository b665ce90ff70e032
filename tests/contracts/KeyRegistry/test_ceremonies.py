"""D1, D2, D4 and D5: what the contract fixes of a ceremony without a dealer."""

from __future__ import annotations

import pytest
from brownie import chain, web3
from eth_abi import encode
from eth_utils import keccak

from defedbio.domain import CeremonyKind, CeremonyStatus, KeyEpochStatus
from tests.contracts.ceremonies import announced
from tests.contracts.consortium import CID, HOUR, MODULUS, Consortium, as_bytes, move_to, people, word

NO_HEAD = bytes(32)


@pytest.fixture
def making(consortium):
    return announced(consortium)


def head_after(making, step, before, hashes):
    """As D2 has it, independently of the contract."""
    types = ["uint256", "address", "uint64", "uint16", "bytes32", "bytes32[]"]
    return keccak(encode(types, [chain.id, making.contract.address, making.id, step, before, hashes]))


def test_D1_an_announcement_records_the_terms(consortium):
    making = announced(consortium, 4, 3, bits=3072, by=consortium.members[4])
    view = making.view()
    assert [view[name] for name in ("status", "threshold", "bits", "step", "posted", "seeds", "stepSeconds", "epoch")] == [
        *(CeremonyStatus.RUNNING, 3, 3072, 0, 0, 0, HOUR, 0)
    ]
    assert list(view["holders"]) == [account.address for account in making.holders]
    assert as_bytes(view["head"]) == NO_HEAD and view["deadline"] == chain[-1].timestamp + HOUR
    assert [consortium.keys.ceremonyIndex(making.id, account) for account in consortium.members] == [1, 2, 3, 4, 0]
    assert announced(consortium).id == making.id + 1


def test_D1_terms_are_checked(consortium, refused, accounts):
    outsider, members = accounts[8], [account.address for account in consortium.members]
    with refused("KeyRegistryNotMember", outsider):
        announced(consortium, by=outsider)
    with refused("KeyRegistryNotMember", outsider):
        announced(consortium, holders=[*members[:2], outsider.address])
    with refused("KeyRegistryDuplicateHolder", members[0]):
        announced(consortium, holders=[members[0], members[1], members[0]])
    for holders, threshold in ((1, 1), (4, 2), (3, 4), (0, 0)):
        with refused("KeyRegistryInvalidThreshold", threshold, holders):
            announced(consortium, holders=members[:holders], threshold=threshold)
    for bits in (0, 2047, 2049, 4096):
        with refused("CeremonyInvalidBits", bits):
            announced(consortium, bits=bits)
    for seconds in (0, 59, 30 * 24 * HOUR + 1):
        with refused("CeremonyInvalidStepSeconds", seconds):
            announced(consortium, seconds=seconds)


def test_D2_the_last_post_of_a_step_begins_the_next(consortium):
    making = announced(consortium, 4, 3)
    before = chain[-1].timestamp
    making.post(making.holders[2], making.holders[0], making.holders[3])
    assert (making.view()["step"], making.view()["posted"]) == (0, 0b1101)
    tx = making.post(making.holders[1])
    first = head_after(making, 0, NO_HEAD, [making.message(who, 0) for who in making.holders])
    entered = tx.events["CeremonyStepEntered"]
    assert (entered["step"], as_bytes(entered["head"]), entered["deadline"]) == (1, first, tx.timestamp + HOUR)
    assert entered["deadline"] >= before + HOUR
    view = making.view()
    assert (view["step"], view["posted"], as_bytes(view["head"]), view["deadline"]) == (1, 0, first, tx.timestamp + HOUR)

    making.post(*reversed(making.contributors))
    second = head_after(making, 1, first, [making.message(who, 1) for who in making.contributors])
    assert as_bytes(making.view()["head"]) == second


def test_D2_a_post_is_on_record_with_its_place(making):
    tx = making.post(making.holders[1], hash=word("m"))
    posted = tx.events["CeremonyPosted"]
    assert (posted["ceremony"], posted["holder"], posted["step"], posted["cid"]) == (making.id, making.holders[1], 0, CID)
    assert as_bytes(posted["hash"]) == word("m")


def test_D2_one_message_a_poster_and_step(making, refused):
    making.post(making.holders[1])
    with refused("CeremonyAlreadyPosted", making.id, making.holders[1]):
        making.post(making.holders[1], hash=word("another"))


def test_D2_after_step_0_contributors_alone_post(making, refused):
    with refused("CeremonyNotHolder", making.id, making.consortium.members[3]):
        making.post(making.consortium.members[3])
    making.step()
    with refused("CeremonyNotContributor", making.id, making.holders[2]):
        making.post(making.holders[2])


def test_D2_a_post_is_for_the_present_step_and_the_posts_before_it(making, refused):
    with refused("CeremonyStepMismatch", making.id, 0, NO_HEAD):
        making.post(making.holders[0], step=1)
    with refused("CeremonyStepMismatch", making.id, 0, NO_HEAD):
        making.post(making.holders[0], head=word("another"))
    making.step()
    head = as_bytes(making.view()["head"])
    with refused("CeremonyStepMismatch", making.id, 1, head):
        making.post(making.holders[0], step=0)
    with refused("CeremonyStepMismatch", making.id, 1, head):
        making.post(making.holders[0], head=NO_HEAD)


def test_D2_other_posts_give_another_head(consortium):
    """What a reorganisation changes of one post, in the same ceremony, no message after it survives."""
    making = announced(consortium)
    chain.snapshot()
    making.step()
    head = as_bytes(making.view()["head"])
    chain.revert()
    making.post(making.holders[0], hash=word("another"))
    making.post(*making.holders[1:])
    assert as_bytes(making.view()["head"]) != head


def test_D2_posts_are_bounded(making, refused):
    with refused("KeyRegistryEmptyValue"):
        making.post(making.holders[0], hash=bytes(32))
    with refused("KeyRegistryEmptyValue"):
        making.post(making.holders[0], cid="")
    with refused("KeyRegistryTextTooLong", 129, 128):
        making.post(making.holders[0], cid="c" * 129)
    making.post(making.holders[0], cid="c" * 128)


def test_D4_a_step_ends_with_its_deadline_to_the_second(making, refused):
    making.post(making.holders[1])
    deadline = making.view()["deadline"]
    move_to(deadline - 2)
    with refused("CeremonyStepNotOver", making.id, deadline):
        making.contract.expire(making.id, {"from": making.holders[0]})
    move_to(deadline + 1)
    with refused("CeremonyStepOver", making.id, deadline):
        making.post(making.holders[0])
    tx = making.contract.expire(making.id, {"from": making.consortium.members[4]})
    assert (tx.events["CeremonyExpired"]["step"], tx.events["CeremonyExpired"]["missing"]) == (0, 0b101)
    assert tx.events["CeremonyFailed"]["deadline"] == tx.timestamp + HOUR
    assert making.status == CeremonyStatus.FAILED


def test_D4_a_post_at_the_deadline_is_in_time(making):
    making.post(*making.holders[1:])
    deadline = making.view()["deadline"]
    web3.provider.make_request("evm_setNextBlockTimestamp", [deadline])
    assert making.post(making.holders[0]).timestamp == deadline
    assert making.view()["step"] == 1


def test_D4_after_step_0_contributors_alone_are_missed(making):
    making.step()
    making.post(making.holders[0])
    making.let_pass()
    tx = making.contract.expire(making.id, {"from": making.holders[0]})
    assert tx.events["CeremonyExpired"]["missing"] == 0b10


def test_D4_a_complaint_ends_the_ceremony(making, refused):
    with refused("CeremonyNotHolder", making.id, making.consortium.members[3]):
        making.contract.complain(making.id, "I am none of it", {"from": making.consortium.members[3]})
    with refused("KeyRegistryTextTooLong", 1025, 1024):
        making.contract.complain(making.id, "r" * 1025, {"from": making.holders[2]})
    tx = making.contract.complain(making.id, "r" * 1024, {"from": making.holders[2]})
    assert (tx.events["CeremonyComplained"]["holder"], tx.events["CeremonyComplained"]["reason"]) == (making.holders[2], "r" * 1024)
    assert making.status == CeremonyStatus.FAILED


def test_D4_a_failure_is_for_ever(making, refused):
    making.step()
    making.fail()
    acts = [
        lambda: making.post(making.holders[0]),
        lambda: making.contract.expire(making.id, {"from": making.holders[0]}),
        lambda: making.contract.complain(making.id, "", {"from": making.holders[0]}),
        lambda: making.propose(),
    ]
    for act in acts:
        with refused("CeremonyUnexpectedStatus", making.id, CeremonyStatus.FAILED):
            act()


def test_D4_what_was_never_announced_takes_nothing(making, refused):
    with refused("CeremonyUnexpectedStatus", making.id + 1, CeremonyStatus.NONE):
        making.contract.post(making.id + 1, 0, NO_HEAD, word("m"), CID, {"from": making.holders[0]})
    with refused("CeremonyUnexpectedStatus", making.id + 1, CeremonyStatus.NONE):
        making.contract.publishSeed(making.id + 1, word("seed"), {"from": making.holders[0]})


def test_D4_seeds_only_of_what_has_failed_by_contributors_once(making, refused):
    with refused("CeremonyUnexpectedStatus", making.id, CeremonyStatus.RUNNING):
        making.contract.publishSeed(making.id, word("seed"), {"from": making.holders[0]})
    making.fail()
    tx = making.contract.publishSeed(making.id, word("seed"), {"from": making.holders[1]})
    published = tx.events["CeremonySeedPublished"]
    assert (published["contributor"], as_bytes(published["seed"])) == (making.holders[1], word("seed"))
    assert making.view()["seeds"] == 0b10
    with refused("CeremonyAlreadyPublished", making.id, making.holders[1]):
        making.contract.publishSeed(making.id, word("another"), {"from": making.holders[1]})
    for stranger in (making.holders[2], making.consortium.members[3]):
        with refused("CeremonyNotContributor", making.id, stranger):
            making.contract.publishSeed(making.id, word("seed"), {"from": stranger})


def test_D4_a_late_seed_is_taken(making):
    making.fail()
    making.let_pass()
    making.contract.publishSeed(making.id, word("seed"), {"from": making.holders[0]})
    assert making.view()["seeds"] == 0b01


def test_D5_the_confirmation_of_all_holders_is_the_success(making, refused):
    making.step(2)
    epoch = making.propose(making.holders[1])
    record = making.contract.epochOf(epoch)
    assert (record["kind"], record["threshold"], record["proposer"]) == (CeremonyKind.DISTRIBUTED, 2, making.holders[1])
    assert list(record["holders"]) == [account.address for account in making.holders]
    assert [making.contract.holderIndex(epoch, account) for account in making.consortium.members] == [1, 2, 3, 0, 0]
    assert (making.view()["epoch"], making.contract.ceremonyOfEpoch(epoch)) == (epoch, making.id)

    making.confirm(epoch, making.holders[2], making.holders[0])
    assert making.status == CeremonyStatus.RUNNING and not making.contract.isActive(epoch)
    tx = making.confirm(epoch, making.holders[1])
    assert tx.events["CeremonySucceeded"]["epoch"] == epoch
    assert making.status == CeremonyStatus.SUCCEEDED and making.contract.isActive(epoch)

    making.let_pass()
    for act in (making.fail, lambda: making.contract.expire(making.id, {"from": making.holders[0]})):
        with refused("CeremonyUnexpectedStatus", making.id, CeremonyStatus.SUCCEEDED):
            act()
    with refused("CeremonyUnexpectedStatus", making.id, CeremonyStatus.SUCCEEDED):
        making.contract.publishSeed(making.id, word("seed"), {"from": making.holders[0]})


def test_D5_an_epoch_is_of_the_terms_and_the_posts(making, refused):
    making.step(2)
    head = as_bytes(making.view()["head"])
    for stranger in (making.holders[2], making.consortium.members[3]):
        with refused("CeremonyNotContributor", making.id, stranger):
            making.propose(stranger)
    with refused("CeremonyStepMismatch", making.id, 2, head):
        making.propose(head=word("another"))
    with refused("KeyRegistryInvalidModulus", 2056):
        making.propose(modulus=b"\xc5" + MODULUS)
    with refused("KeyRegistryEmptyValue"):
        making.propose(transcript=bytes(32))
    with refused("KeyRegistryTextTooLong", 129, 128):
        making.propose(cid="c" * 129)
    making.let_pass()
    with refused("CeremonyStepOver", making.id, making.view()["deadline"]):
        making.propose()


def test_D5_a_ceremony_of_3072_bits_makes_such_a_key(consortium, refused):
    making = announced(consortium, bits=3072)
    making.step()
    with refused("KeyRegistryInvalidModulus", 2048):
        making.propose()
    making.propose(modulus=b"\xc5" + b"\x11" * 382 + b"\x01")


def test_D5_one_epoch_a_ceremony_and_no_post_beside_it(making, refused):
    making.step(2)
    epoch = making.propose(making.holders[1])
    with refused("CeremonyEpochProposed", making.id, epoch):
        making.propose(making.holders[0])
    with refused("CeremonyEpochProposed", making.id, epoch):
        making.post(making.holders[0])


def test_D4_confirmations_have_a_steps_time(making, refused):
    making.step(2)
    move_to(making.view()["deadline"] - 2)
    epoch = making.propose()
    deadline = making.view()["deadline"]
    assert deadline == chain[-1].timestamp + HOUR
    making.confirm(epoch, making.holders[2])
    making.let_pass()
    with refused("CeremonyStepOver", making.id, deadline):
        making.confirm(epoch, making.holders[0])
    tx = making.contract.expire(making.id, {"from": making.consortium.members[4]})
    assert tx.events["CeremonyExpired"]["missing"] == 0b011
    assert tx.events["KeyEpochLapsed"]["epoch"] == epoch
    with refused("KeyRegistryUnexpectedStatus", epoch, KeyEpochStatus.REJECTED):
        making.confirm(epoch, making.holders[0])


def test_D4_a_rejection_fails_the_ceremony_and_a_complaint_the_epoch(consortium, refused):
    rejected, lapsed = announced(consortium), announced(consortium)
    for making in (rejected, lapsed):
        making.step()
    first, second = rejected.propose(), lapsed.propose()
    tx = rejected.contract.reject(first, "share 3 does not fit", {"from": rejected.holders[2]})
    assert tx.events["KeyEpochRejected"]["reason"] == "share 3 does not fit" and "CeremonyFailed" in tx.events
    tx = lapsed.fail()
    assert tx.events["KeyEpochLapsed"]["epoch"] == second
    for making, epoch in ((rejected, first), (lapsed, second)):
        assert making.status == CeremonyStatus.FAILED
        with refused("KeyRegistryUnexpectedStatus", epoch, KeyEpochStatus.REJECTED):
            making.confirm(epoch, making.holders[0])
        making.contract.publishSeed(making.id, word("seed"), {"from": making.holders[0]})


def test_D1_ceremonies_do_not_touch_one_another(consortium):
    first, second = announced(consortium), announced(consortium)
    first.step()
    second.post(second.holders[0])
    assert (first.view()["step"], second.view()["step"], second.view()["posted"]) == (1, 0, 0b001)
    first.fail()
    second.post(*second.holders[1:])
    assert second.view()["step"] == 1


def test_R2_a_ceremony_of_15(module_isolation):
    making = announced(Consortium.found(people(15)), 15, 15)
    making.step(2)
    epoch = making.propose()
    making.confirm(epoch, *making.holders)
    assert making.status == CeremonyStatus.SUCCEEDED
