"""The consortium: who is a member, which votes are open, and this organisation's own votes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from defedbio.ceremony import ending
from defedbio.chain.events import KeyEpochProposed, ParticipantEnrolled, fetch_events
from defedbio.chain.values import KeyEpoch
from defedbio.client.session import Session
from defedbio.client.values import Value
from defedbio.domain import KeyEpochStatus
from defedbio.errors import InvalidInput
from defedbio.network.consent import Party
from defedbio.network.membership import KINDS, SEE_LIST, Ballot, Membership, fold
from defedbio.protocol.reading import Reader

__all__ = ["Candidate", "Consortium", "Member", "Members", "OwnVote", "Party", "Removal", "Share", "Voting"]

Confirm = Callable[["OwnVote"], bool]


@dataclass(frozen=True)
class Share(Value):
    """A seat of a member in a key epoch, whose share it has not said to have erased. Of the `holders`' shares `threshold` open a sum, and
    `left_without` are left at members if this one is removed. Before `confirmed` by all, the key is for nothing."""

    epoch: int
    status: str
    confirmed: bool
    threshold: int
    holders: int
    left_without: int

    @property
    def needed(self) -> bool:
        """Whether, without this member, nothing can be opened that a study may still need opened."""
        return self.status == "active" and self.left_without < self.threshold


@dataclass(frozen=True)
class Member(Value):
    """`own` is this organisation. `shares` are those it holds of keys that were not rejected."""

    address: str
    name: str
    own: bool
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Candidate(Value):
    """An account that published a profile and is no member; `former` was one."""

    address: str
    name: str
    former: bool


@dataclass(frozen=True)
class Voting(Value):
    """A vote to admit the subject, or else to remove it. `voters` have voted so, in their order, and the members that `wait` have not;
    `needed` votes carry it. `carried` says that it is decided: nobody has to vote any more."""

    subject: Party
    admit: bool
    voters: tuple[Party, ...]
    wait: tuple[Party, ...]
    needed: int
    carried: bool = False

    @property
    def missing(self) -> int:
        """Votes that it still needs."""
        return 0 if self.carried else max(self.needed - len(self.voters), 0)


@dataclass(frozen=True)
class Consortium(Value):
    """`needed` members' votes admit one or remove one. Names are what accounts call themselves."""

    members: tuple[Member, ...]
    votes: tuple[Voting, ...]
    candidates: tuple[Candidate, ...]
    needed: int


@dataclass(frozen=True)
class Removal(Value):
    """What a removal leaves: so many `members`, and so many open `votes` that it ends. What it leaves to who is removed: its `shares`, and
    its seats in the studies of `seats`, which are not complete. Studies of `stranded` are not complete, and without it fewer members hold
    shares of their key than open a sum."""

    members: int
    votes: int
    shares: tuple[Share, ...]
    seats: tuple[int, ...]
    stranded: tuple[int, ...]


@dataclass(frozen=True)
class OwnVote(Value):
    """This organisation's vote: `voting` is as the chain has it, `removal` what follows from one that is not cast yet. `namesakes` are
    other accounts that call themselves as its subject does. `done` says that the own vote stands, cast now or before; `gas` is 0 unless it
    was cast now."""

    voting: Voting
    removal: Removal | None
    namesakes: tuple[str, ...]
    done: bool
    gas: int = 0

    @property
    def carries(self) -> bool:
        """Whether the own vote, which is not cast yet, would decide it."""
        return not self.done and self.voting.missing == 1


class Members:
    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self) -> Consortium:
        """Members with the key shares they hold, votes that are open, and who may be voted in. Needs no account.

        Example:
            [vote.subject.name for vote in client.member.list().votes if vote.admit]
        """
        connection = self._session.reader()
        state, epochs = _membership(connection), _epochs(connection)
        own = self._session.own_address() if self._session.home.account.exists() else ""
        return Consortium(
            members=tuple(Member(a, state.names.get(a, ""), a == own, shares_of(a, epochs, state.members)) for a in state.members),
            votes=tuple(_voting(state, ballot) for ballot in state.open),
            candidates=tuple(Candidate(a, name, a in state.carried) for a, name in state.names.items() if a not in state.members),
            needed=state.needed,
        )

    def admit(self, who: str, *, accept: bool = False, confirm: Confirm | None = None) -> OwnVote:
        """Vote to admit an account that has registered (R1). A vote is cast once: again, it stands, and nothing is sent.

        Args:
            who: its address, or the name that it registered if no other account has it. Anyone may register under any name.
            accept: do it; without, and without `confirm`, nothing happens, and the result says what would.
            confirm: else decides; gets what the vote means.

        Raises:
            NotFound: for an unknown name. InvalidInput: for a name of several accounts, or an account that has not registered or is a
                member already; or if this organisation is none.

        Example:
            client.member.admit("0x90F79bf6EB2c4f870365E785982E1f101E93b906", accept=True).voting.missing
        """
        asked = self._asked(who, admit=True)
        return asked if asked.done or not _agreed(asked, accept, confirm) else self._cast(asked)

    def remove(self, who: str, *, accept: bool = False, confirm: Confirm | None = None, even_if_needed: bool = False) -> OwnVote:
        """Vote to remove a member (R1). It keeps its key shares, and its seats in studies; what that means is in the result. A vote is cast
        once, until any member is removed, which ends all votes: again, it stands, and nothing is sent.

        Args:
            who, accept, confirm: as in `admit`.
            even_if_needed: also where fewer members than the threshold would hold shares of a key whose studies are not complete.

        Raises:
            NotFound: for an unknown name. InvalidInput: for a name of several members, who is no member, the only member, or a holder that
                is needed; or if this organisation is no member.

        Example:
            client.member.remove("Example Bio").removal  # what it means; then: client.member.remove("Example Bio", accept=True)
        """
        asked = self._asked(who, admit=False)
        if asked.done or not _agreed(asked, accept, confirm):
            return asked
        if asked.removal is not None and asked.removal.stranded and not even_if_needed:
            stranded = ", ".join(map(str, asked.removal.stranded))
            raise InvalidInput(
                f"without {asked.voting.subject.address} fewer members than needed hold shares of the key of study {stranded}",
                "let it end, and hold a ceremony among the others for the next; or pass --even-if-needed",
            )
        return self._cast(asked)

    def _asked(self, who: str, admit: bool) -> OwnVote:
        """What the own vote would be, or is if it stands."""
        own, connection = self._session.own_address(), self._session.reader()
        state = _membership(connection)
        subject = state.find(who, among=() if admit else state.members)
        if stands := _standing(state, subject, own, admit):
            return OwnVote(stands, None, (), done=True)
        _check(state, subject, own, admit)
        namesakes = tuple(address for address in state.named(state.names.get(subject, "")) if address != subject)
        removal = None if admit else _removal(connection, state, subject)
        return OwnVote(_voting(state, state.ballot(subject, admit)), removal, namesakes, done=False)

    def _cast(self, asked: OwnVote) -> OwnVote:
        subject, admit = asked.voting.subject.address, asked.voting.admit
        with self._session.signing() as connection:
            own, registry = connection.client.address, connection.client.network.contracts["ParticipantRegistry"]
            before = _membership(connection)
            if asked.removal is not None and asked.removal != _removal(connection, before, subject):
                raise InvalidInput("what the removal means has changed while it was looked at", "look again")
            # A removal ends all ballots, so that the same vote may be cast anew: another effect, with another name.
            key = f"vote/{registry}/{before.removals}/{'admit' if admit else 'remove'}/{subject}/{own}"
            binding = connection.registry
            receipt = connection.send(binding.vote_to_admit(key, subject) if admit else binding.vote_to_remove(key, subject))
            state = _membership(connection)
        stands = _standing(state, subject, own, admit)
        voting = stands or _voting(state, state.ballot(subject, admit))  # it does not stand if a removal came in between
        return replace(asked, voting=voting, done=stands is not None, gas=receipt.gas_used)


def shares_of(account: str, epochs: Iterable[KeyEpoch], members: Iterable[str]) -> tuple[Share, ...]:
    """The shares that an account holds of keys that were not rejected, and what is left of these at the other members."""
    others = set(members) - {account}
    return tuple(
        Share(
            epoch=epoch.epoch,
            status=epoch.status.name.lower(),
            confirmed=epoch.holders.index(account) in epoch.confirmations,
            threshold=epoch.threshold,
            holders=len(epoch.holders),
            left_without=len(others & set(epoch.left)),
        )
        for epoch in epochs
        if account in epoch.left and epoch.status != KeyEpochStatus.REJECTED
    )


def _check(state: Membership, subject: str, own: str, admit: bool) -> None:
    """Raises InvalidInput where the contract would refuse the vote."""
    if own not in state.members:
        raise InvalidInput(
            f"this organisation, {own}, is not a member, and only members vote",
            f"after `defedbio register`, members vote on it with `defedbio member admit {own}`",
        )
    if admit and subject in state.members:
        raise InvalidInput(f"{subject} is a member already", SEE_LIST)
    if admit and subject not in state.names:
        raise InvalidInput(f"{subject} has published no profile", "it runs `defedbio register` first")
    if not admit and subject not in state.members:
        raise InvalidInput(f"{subject} is not a member", SEE_LIST)
    if not admit and len(state.members) == 1:
        raise InvalidInput("the only member cannot be removed", "admit another first")


def _agreed(asked: OwnVote, accept: bool, confirm: Confirm | None) -> bool:
    return accept or (confirm is not None and confirm(asked))


def _membership(connection: Reader) -> Membership:
    client = connection.client
    return fold(fetch_events(client, client.network.deploy_block, client.head().number, kinds=KINDS))


def _epochs(connection: Reader) -> list[KeyEpoch]:
    client = connection.client
    proposed = fetch_events(client, client.network.deploy_block, client.head().number, kinds=[KeyEpochProposed])
    return [connection.keys.epoch_of(event.epoch) for event in proposed if isinstance(event, KeyEpochProposed)]


def _removal(connection: Reader, state: Membership, subject: str) -> Removal:
    client = connection.client
    shares = shares_of(subject, _epochs(connection), state.members)
    enrolled = fetch_events(client, client.network.deploy_block, client.head().number, kinds=[ParticipantEnrolled])
    seats = [event.study for event in enrolled if isinstance(event, ParticipantEnrolled) and event.participant == subject]
    under = [study for share in shares if share.needed for study in ending.opened_under(connection, share.epoch)]
    running = {study for study in {*seats, *under} if not connection.study_view(study).complete}
    return Removal(
        members=len(state.members) - 1,
        votes=sum(ballot.subject != subject or ballot.admit for ballot in state.open),
        shares=shares,
        seats=tuple(study for study in seats if study in running),
        stranded=tuple(study for study in under if study in running),
    )


def _standing(state: Membership, subject: str, own: str, admit: bool) -> Voting | None:
    """The voting in which the own vote stands: the one that decided last what the subject is, or an open one."""
    decided = state.carried.get(subject)
    if decided is not None and decided.admit == admit and own in decided.voters:
        return _voting(state, decided, carried=True)
    ballot = state.ballot(subject, admit)
    return _voting(state, ballot) if own in ballot.voters else None


def _voting(state: Membership, ballot: Ballot, carried: bool = False) -> Voting:
    def party(address: str) -> Party:
        return Party(address, state.names.get(address, ""))

    voters = tuple(map(party, ballot.voters))
    if carried:  # the last of these votes was the one that was needed
        return Voting(party(ballot.subject), ballot.admit, voters, (), len(voters), carried)
    wait = tuple(party(member) for member in state.members if member not in ballot.voters)
    return Voting(party(ballot.subject), ballot.admit, voters, wait, state.needed)
