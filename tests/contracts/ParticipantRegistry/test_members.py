"""R1: founders, profiles, and admission and removal by a majority of votes."""

from __future__ import annotations

import pytest
from brownie import ZERO_ADDRESS, ParticipantRegistry

from tests.contracts.consortium import CID, people, word

ADDRESS = "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWExample"


def profile(**changes):
    values = {"name": "Organisation", "metadataCid": CID, "transportKey": word("transport"), "multiaddr": ADDRESS} | changes
    return tuple(values.values())


@pytest.fixture
def registry(consortium):
    return consortium.participants


@pytest.fixture
def candidate(registry):
    account = people(6)[5]
    registry.register(profile(), {"from": account})
    return account


def test_R1_founders_are_members_at_once(consortium, registry):
    assert registry.memberCount() == 5
    assert all(registry.isMember(account) for account in consortium.members)
    assert not registry.isMember(people(6)[5])


def test_R1_there_must_be_a_founder(refused, accounts):
    with refused("ParticipantRegistryNoFounders"):
        accounts[0].deploy(ParticipantRegistry, [])


@pytest.mark.parametrize("second", [0, 1])
def test_R1_founders_are_distinct_and_not_the_zero_address(second, refused, accounts):
    bad = [accounts[0], ZERO_ADDRESS][second]
    with refused("ParticipantRegistryInvalidFounder", bad):
        accounts[0].deploy(ParticipantRegistry, [accounts[0], bad])


def test_R1_the_registry_is_the_address_book(registry, candidate):
    event = registry.register(profile(name="New name"), {"from": candidate}).events["ParticipantRegistered"]
    assert (event["participant"], event["name"], event["multiaddr"]) == (candidate.address, "New name", ADDRESS)
    assert registry.profileOf(candidate)["name"] == "New name"
    assert registry.profileOf(candidate)["multiaddr"] == ADDRESS
    assert registry.profileOf(candidate)["metadataCid"] == CID


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", "n" * 65), ("metadataCid", "c" * 129), ("transportKey", bytes(32)), ("multiaddr", "m" * 257)],
)
def test_R1_a_bad_profile_is_refused_by_field(registry, refused, field, value, accounts):
    with refused("ParticipantRegistryInvalidProfile", field):
        registry.register(profile(**{field: value}), {"from": accounts[6]})


def test_R1_the_longest_profile_is_taken(registry, accounts):
    registry.register(profile(name="n" * 64, metadataCid="c" * 128, multiaddr="m" * 256), {"from": accounts[6]})
    assert registry.profileOf(accounts[6])["multiaddr"] == "m" * 256


def test_R1_more_than_half_of_the_members_admit(consortium, registry, candidate):
    for voter in consortium.members[:2]:
        registry.voteToAdmit(candidate, {"from": voter})
    assert not registry.isMember(candidate)
    tx = registry.voteToAdmit(candidate, {"from": consortium.members[2]})
    assert (tx.events["VoteCast"]["votes"], tx.events["VoteCast"]["needed"]) == (3, 3)
    assert tx.events["MemberAdmitted"]["members"] == 6
    assert registry.isMember(candidate)


def test_R1_half_of_an_even_number_is_not_a_majority(consortium, registry, candidate):
    for voter in consortium.members[:3]:
        registry.voteToAdmit(candidate, {"from": voter})
    victim = consortium.members[4]
    for voter in consortium.members[:3]:
        registry.voteToRemove(victim, {"from": voter})
    assert registry.isMember(victim)
    registry.voteToRemove(victim, {"from": candidate})
    assert not registry.isMember(victim)


def test_R1_who_may_vote_and_on_whom(consortium, registry, candidate, refused, accounts):
    first, second = consortium.members[:2]
    with refused("ParticipantRegistryNotMember", candidate):
        registry.voteToAdmit(candidate, {"from": candidate})
    with refused("ParticipantRegistryNotMember", candidate):
        registry.voteToRemove(first, {"from": candidate})
    with refused("ParticipantRegistryNotRegistered", accounts[7]):
        registry.voteToAdmit(accounts[7], {"from": first})
    with refused("ParticipantRegistryAlreadyMember", second):
        registry.voteToAdmit(second, {"from": first})
    with refused("ParticipantRegistryNotMember", candidate):
        registry.voteToRemove(candidate, {"from": first})


def test_R1_one_member_one_vote(consortium, registry, candidate, refused):
    voter = consortium.members[0]
    registry.voteToAdmit(candidate, {"from": voter})
    with refused("ParticipantRegistryAlreadyVoted", candidate, voter):
        registry.voteToAdmit(candidate, {"from": voter})


def test_R1_votes_before_a_removal_no_longer_count(consortium, registry, candidate):
    first, second, third, fourth, removed = consortium.members
    for voter in (removed, first):
        registry.voteToAdmit(candidate, {"from": voter})
    for voter in (first, second, third):
        tx = registry.voteToRemove(removed, {"from": voter})
    assert tx.events["MemberRemoved"]["members"] == 4
    tx = registry.voteToAdmit(candidate, {"from": second})
    assert (tx.events["VoteCast"]["votes"], tx.events["VoteCast"]["needed"]) == (1, 3)
    for voter in (first, fourth):
        registry.voteToAdmit(candidate, {"from": voter})
    assert registry.isMember(candidate)


def test_R1_a_removed_member_can_be_voted_on_again(consortium, registry, refused):
    voters, subject = consortium.members[:3], consortium.members[4]
    for voter in voters:
        registry.voteToRemove(subject, {"from": voter})
    with refused("ParticipantRegistryNotMember", subject):
        registry.voteToAdmit(subject, {"from": subject})
    registry.register(profile(), {"from": subject})
    for voter in voters:
        registry.voteToAdmit(subject, {"from": voter})
    assert registry.isMember(subject)
    registry.voteToRemove(subject, {"from": voters[0]})
    assert registry.isMember(subject)


def test_R1_the_last_member_stays(accounts, refused):
    registry = accounts[0].deploy(ParticipantRegistry, [accounts[0]])
    with refused("ParticipantRegistryLastMember", accounts[0]):
        registry.voteToRemove(accounts[0], {"from": accounts[0]})
