"""What a study's events say, folded: the study and its rounds, its key epoch, its members and who published which profile."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from defedbio.chain import events as ev
from defedbio.chain.values import KeyEpoch, Study
from defedbio.domain import MAX_PARTICIPANTS, NO_ONE, KeyEpochStatus, Phase
from defedbio.errors import BadEvidence, InvalidInput
from defedbio.protocol.view import StudyView, fold


@dataclass(frozen=True)
class Record:
    """`events` are in chain order. `members` says whether each person was a member at the end, `spent` each one's declared total
    epsilon in millionths."""

    events: tuple[ev.Event, ...]
    view: StudyView
    epoch: KeyEpoch
    proposal: ev.KeyEpochProposed
    members: dict[str, bool]
    profiles: dict[str, ev.ParticipantRegistered]
    spent: dict[str, int]

    @property
    def people(self) -> tuple[str, ...]:
        """Everyone with a part in the study: participants in order of enrolment, then other holders, coordinator and proposer."""
        return people_of(self.view, self.epoch)

    @property
    def study(self) -> Study:
        """The study as StudyRegistry keeps it."""
        view = self.view
        assert view.rules is not None
        return Study(view.id, view.coordinator, view.key_epoch, len(view.participants), len(view.invited), view.spec_hash, view.rules)

    def name_of(self, address: str) -> str:
        """The name that an address registered, which is what its owner says of itself; "" without one."""
        profile = self.profiles.get(address)
        return profile.name if profile is not None else ""


def record_of(study: int, events: Iterable[ev.Event]) -> Record:
    """Fold events in chain order.

    Raises:
        BadEvidence: if they do not hold the study's opening or its key epoch, or no run of the contracts can have emitted them.
    """
    ordered = tuple(sorted(events, key=lambda e: (e.meta.block, e.meta.log_index)))
    try:
        view = fold(StudyView(study), ordered)
    except InvalidInput as error:
        raise BadEvidence(f"no run of the contracts can have emitted these events: {error.message}") from None
    if view.rules is None:
        raise BadEvidence(f"no event opens study {study}")
    epoch, proposal = epoch_of(view.key_epoch, ordered)
    _check_possible(view)
    people = people_of(view, epoch)
    members = dict.fromkeys(people, False)
    profiles: dict[str, ev.ParticipantRegistered] = {}
    spent: dict[str, int] = {}
    for event in ordered:
        match event:
            case ev.MemberAdmitted() if event.member in members:
                members[event.member] = True
            case ev.MemberRemoved() if event.member in members:
                members[event.member] = False
            case ev.ParticipantRegistered() if event.participant in members:
                profiles[event.participant] = event
            case ev.PrivacyDeclared() if event.round in view.rounds:
                spent[event.participant] = event.epsilon_total
    return Record(ordered, view, epoch, proposal, members, profiles, spent)


def _check_possible(view: StudyView) -> None:
    """What the contracts hold to, and whoever reads a view relies on; events of a made-up chain need not."""
    assert view.rules is not None
    if len(view.participants) > MAX_PARTICIPANTS:
        raise BadEvidence(f"more than {MAX_PARTICIPANTS} organisations are enrolled")
    for round_ in view.rounds.values():
        parent = view.rounds.get(round_.parent)
        seated = all(0 <= p < len(view.participants) and view.participants[p] == r.participant for p, r in round_.reveals.items())
        possible = (
            round_.step < view.rules.steps
            and (round_.parent == 0 or (parent is not None and parent.id < round_.id and parent.phase == Phase.FINALISED))
            and seated
            and all(position in round_.reveals for position in round_.frozen.positions())
            and (round_.phase != Phase.FINALISED or any(a.model_hash == round_.model_hash for a in round_.attestations))
        )
        if not possible:
            raise BadEvidence(
                f"the events of round {round_.id} are none that the contracts can have emitted: some were left out or made up"
            )


def epoch_of(number: int, events: Sequence[ev.Event]) -> tuple[KeyEpoch, ev.KeyEpochProposed]:
    """A key epoch as its events tell it. Raises BadEvidence if none proposes it."""
    for event in events:
        if isinstance(event, ev.KeyEpochProposed) and event.epoch == number:
            proposal = event
            break
    else:
        raise BadEvidence(f"no event proposes key epoch {number}")
    epoch = KeyEpoch(
        number,
        proposal.proposer,
        proposal.threshold,
        proposal.kind,
        KeyEpochStatus.PROPOSED,
        proposal.modulus_bits,
        NO_ONE,
        NO_ONE,
        proposal.modulus_hash,
        proposal.transcript_hash,
        proposal.holders,
    )
    for event in events:
        match event:
            case ev.KeyShareConfirmed(epoch=found) if found == number and event.holder in epoch.holders:
                # Not the event's own map, which repeats those before: one left out would not be missed.
                epoch = replace(epoch, confirmations=epoch.confirmations.add(epoch.holders.index(event.holder)))
            case ev.KeyEpochActivated(epoch=found) if found == number:
                epoch = replace(epoch, status=KeyEpochStatus.ACTIVE)
            case ev.KeyEpochRejected(epoch=found) | ev.KeyEpochLapsed(epoch=found) if found == number:
                epoch = replace(epoch, status=KeyEpochStatus.REJECTED)
            case ev.KeyShareRetired(epoch=found) if found == number and event.holder in epoch.holders:
                epoch = replace(epoch, retired=epoch.retired.add(epoch.holders.index(event.holder)))
            case ev.KeyEpochRetired(epoch=found) if found == number:
                epoch = replace(epoch, status=KeyEpochStatus.RETIRED)
    return epoch, proposal


def people_of(view: StudyView, epoch: KeyEpoch) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*view.participants, *epoch.holders, view.coordinator, epoch.proposer)))


def about(event: ev.Event, people: Collection[str]) -> bool:
    """Whether a membership event belongs to a study's record: it is about one of its people."""
    subject = getattr(event, "participant", None) or getattr(event, "subject", None) or getattr(event, "member", None)
    return subject in people
