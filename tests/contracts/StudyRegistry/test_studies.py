"""S1, S2 and R3: rules that are fixed before anyone enrols."""

from __future__ import annotations

import pytest

from tests.contracts.consortium import CID, HOUR, as_bytes, move_to, people, word

DAY = 24 * HOUR


@pytest.fixture(scope="module")
def epoch(consortium):
    return consortium.active_key(consortium.members[:3], 2)


def test_S1_the_spec_and_the_rules_are_on_the_chain(consortium, epoch):
    rules = consortium.rules(seats=4, steps=7, revealSeconds=60)
    tx = consortium.studies.open(epoch, word("spec"), CID, rules, [], {"from": consortium.members[1]})
    event = tx.events["StudyOpened"]
    assert (event["coordinator"], event["specCid"]) == (consortium.members[1], CID)
    assert tuple(event["rules"]) == rules
    study = consortium.studies.studyOf(event["study"])
    assert (study["coordinator"], study["keyEpoch"], study["enrolled"]) == (consortium.members[1], epoch, 0)
    assert as_bytes(study["specHash"]) == word("spec")
    assert tuple(study["rules"]) == rules


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("minCohort", 2),
        ("minCohort", 0),
        ("seats", 2),
        ("seats", 257),
        ("steps", 0),
        ("steps", 100_001),
        ("enrolUntil", 1),
        ("enrolUntil", 2**40),
        ("leastShare", 5_000),
        ("leastShare", 10_001),
        *(
            (f"{phase}Seconds", value)
            for phase in ("commit", "reveal", "attest", "aggregate", "share", "finalise")
            for value in (0, 31 * DAY + 1)
        ),
    ],
)
def test_S1_a_bad_rule_is_refused_by_name(consortium, epoch, refused, rule, value):
    with refused("StudyRegistryInvalidRule", rule, value):
        consortium.open_study(epoch, **{rule: value})


def test_S1_the_cohort_fits_the_seats(consortium, epoch, refused):
    with refused("StudyRegistryInvalidRule", "seats", 4):
        consortium.open_study(epoch, seats=4, minCohort=5)
    assert consortium.open_study(epoch, seats=256, minCohort=256, steps=100_000, commitSeconds=31 * DAY)


def test_S1_the_spec_is_named(consortium, epoch, refused):
    for spec, cid, rule, value in (
        (bytes(32), CID, "specHash", 0),
        (word("spec"), "", "specCid", 0),
        (word("spec"), "c" * 129, "specCid", 129),
    ):
        with refused("StudyRegistryInvalidRule", rule, value):
            consortium.studies.open(epoch, spec, cid, consortium.rules(), [], {"from": consortium.members[0]})


def test_S1_a_study_needs_an_active_key(consortium, epoch, refused):
    proposed = consortium.propose_key(consortium.members[:3], 2)
    for key in (proposed, proposed + 1):
        with refused("StudyRegistryKeyNotActive", key):
            consortium.open_study(key)


def test_R1_only_members_open_and_enrol(consortium, epoch, refused):
    outsider = people(7)[6]
    with refused("StudyRegistryNotMember", outsider):
        consortium.studies.open(epoch, word("spec"), CID, consortium.rules(), [], {"from": outsider})
    study = consortium.open_study(epoch)
    with refused("StudyRegistryNotMember", outsider):
        consortium.studies.enrol(study, word("spec"), {"from": outsider})


def test_R1_a_removed_member_cannot_enrol(consortium, epoch, refused):
    study, removed = consortium.open_study(epoch), consortium.members[4]
    for voter in consortium.members[:3]:
        consortium.participants.voteToRemove(removed, {"from": voter})
    with refused("StudyRegistryNotMember", removed):
        consortium.studies.enrol(study, word("spec"), {"from": removed})


def test_S2_only_the_invited_enrol(consortium, epoch, refused):
    *invited, stranger = consortium.members
    tx = consortium.studies.open(epoch, word("spec"), CID, consortium.rules(), [i.address for i in invited], {"from": invited[0]})
    event = tx.events["ParticipantsInvited"]
    study = event["study"]
    assert list(event["invited"]) == invited and consortium.studies.studyOf(study)["invited"] == 4
    assert consortium.studies.isInvited(study, invited[3]) and not consortium.studies.isInvited(study, stranger)
    with refused("StudyRegistryNotInvited", study, stranger):
        consortium.studies.enrol(study, word("spec"), {"from": stranger})
    consortium.studies.enrol(study, word("spec"), {"from": invited[3]})


def test_S2_an_invitation_makes_nobody_a_member(consortium, epoch, refused):
    outsider = people(7)[6]
    study = consortium.open_study(epoch, [*consortium.members, outsider])
    with refused("StudyRegistryNotMember", outsider):
        consortium.studies.enrol(study, word("spec"), {"from": outsider})


def test_S2_a_study_that_names_nobody_takes_any_member(consortium, epoch):
    tx = consortium.studies.open(epoch, word("spec"), CID, consortium.rules(), [], {"from": consortium.members[0]})
    study = tx.events["StudyOpened"]["study"]
    assert "ParticipantsInvited" not in tx.events and consortium.studies.isInvited(study, consortium.members[4])


def test_S2_the_invited_are_as_many_as_the_seats_and_each_is_named_once(consortium, epoch, refused):
    first, second, third, *_ = consortium.members
    with refused("StudyRegistryInvalidRule", "invited", 2):
        consortium.open_study(epoch, [first, second])
    with refused("StudyRegistryInvitedTwice", second):
        consortium.open_study(epoch, [first, second, third, second])
    addresses = [f"0x{i:040x}" for i in range(1, 258)]
    with refused("StudyRegistryInvalidRule", "invited", 257):
        consortium.open_study(epoch, addresses)
    assert consortium.open_study(epoch, addresses[:256], seats=256)


def test_S2_an_organisation_enrols_in_the_spec_it_accepted(consortium, epoch, refused):
    study = consortium.open_study(epoch)
    with refused("StudyRegistrySpecMismatch", study, word("spec"), word("another")):
        consortium.studies.enrol(study, word("another"), {"from": consortium.members[0]})
    for index, account in enumerate(consortium.members[:2], start=1):
        event = consortium.studies.enrol(study, word("spec"), {"from": account}).events["ParticipantEnrolled"]
        assert (event["participant"], event["index"]) == (account, index)
        assert as_bytes(event["specHash"]) == word("spec")
        assert consortium.studies.participantIndex(study, account) == index
    assert consortium.studies.participantIndex(study, consortium.members[2]) == 0
    with refused("StudyRegistryAlreadyEnrolled", study, consortium.members[1]):
        consortium.studies.enrol(study, word("spec"), {"from": consortium.members[1]})


def test_S2_enrolment_closes_when_the_seats_are_taken(consortium, epoch, refused):
    study = consortium.open_study(epoch, seats=3)
    for account in consortium.members[:3]:
        assert not consortium.studies.enrolmentClosed(study)
        consortium.studies.enrol(study, word("spec"), {"from": account})
    assert consortium.studies.enrolmentClosed(study)
    with refused("StudyRegistryEnrolmentClosed", study):
        consortium.studies.enrol(study, word("spec"), {"from": consortium.members[3]})


def test_S2_enrolment_closes_in_time(consortium, epoch, refused):
    study = consortium.open_study(epoch, seats=5)
    move_to(consortium.studies.studyOf(study)["rules"][3])
    assert consortium.studies.enrolmentClosed(study)
    with refused("StudyRegistryEnrolmentClosed", study):
        consortium.studies.enrol(study, word("spec"), {"from": consortium.members[0]})


def test_S1_an_unknown_study_is_named(consortium, epoch, refused):
    with refused("StudyRegistryUnknownStudy", 99):
        consortium.studies.enrol(99, word("spec"), {"from": consortium.members[0]})
    with refused("StudyRegistryUnknownStudy", 99):
        consortium.studies.enrolmentClosed(99)
    with refused("StudyRegistryUnknownStudy", 99):
        consortium.studies.isInvited(99, consortium.members[0])


def test_R3_nothing_but_opening_and_enrolling_changes_a_study(consortium):
    changing = {entry["name"] for entry in consortium.studies.abi if entry["type"] == "function" and entry["stateMutability"] != "view"}
    assert changing == {"open", "enrol"}
