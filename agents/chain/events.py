"""The contracts' events as frozen values, and fetching them in chain order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from defedbio.chain.abi import decode_event, events_abi
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.chain.records import RawLog, Receipt
from defedbio.chain.values import StudyRules
from defedbio.domain import BitSet, CeremonyKind, Phase
from defedbio.errors import ChainUnreachable, InternalFault


@dataclass(frozen=True)
class EventMeta:
    """Where an event is: `contract` is the address that emitted it."""

    block: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int
    contract: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """Fields are the Solidity event's in snake case, in its order. `ACTED` names the field that holds whose transaction emitted it."""

    ACTED: ClassVar[str] = ""
    meta: EventMeta

    @property
    def actor(self) -> str:
        """The account that acted, by the event's own word; empty for what follows from an act and names nobody."""
        return str(getattr(self, self.ACTED)) if self.ACTED else ""


@dataclass(frozen=True)
class ParticipantRegistered(Event):
    ACTED = "participant"
    participant: str
    name: str
    metadata_cid: str
    transport_key: bytes
    multiaddr: str


@dataclass(frozen=True)
class VoteCast(Event):
    ACTED = "voter"
    subject: str
    voter: str
    admit: bool
    votes: int
    needed: int


@dataclass(frozen=True)
class MemberAdmitted(Event):
    member: str
    members: int


@dataclass(frozen=True)
class MemberRemoved(Event):
    member: str
    members: int


@dataclass(frozen=True)
class KeyEpochProposed(Event):
    ACTED = "proposer"
    epoch: int
    proposer: str
    holders: tuple[str, ...]
    threshold: int
    kind: CeremonyKind
    modulus_bits: int
    modulus_hash: bytes
    transcript_hash: bytes
    transcript_cid: str


@dataclass(frozen=True)
class KeyShareConfirmed(Event):
    ACTED = "holder"
    epoch: int
    holder: str
    confirmations: BitSet


@dataclass(frozen=True)
class KeyEpochActivated(Event):
    epoch: int


@dataclass(frozen=True)
class KeyEpochRejected(Event):
    ACTED = "holder"
    epoch: int
    holder: str
    reason: str


@dataclass(frozen=True)
class KeyEpochLapsed(Event):
    epoch: int


@dataclass(frozen=True)
class KeyShareRetired(Event):
    ACTED = "holder"
    epoch: int
    holder: str
    retired: BitSet


@dataclass(frozen=True)
class KeyEpochRetired(Event):
    epoch: int


@dataclass(frozen=True)
class CeremonyAnnounced(Event):
    ACTED = "announcer"
    ceremony: int
    announcer: str
    holders: tuple[str, ...]
    threshold: int
    bits: int
    step_seconds: int


@dataclass(frozen=True)
class CeremonyStepEntered(Event):
    ceremony: int
    step: int
    head: bytes
    deadline: int


@dataclass(frozen=True)
class CeremonyPosted(Event):
    ACTED = "holder"
    ceremony: int
    holder: str
    step: int
    hash: bytes
    cid: str


@dataclass(frozen=True)
class CeremonyConcluded(Event):
    ceremony: int
    epoch: int
    deadline: int


@dataclass(frozen=True)
class CeremonyExpired(Event):
    ceremony: int
    step: int
    missing: BitSet


@dataclass(frozen=True)
class CeremonyComplained(Event):
    ACTED = "holder"
    ceremony: int
    holder: str
    reason: str


@dataclass(frozen=True)
class CeremonyFailed(Event):
    ceremony: int
    deadline: int


@dataclass(frozen=True)
class CeremonySeedPublished(Event):
    ACTED = "contributor"
    ceremony: int
    contributor: str
    seed: bytes


@dataclass(frozen=True)
class CeremonySucceeded(Event):
    ceremony: int
    epoch: int


@dataclass(frozen=True)
class StudyOpened(Event):
    ACTED = "coordinator"
    study: int
    coordinator: str
    key_epoch: int
    spec_hash: bytes
    spec_cid: str
    rules: StudyRules


@dataclass(frozen=True)
class ParticipantsInvited(Event):
    study: int
    invited: tuple[str, ...]


@dataclass(frozen=True)
class ParticipantEnrolled(Event):
    ACTED = "participant"
    study: int
    participant: str
    index: int
    spec_hash: bytes


@dataclass(frozen=True)
class RoundOpened(Event):
    ACTED = "opener"
    round: int
    study: int
    step: int
    parent: int
    opener: str


@dataclass(frozen=True)
class AbsenteesPassedOver(Event):
    round: int
    absent: BitSet


@dataclass(frozen=True)
class ParticipantReturned(Event):
    ACTED = "participant"
    round: int
    participant: str
    index: int


@dataclass(frozen=True)
class PhaseEntered(Event):
    round: int
    phase: Phase
    deadline: int


@dataclass(frozen=True)
class UpdateCommitted(Event):
    ACTED = "participant"
    round: int
    participant: str
    index: int
    commitment: bytes


@dataclass(frozen=True)
class PrivacyDeclared(Event):
    """Epsilons in millionths, delta in 1e-18."""

    ACTED = "participant"
    round: int
    participant: str
    index: int
    epsilon_round: int
    epsilon_total: int
    delta: int


@dataclass(frozen=True)
class UpdateRevealed(Event):
    ACTED = "participant"
    round: int
    participant: str
    index: int
    update_root: bytes
    cid: str
    proof_hash: bytes
    salt: bytes


@dataclass(frozen=True)
class SetAttested(Event):
    ACTED = "holder"
    round: int
    holder: str
    set: BitSet
    refused: BitSet
    reasons: str


@dataclass(frozen=True)
class SetFrozen(Event):
    round: int
    set: BitSet
    set_hash: bytes


@dataclass(frozen=True)
class AggregatePosted(Event):
    ACTED = "aggregator"
    round: int
    aggregator: str
    aggregate_root: bytes
    cid: str


@dataclass(frozen=True)
class ProductShownWrong(Event):
    ACTED = "prover"
    round: int
    prover: str
    aggregate_root: bytes
    posters: BitSet
    ciphertext: int
    position: int


@dataclass(frozen=True)
class ShareReleased(Event):
    ACTED = "holder"
    round: int
    holder: str
    holder_index: int
    aggregate_root: bytes
    share_root: bytes
    cid: str
    proof_hash: bytes


@dataclass(frozen=True)
class ShareDisputed(Event):
    ACTED = "accuser"
    round: int
    accuser: str
    holder: str
    reason: str


@dataclass(frozen=True)
class OpeningPartPosted(Event):
    ACTED = "poster"
    round: int
    poster: str
    part_root: bytes
    cid: str


@dataclass(frozen=True)
class OpeningPosted(Event):
    ACTED = "poster"
    round: int
    poster: str
    opening_root: bytes
    cid: str


@dataclass(frozen=True)
class ModelAttested(Event):
    ACTED = "holder"
    round: int
    holder: str
    opening_root: bytes
    model_hash: bytes
    cid: str


@dataclass(frozen=True)
class RoundFinalised(Event):
    round: int
    study: int
    step: int
    opening_root: bytes
    model_hash: bytes
    cid: str
    parent: int


@dataclass(frozen=True)
class RoundVoided(Event):
    round: int
    study: int
    phase: Phase


EVENTS: tuple[type[Event], ...] = (
    ParticipantRegistered,
    VoteCast,
    MemberAdmitted,
    MemberRemoved,
    KeyEpochProposed,
    KeyShareConfirmed,
    KeyEpochActivated,
    KeyEpochRejected,
    KeyEpochLapsed,
    KeyShareRetired,
    KeyEpochRetired,
    CeremonyAnnounced,
    CeremonyStepEntered,
    CeremonyPosted,
    CeremonyConcluded,
    CeremonyExpired,
    CeremonyComplained,
    CeremonyFailed,
    CeremonySeedPublished,
    CeremonySucceeded,
    StudyOpened,
    ParticipantsInvited,
    ParticipantEnrolled,
    RoundOpened,
    AbsenteesPassedOver,
    ParticipantReturned,
    PhaseEntered,
    UpdateCommitted,
    PrivacyDeclared,
    UpdateRevealed,
    SetAttested,
    SetFrozen,
    AggregatePosted,
    ProductShownWrong,
    ShareReleased,
    ShareDisputed,
    OpeningPartPosted,
    OpeningPosted,
    ModelAttested,
    RoundFinalised,
    RoundVoided,
)
_BY_NAME = {kind.__name__: kind for kind in EVENTS}
_E = TypeVar("_E", bound=Event)


def decode_log(network: Network, log: RawLog) -> Event | None:
    """The event a log holds; None if another contract emitted it or it is no event of our interface."""
    contract = network.contracts.name_of(log.address)
    if contract is None or not log.topics:
        return None
    entry = events_abi().get((contract, log.topics[0]))
    kind = None if entry is None else _BY_NAME.get(entry["name"])
    if entry is None or kind is None:
        return None
    meta = EventMeta(log.block, log.block_hash, log.tx_hash, log.log_index, log.address)
    return kind(**decode_event(entry, log.topics, log.data), meta=meta)


def events_of(network: Network, receipt: Receipt) -> list[Event]:
    """Our contracts' events in a receipt, in order."""
    return [event for log in receipt.logs if (event := decode_log(network, log)) is not None]


def one_event(network: Network, receipt: Receipt, kind: type[_E]) -> _E:
    """The receipt's event of this kind.

    Raises:
        InternalFault: if it holds none; our contracts always emit it.
    """
    for event in events_of(network, receipt):
        if isinstance(event, kind):
            return event
    raise InternalFault(f"transaction 0x{receipt.tx_hash.hex()} emitted no {kind.__name__}")


def fetch_events(
    client: ChainClient,
    from_block: int,
    to_block: int,
    *,
    kinds: Collection[type[Event]] | None = None,
    study: int | None = None,
    rounds: Collection[int] | None = None,
    epoch: int | None = None,
    ceremony: int | None = None,
) -> list[Event]:
    """Events of the blocks from..to inclusive, ordered by (block, log index).

    Without a filter: everything. `study` takes the events that name the study (not its rounds' inner ones), `rounds` everything of
    these rounds, `epoch` everything of that key epoch, `ceremony` everything of that ceremony but what is about its epoch alone; given
    together they add up. `kinds` narrows what the others take.

    Raises:
        ChainUnreachable: if the node does not answer or refuses.
    """
    names = {kind.__name__ for kind in kinds} if kinds is not None else set(_BY_NAME)
    contracts = client.network.contracts
    logs: dict[tuple[bytes, int], RawLog] = {}

    def take(addresses: tuple[str, ...], *filters: list[bytes] | None) -> None:
        for log in client.get_logs(from_block, to_block, addresses, filters):
            logs[log.block_hash, log.log_index] = log

    if study is None and rounds is None and epoch is None and ceremony is None:
        take(tuple(contracts.addresses().values()), _topics(names))
    if epoch is not None and (wanted := _topics(names, "KeyRegistry", "epoch")):
        take((contracts["KeyRegistry"],), wanted, [_word(epoch)])
    if ceremony is not None and (wanted := _topics(names, "KeyRegistry", "ceremony")):
        take((contracts["KeyRegistry"],), wanted, [_word(ceremony)])
    if study is not None:
        if wanted := _topics(names, "StudyRegistry"):
            take((contracts["StudyRegistry"],), wanted, [_word(study)])
        if wanted := _topics(names & {"RoundOpened", "RoundFinalised", "RoundVoided"}, "RoundManager"):
            take((contracts["RoundManager"],), wanted, None, [_word(study)])
    if rounds and (wanted := _topics(names, "RoundManager")):
        take((contracts["RoundManager"],), wanted, [_word(number) for number in sorted(rounds)])
    ordered = sorted(logs.values(), key=lambda log: (log.block, log.log_index))
    try:
        return [event for log in ordered if (event := decode_log(client.network, log)) is not None]
    except InternalFault as error:
        raise ChainUnreachable(f"the node at {client.rpc_shown} gives an event that no contract of ours emits: {error.message}") from None


def block_time(client: ChainClient, event: Event) -> int:
    """Unix seconds of the block that holds an event; remembered by block hash."""
    return client.block_by_hash(event.meta.block_hash).timestamp


def _topics(names: Collection[str], contract: str | None = None, about: str | None = None) -> list[bytes]:
    """The topics of these events; `about` is what their first value must be called."""
    return [
        topic
        for (owner, topic), entry in events_abi().items()
        if entry["name"] in names and contract in (None, owner) and about in (None, entry["inputs"][0]["name"])
    ]


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")
