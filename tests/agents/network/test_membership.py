"""What the registry's events make of it, held against the contract's own rules; and whom a name means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.chain import events as ev
from defedbio.errors import InvalidInput, NotFound
from defedbio.network.membership import Ballot, Membership, fold

META = ev.EventMeta(1, bytes(32), bytes(32), 0, "0x")
PEOPLE = [f"0x{i:040d}" for i in range(1, 7)]
FOUNDERS = PEOPLE[:3]
STEPS = st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.booleans()), max_size=60)


class Contract:
    """ParticipantRegistry.sol in its own terms: counters under a ballot's name, which has the number of removals in it."""

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.removals = 0
        self.voted: dict[tuple[str, bool, int], set[str]] = defaultdict(set)
        self.events: list[ev.Event] = []
        for founder in FOUNDERS:
            self._admit(founder)

    def vote(self, voter: str, subject: str, admit: bool) -> None:
        voted = self.voted[subject, admit, self.removals]
        refused = voter not in self.members or (subject in self.members) == admit or (not admit and len(self.members) == 1)
        if refused or voter in voted:
            return
        voted.add(voter)
        needed = len(self.members) // 2 + 1
        self.events.append(ev.VoteCast(subject, voter, admit, len(voted), needed, meta=META))
        if len(voted) < needed:
            return
        if admit:
            self._admit(subject)
        else:
            self.members.remove(subject)
            self.removals += 1
            self.events.append(ev.MemberRemoved(subject, len(self.members), meta=META))

    def _admit(self, account: str) -> None:
        self.members.add(account)
        self.events.append(ev.MemberAdmitted(account, len(self.members), meta=META))


@given(STEPS)
def test_members_and_open_votes_are_the_contracts(steps: list[tuple[str, str, bool]]) -> None:
    contract = Contract()
    for step in steps:
        contract.vote(*step)
    state = fold(contract.events)
    assert set(state.members) == contract.members and state.removals == contract.removals
    open_ = {
        (subject, admit): voted
        for (subject, admit, removals), voted in contract.voted.items()
        if removals == contract.removals and voted and (subject in contract.members) != admit
    }
    assert {(ballot.subject, ballot.admit): set(ballot.voters) for ballot in state.open} == open_
    assert all(len(ballot.voters) < state.needed for ballot in state.open), "what has enough votes is decided"
    assert all(len(set(ballot.voters)) == len(ballot.voters) and set(ballot.voters) <= contract.members for ballot in state.open)
    assert contract.members - set(FOUNDERS) <= set(state.carried), "all but founders were voted in"
    assert all((subject in contract.members) == ballot.admit for subject, ballot in state.carried.items())


def test_who_decided_what_is_remembered_until_it_is_decided_anew() -> None:
    contract, (a, b, c, d, *_) = Contract(), PEOPLE
    for voter in (a, b):
        contract.vote(voter, d, True)
    assert fold(contract.events).carried == {d: Ballot(d, True, (a, b))}
    for voter in (d, c, a):
        contract.vote(voter, d, False)
    assert fold(contract.events).carried == {d: Ballot(d, False, (d, c, a))}


def registered(*names: str) -> Membership:
    """Accounts of these names, of which the first is a member."""
    events = [ev.ParticipantRegistered(address, name, "", bytes(32), "", meta=META) for address, name in zip(PEOPLE, names, strict=False)]
    return fold([*events, ev.MemberAdmitted(PEOPLE[0], 1, meta=META)])


def test_a_name_is_found_as_people_write_it() -> None:
    state = registered("Alpha Bio", "Beta")
    assert state.find("alpha  BIO", ()) == PEOPLE[0]
    assert state.find(PEOPLE[5].upper().replace("X", "x"), ()) == PEOPLE[5], "an address needs no profile to be one"


def test_only_the_newest_name_counts() -> None:
    state = fold([*(ev.ParticipantRegistered(PEOPLE[0], name, "", bytes(32), "", meta=META) for name in ("Old", "New"))])
    assert state.find("New", ()) == PEOPLE[0]
    with pytest.raises(NotFound, match="'Old'"):
        state.find("Old", ())


@pytest.mark.parametrize("name", ["Beta", "ＢＥＴＡ", " beta "])
def test_a_name_of_several_means_none_of_them(name: str) -> None:
    state = registered("Alpha", "Beta", name)
    with pytest.raises(InvalidInput, match=f"2 accounts call themselves 'Beta': {PEOPLE[1]}, {PEOPLE[2]}"):
        state.find("Beta", among=state.members)


def test_whom_an_outsider_imitates_is_meant_where_only_members_can_be() -> None:
    state = registered("Alpha", "alpha")
    assert state.find("Alpha", among=state.members) == PEOPLE[0]
    with pytest.raises(InvalidInput, match="2 accounts"):
        state.find("Alpha", among=())


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"'Alhpa Bio' .*did you mean 'Alpha Bio'\?"):
        registered("Alpha Bio", "Beta").find("Alhpa Bio", ())
    for nothing in ("zzz", "", "  "):
        with pytest.raises(NotFound) as none:
            registered("Alpha Bio", "").find(nothing, ())
        assert "did you mean" not in none.value.hint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0x12", "is not an address"),
        ("0x" + "g" * 40, "is not an address"),
        (PEOPLE[0] + "0", "is not an address"),
        ("0xAbcdEf0000000000000000000000000000000001", "capitals"),
    ],
)
def test_what_begins_as_an_address_is_one_or_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        registered(text).find(text, ())


@pytest.mark.parametrize("write", [str, str.lower, lambda text: "0x" + text[2:].upper()])
def test_an_address_is_taken_with_its_capitals_or_without_any(write: Callable[[str], str]) -> None:
    address = "0xaBCdEf0000000000000000000000000000000001"
    assert registered().find(write(address), ()) == address
