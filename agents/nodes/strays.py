"""What is pinned on the own IPFS node although no study of the home keeps it: of before a restore, say (C7).

Whoever else uses the IPFS node may keep it: nothing of it is unpinned without its operator's word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from defedbio.chain.events import CeremonyAnnounced, CeremonyPosted, KeyEpochProposed, ParticipantEnrolled, StudyOpened, fetch_events
from defedbio.config import Home
from defedbio.domain import CeremonyStatus, KeyEpochStatus
from defedbio.errors import InvalidInput
from defedbio.ipfs.store import BlobStore
from defedbio.nodes.pins import Pins
from defedbio.protocol.reading import Reader


@dataclass(frozen=True)
class Strays:
    """The CIDs that no study here keeps; `untold` names the studies of which nobody knows what they keep, so that these may be theirs.
    `elsewhere` are the studies in which the organisation is enrolled and that have no folder here, as (chain, study)."""

    cids: tuple[str, ...]
    untold: tuple[str, ...]
    elsewhere: tuple[tuple[int, int], ...]


def strays(store: BlobStore, networks: Sequence[Reader], home: Home, account: str) -> Strays:
    """What is pinned on the IPFS node, but for what the home's studies keep and what the account published on any of these networks.

    Raises:
        StoreUnreachable, ChainUnreachable: where one of them cannot be asked.
    """
    pins = Pins(home)
    kept = pins.claimed() | {cid for network in networks for cid in _published(network, account)}
    found = tuple(sorted(cid for cid in store.pinned() if cid not in kept))
    elsewhere = tuple(lost for network in networks for lost in _without_folder(network, home, account))
    return Strays(found, tuple(sorted(pins.untold())), elsewhere)


def unpin(store: BlobStore, home: Home, found: Strays) -> int:
    """Unpin these, except what a study has begun to keep meanwhile; gives how many. They are deleted with the next collection.

    Raises:
        InvalidInput: while nobody knows what some study keeps, or a key ceremony is under way, whose newest message may not be posted yet.
    """
    if under_way := home.ceremonies_under_way():
        raise InvalidInput(
            f"a key ceremony is under way ({', '.join(under_way)}), and others may fetch its messages still",
            "let `defedbio ceremony take-part` run to its end first",
        )
    return Pins(home).drop_strays(found.cids, store.unpin)


def _published(network: Reader, account: str) -> Iterator[str]:
    """The CIDs of specs of the account's studies, until their retention is over, of transcripts of its keys, unless one was refused, and
    of the messages of ceremonies of which it is a holder, while they run: others fetch them from this node."""
    client = network.client
    kinds = [StudyOpened, KeyEpochProposed, CeremonyAnnounced, CeremonyPosted]
    events = fetch_events(client, client.network.deploy_block, client.head().number, kinds=kinds)
    running: set[int] = set()
    for event in events:
        match event:
            case StudyOpened() if event.coordinator == account:
                life = network.lifetime(event.study)
                if not life.ended or life.now < life.kept_until:
                    yield event.spec_cid
            case KeyEpochProposed() if account in (event.proposer, *event.holders):
                if network.keys.epoch_of(event.epoch).status != KeyEpochStatus.REJECTED:
                    yield event.transcript_cid
            case CeremonyAnnounced() if account in event.holders:
                if network.keys.ceremony_of(event.ceremony).status == CeremonyStatus.RUNNING:
                    running.add(event.ceremony)
            case CeremonyPosted() if event.ceremony in running:
                yield event.cid


def _without_folder(network: Reader, home: Home, account: str) -> Iterator[tuple[int, int]]:
    client = network.client
    chain, manager = client.network.chain_id, client.network.contracts["RoundManager"]
    for event in fetch_events(client, client.network.deploy_block, client.head().number, kinds=[ParticipantEnrolled]):
        if isinstance(event, ParticipantEnrolled) and event.participant == account and not home.study(chain, manager, event.study).exists():
            yield chain, event.study
