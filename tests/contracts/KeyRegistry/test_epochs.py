"""K1, K2 and R2: key epochs, their holders and threshold, and confirmation by every holder."""

from __future__ import annotations

import pytest
from eth_utils import keccak

from defedbio.domain import CeremonyKind, KeyEpochStatus
from tests.contracts.consortium import CID, MODULUS, Consortium, as_bytes, people, word


def status(consortium, epoch):
    return KeyEpochStatus(consortium.keys.epochOf(epoch)["status"])


def test_K1_a_proposal_records_what_was_agreed(consortium):
    holders = consortium.members[:3]
    epoch = consortium.propose_key(holders, 2, proposer=consortium.members[4])
    record = consortium.keys.epochOf(epoch)
    assert record["proposer"] == consortium.members[4]
    assert (record["threshold"], record["modulusBits"], record["confirmations"]) == (2, 2048, 0)
    assert as_bytes(record["modulusHash"]) == keccak(MODULUS)
    assert as_bytes(record["transcriptHash"]) == word("transcript")
    assert list(record["holders"]) == [account.address for account in holders]
    assert [consortium.keys.holderIndex(epoch, account) for account in consortium.members] == [1, 2, 3, 0, 0]
    assert consortium.keys.thresholdOf(epoch) == 2
    assert not consortium.keys.isActive(epoch)


def test_K2_the_kind_of_ceremony_is_on_record(consortium):
    epoch = consortium.propose_key(consortium.members[:3], 2)
    assert consortium.keys.epochOf(epoch)["kind"] == CeremonyKind.DEALER
    assert consortium.keys.ceremonyOfEpoch(epoch) == 0


def test_K1_active_only_when_every_holder_has_confirmed(consortium):
    epoch = consortium.propose_key(consortium.members[:3], 2)
    for holder in (consortium.members[2], consortium.members[0]):
        consortium.keys.confirm(epoch, word("transcript"), {"from": holder})
        assert status(consortium, epoch) == KeyEpochStatus.PROPOSED
    tx = consortium.keys.confirm(epoch, word("transcript"), {"from": consortium.members[1]})
    assert tx.events["KeyEpochActivated"]["epoch"] == epoch
    assert tx.events["KeyShareConfirmed"]["confirmations"] == 0b111
    assert consortium.keys.isActive(epoch)


def test_K1_a_confirmation_names_the_transcript(consortium, refused):
    epoch = consortium.propose_key(consortium.members[:3], 2)
    with refused("KeyRegistryTranscriptMismatch", epoch, word("transcript"), word("another")):
        consortium.keys.confirm(epoch, word("another"), {"from": consortium.members[0]})


def test_K1_a_holder_confirms_once_and_nobody_else_does(consortium, refused):
    epoch = consortium.propose_key(consortium.members[:3], 2)
    consortium.keys.confirm(epoch, word("transcript"), {"from": consortium.members[0]})
    with refused("KeyRegistryAlreadyConfirmed", epoch, consortium.members[0]):
        consortium.keys.confirm(epoch, word("transcript"), {"from": consortium.members[0]})
    with refused("KeyRegistryNotHolder", epoch, consortium.members[3]):
        consortium.keys.confirm(epoch, word("transcript"), {"from": consortium.members[3]})
    with refused("KeyRegistryNotHolder", epoch, consortium.members[3]):
        consortium.keys.reject(epoch, "not mine", {"from": consortium.members[3]})


def test_K1_one_rejection_ends_the_epoch(consortium, refused):
    epoch = consortium.propose_key(consortium.members[:3], 2)
    tx = consortium.keys.reject(epoch, "share 1 does not fit", {"from": consortium.members[0]})
    assert tx.events["KeyEpochRejected"]["reason"] == "share 1 does not fit"
    with refused("KeyRegistryUnexpectedStatus", epoch, KeyEpochStatus.REJECTED):
        consortium.keys.confirm(epoch, word("transcript"), {"from": consortium.members[1]})


def test_K1_an_active_epoch_cannot_be_rejected(consortium, refused):
    epoch = consortium.active_key(consortium.members[:3], 2)
    with refused("KeyRegistryUnexpectedStatus", epoch, KeyEpochStatus.ACTIVE):
        consortium.keys.reject(epoch, "too late", {"from": consortium.members[0]})
    with refused("KeyRegistryUnexpectedStatus", epoch + 1, KeyEpochStatus.NONE):
        consortium.keys.confirm(epoch + 1, word("transcript"), {"from": consortium.members[0]})


def test_K1_other_holders_need_another_epoch(consortium):
    first = consortium.active_key(consortium.members[:3], 2)
    second = consortium.propose_key(consortium.members[1:4], 2)
    assert second == first + 1
    assert consortium.keys.isActive(first)
    assert not consortium.keys.isActive(second)
    assert consortium.keys.holderIndex(first, consortium.members[1]) == 2
    assert consortium.keys.holderIndex(second, consortium.members[1]) == 1


def test_K3_a_holder_retires_its_share_once_and_for_ever(consortium, refused):
    epoch = consortium.active_key(consortium.members[:3], 2)
    tx = consortium.keys.retireShare(epoch, {"from": consortium.members[1]})
    assert (tx.events["KeyShareRetired"]["holder"], tx.events["KeyShareRetired"]["retired"]) == (consortium.members[1], 0b010)
    assert consortium.keys.epochOf(epoch)["retired"] == 0b010 and consortium.keys.isActive(epoch)
    with refused("KeyRegistryAlreadyRetired", epoch, consortium.members[1]):
        consortium.keys.retireShare(epoch, {"from": consortium.members[1]})
    with refused("KeyRegistryNotHolder", epoch, consortium.members[3]):
        consortium.keys.retireShare(epoch, {"from": consortium.members[3]})


def test_K3_an_epoch_ends_with_the_share_that_it_cannot_do_without(consortium, refused):
    epoch = consortium.active_key(consortium.members[:3], 2)
    consortium.keys.retireShare(epoch, {"from": consortium.members[0]})
    consortium.open_study(epoch)
    tx = consortium.keys.retireShare(epoch, {"from": consortium.members[2]})
    assert tx.events["KeyEpochRetired"]["epoch"] == epoch
    assert status(consortium, epoch) == KeyEpochStatus.RETIRED and not consortium.keys.isActive(epoch)
    with refused("StudyRegistryKeyNotActive", epoch):
        consortium.open_study(epoch)
    last = consortium.keys.retireShare(epoch, {"from": consortium.members[1]})
    assert "KeyEpochRetired" not in last.events and last.events["KeyShareRetired"]["retired"] == 0b111


def test_K3_only_shares_that_count_are_retired(consortium, refused):
    epoch = consortium.propose_key(consortium.members[:3], 2)
    with refused("KeyRegistryUnexpectedStatus", epoch, KeyEpochStatus.PROPOSED):
        consortium.keys.retireShare(epoch, {"from": consortium.members[0]})
    consortium.keys.reject(epoch, "no", {"from": consortium.members[0]})
    with refused("KeyRegistryUnexpectedStatus", epoch, KeyEpochStatus.REJECTED):
        consortium.keys.retireShare(epoch, {"from": consortium.members[0]})


@pytest.mark.parametrize(("holders", "threshold"), [(1, 1), (2, 1), (4, 2), (5, 2), (3, 4), (3, 0), (0, 0)])
def test_R2_the_threshold_is_more_than_half_of_2_to_15_holders(consortium, refused, holders, threshold):
    with refused("KeyRegistryInvalidThreshold", threshold, holders):
        consortium.propose_key(consortium.members[:holders], threshold)


def test_R2_a_committee_of_15_and_no_more(refused):
    consortium = Consortium.found(people(16))
    consortium.active_key(consortium.members[:15], 8)
    with refused("KeyRegistryInvalidThreshold", 9, 16):
        consortium.propose_key(consortium.members, 9)


def test_R2_holders_are_distinct_members(consortium, refused, accounts):
    first, second = consortium.members[:2]
    with refused("KeyRegistryDuplicateHolder", first):
        consortium.propose_key([first, second, first], 2)
    with refused("KeyRegistryNotMember", accounts[8]):
        consortium.propose_key([first, second, accounts[8]], 2)
    with refused("KeyRegistryNotMember", accounts[8]):
        consortium.propose_key([first, second], 2, proposer=accounts[8])


@pytest.mark.parametrize(
    ("modulus", "bits"),
    [
        (b"", 0),
        (b"\x00" + MODULUS, 0),
        (b"\x7f" + MODULUS[1:], 2047),
        (MODULUS[:-1] + b"\x02", 2048),
        (b"\x01" * 2049, 16385),
    ],
)
def test_K1_a_modulus_is_odd_and_of_2048_to_16384_bits(consortium, refused, modulus, bits):
    with refused("KeyRegistryInvalidModulus", bits):
        consortium.propose_key(consortium.members[:3], 2, modulus=modulus)


def test_K1_the_largest_modulus_is_taken(consortium):
    epoch = consortium.propose_key(consortium.members[:3], 2, modulus=b"\xff" * 2048)
    assert consortium.keys.epochOf(epoch)["modulusBits"] == 16384


def test_K1_texts_and_hashes_are_checked(consortium, refused):
    holders = consortium.members[:3]
    with refused("KeyRegistryEmptyValue"):
        consortium.propose_key(holders, 2, transcript=bytes(32))
    with refused("KeyRegistryEmptyValue"):
        consortium.propose_key(holders, 2, cid="")
    with refused("KeyRegistryTextTooLong", 129, 128):
        consortium.propose_key(holders, 2, cid="c" * 129)
    epoch = consortium.propose_key(holders, 2, cid=CID)
    with refused("KeyRegistryTextTooLong", 1025, 1024):
        consortium.keys.reject(epoch, "r" * 1025, {"from": holders[0]})
