"""ParticipantRegistry: who is a member, and the address book (R1)."""

from __future__ import annotations

from defedbio.chain.client import ChainClient
from defedbio.chain.events import MemberAdmitted, MemberRemoved, fetch_events
from defedbio.chain.records import Call, Transaction
from defedbio.chain.values import Profile
from defedbio.errors import NotFound

_NO_KEY = bytes(32)


class ParticipantRegistry:
    def __init__(self, client: ChainClient) -> None:
        self._client = client

    @staticmethod
    def register(key: str, profile: Profile) -> Transaction:
        """Publish or replace the account's profile."""
        return Transaction(key, _call("register", profile), "register")

    @staticmethod
    def vote_to_admit(key: str, candidate: str) -> Transaction:
        """Vote, as a member, for a registered account. The vote that makes them more than half admits it."""
        return Transaction(key, _call("voteToAdmit", candidate), "vote")

    @staticmethod
    def vote_to_remove(key: str, member: str) -> Transaction:
        """Vote, as a member, against one. The vote that makes them more than half removes it, and ends every open ballot."""
        return Transaction(key, _call("voteToRemove", member), "vote")

    def is_member(self, account: str) -> bool:
        return bool(self._client.call(_call("isMember", account)))

    def members(self) -> tuple[str, ...]:
        """Accounts that are members now, in the order of their admission."""
        first, last = self._client.network.deploy_block, self._client.head().number
        found: dict[str, None] = {}
        for event in fetch_events(self._client, first, last, kinds=(MemberAdmitted, MemberRemoved)):
            if isinstance(event, MemberAdmitted):
                found[event.member] = None
            elif isinstance(event, MemberRemoved):
                found.pop(event.member, None)
        return tuple(found)

    def profile_of(self, account: str) -> Profile:
        """The profile an account published.

        Raises:
            NotFound: if it published none.
        """
        found = self._client.call(_call("profileOf", account))
        if found["transport_key"] == _NO_KEY:
            raise NotFound(f"{account} has published no profile")
        return Profile(**found)


def _call(function: str, *args: object) -> Call:
    return Call("ParticipantRegistry", function, args)
