"""StudyRegistry: studies and who is enrolled in them (S1, S2)."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.chain.client import ChainClient
from defedbio.chain.events import ParticipantEnrolled, ParticipantsInvited, StudyOpened, fetch_events, one_event
from defedbio.chain.records import Call, Receipt, Transaction
from defedbio.chain.values import Study, StudyRules
from defedbio.errors import ContractRefused, NotFound

_UNKNOWN = "StudyRegistryUnknownStudy"
_NO_HASH = bytes(32)


class StudyRegistry:
    def __init__(self, client: ChainClient) -> None:
        self._client = client

    @staticmethod
    def open(key: str, key_epoch: int, spec_hash: bytes, spec_cid: str, rules: StudyRules, invited: Sequence[str] = ()) -> Transaction:
        """Open a study under an active key epoch. Only the `invited` may enrol; any member where none are named."""
        return Transaction(key, _call("open", key_epoch, spec_hash, spec_cid, rules, tuple(invited)), "open-study")

    def opened_in(self, receipt: Receipt) -> int:
        """The id of the study that a transaction opened."""
        return one_event(self._client.network, receipt, StudyOpened).study

    @staticmethod
    def enrol(key: str, study: int, spec_hash: bytes) -> Transaction:
        return Transaction(key, _call("enrol", study, spec_hash), "enrol")

    def study_count(self) -> int:
        return int(self._client.call(_call("studyCount")))

    def study_of(self, study: int) -> Study:
        """Raises NotFound for a study that was never opened."""
        try:
            found = self._client.call(_call("studyOf", study))
        except ContractRefused as refusal:
            raise _not_found(study, refusal) from None
        if found["spec_hash"] == _NO_HASH:
            raise NotFound(f"there is no study {study}")
        return Study(study=study, **found)

    def participant_index(self, study: int, participant: str) -> int:
        """Place in the order of enrolment counted from 1, 0 if not enrolled."""
        return int(self._client.call(_call("participantIndex", study, participant)))

    def invited_to(self, study: int) -> tuple[str, ...]:
        """Who may enrol, in the coordinator's order; empty where any member may."""
        first, last = self._client.network.deploy_block, self._client.head().number
        for event in fetch_events(self._client, first, last, kinds=[ParticipantsInvited], study=study):
            if isinstance(event, ParticipantsInvited):
                return event.invited
        return ()

    def participants(self, study: int) -> tuple[str, ...]:
        """Who is enrolled, in this order."""
        first, last = self._client.network.deploy_block, self._client.head().number
        found = fetch_events(self._client, first, last, kinds=[ParticipantEnrolled], study=study)
        return tuple(event.participant for event in found if isinstance(event, ParticipantEnrolled))

    def opening_of(self, study: int) -> StudyOpened:
        """The event that opened a study; it names the spec's CID.

        Raises:
            NotFound: if it was never opened.
        """
        first, last = self._client.network.deploy_block, self._client.head().number
        for event in fetch_events(self._client, first, last, kinds=[StudyOpened], study=study):
            if isinstance(event, StudyOpened):
                return event
        raise NotFound(f"there is no study {study}")


def _call(function: str, *args: object) -> Call:
    return Call("StudyRegistry", function, args)


def _not_found(study: int, refusal: ContractRefused) -> NotFound | ContractRefused:
    return NotFound(f"there is no study {study}") if refusal.name == _UNKNOWN else refusal
