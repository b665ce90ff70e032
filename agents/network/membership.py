"""Who is a member and which votes are open (R1), from the registry's events alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from defedbio.chain.events import Event, MemberAdmitted, MemberRemoved, ParticipantRegistered, VoteCast
from defedbio.chain.sender import checksum
from defedbio.errors import InvalidInput, NotFound

KINDS = (ParticipantRegistered, VoteCast, MemberAdmitted, MemberRemoved)
SEE_LIST = "see `defedbio member list`"


@dataclass(frozen=True)
class Ballot:
    """A vote on one subject: to admit it, or to remove it. `voters` are who voted so, in their order."""

    subject: str
    admit: bool
    voters: tuple[str, ...]


@dataclass(frozen=True)
class Membership:
    """`members` in the order of their admission. `names` has every account that ever registered, with what it calls itself now, in the
    order of the first registrations. `removals` counts those so far: each ended every ballot that was open. `carried` has, of each subject,
    the ballot by which it is or is not a member now; founders were never voted on."""

    members: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    open: tuple[Ballot, ...] = ()
    carried: Mapping[str, Ballot] = field(default_factory=dict)
    removals: int = 0

    @property
    def needed(self) -> int:
        """Votes that carry a ballot now: more than half of the members'."""
        return len(self.members) // 2 + 1

    def ballot(self, subject: str, admit: bool) -> Ballot:
        """The open ballot, without voters where nobody has voted so yet."""
        return next((b for b in self.open if (b.subject, b.admit) == (subject, admit)), Ballot(subject, admit, ()))

    def named(self, name: str) -> list[str]:
        """The accounts that call themselves so now, or so that a reader takes it for the same; none for no name."""
        wanted = _alike(name)
        return [address for address, called in self.names.items() if wanted and _alike(called) == wanted]

    def find(self, who: str, among: Collection[str]) -> str:
        """The address of an organisation, which is given as that or by the name that it registered. A name means one of these accounts
        before any other; upper and lower case and how it is spaced do not matter.

        Raises:
            InvalidInput: for what is no address, or a name of several. NotFound: for a name that nobody has, with the nearest.
        """
        if who[:2].lower() == "0x":
            return _address(who)
        named = self.named(who)
        found = [address for address in named if address in among] or named
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidInput(
                f"{len(found)} accounts call themselves {who!r}: {', '.join(found)}", "anyone may: give the address you know"
            )
        known = {_alike(name): name for name in self.names.values() if name}
        nearest = get_close_matches(_alike(who), known, 1)
        hint = f"did you mean {known[nearest[0]]!r}? " if nearest else ""
        raise NotFound(f"no account calls itself {who!r}", f"{hint}{SEE_LIST}")


def fold(events: Iterable[Event]) -> Membership:
    """What the registry's events, in chain order, make of it. Of other events nothing is taken."""
    members: dict[str, None] = {}
    names: dict[str, str] = {}
    ballots: dict[tuple[str, bool], list[str]] = {}
    carried: dict[str, Ballot] = {}
    removals = 0

    def end(subject: str, admit: bool) -> None:
        voters = ballots.pop((subject, admit), None)
        if voters is not None:
            carried[subject] = Ballot(subject, admit, tuple(voters))

    for event in events:
        match event:
            case ParticipantRegistered():
                names[event.participant] = event.name
            case VoteCast():
                ballots.setdefault((event.subject, event.admit), []).append(event.voter)
            case MemberAdmitted():
                members[event.member] = None
                end(event.member, True)
            case MemberRemoved():
                members.pop(event.member, None)
                end(event.member, False)
                ballots.clear()
                removals += 1
    opened = tuple(Ballot(subject, admit, tuple(voters)) for (subject, admit), voters in ballots.items())
    return Membership(tuple(members), names, opened, carried, removals)


def _address(text: str) -> str:
    """Capitals, where somebody kept them, are a checksum (EIP-55), which most slips of a hand do not keep."""
    address, digits = checksum(text), text[2:]
    if digits not in (address[2:], digits.lower(), digits.upper()):
        raise InvalidInput(f"the capitals of {text!r} are not an address's", "was it mistyped? copy it anew, or write it small")
    return address


def _alike(name: str) -> str:
    """The same for names that a reader takes for the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
