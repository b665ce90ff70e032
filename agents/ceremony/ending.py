"""Ending a holder's share of a key (K3): erased at home first, then said on the chain, for ever.

In this order the chain never says what has not happened. A process that is killed on the way leaves a share that is gone and not yet
recorded as that, and the same command goes on from there: each step looks at what is, and does nothing where nothing is left to do.

The share's file is not the only way to a dealt share. The key's transcript, which is public, holds every share sealed to its holder's
transport key, so that key goes as well: a new one is published first, so that others' next dealings are sealed to it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.events import KeyEpochProposed, StudyOpened, fetch_events
from defedbio.chain.values import KeyEpoch
from defedbio.config import Home, erase, read_json, sync_folder, write_private
from defedbio.domain import CeremonyKind, KeyEpochStatus
from defedbio.errors import BlobUnavailable, InvalidInput
from defedbio.network.transport import new_transport_key, published_transport_key
from defedbio.protocol.reading import Lifetime, Reader

_FIELDS = {"public": str, "box": dict}


@dataclass(frozen=True)
class StudyUnder:
    """A study under a key epoch. `needs` says in words why its rounds may have to be opened still; empty where they need not."""

    study: int
    needs: str


def opened_under(connection: Reader, epoch: int) -> list[int]:
    """The studies that were opened under the epoch."""
    client = connection.client
    opened = fetch_events(client, client.network.deploy_block, client.head().number, kinds=[StudyOpened])
    return [event.study for event in opened if isinstance(event, StudyOpened) and event.key_epoch == epoch]


def studies_under(connection: Reader, epoch: int) -> list[StudyUnder]:
    """The same, with what they need by the time of the chain's newest block."""
    return [StudyUnder(study, _need(connection.lifetime(study))) for study in opened_under(connection, epoch)]


def seats_of(connection: Reader, account: str) -> list[int]:
    """The key epochs in which the account has a seat, whatever became of them."""
    client = connection.client
    proposed = fetch_events(client, client.network.deploy_block, client.head().number, kinds=[KeyEpochProposed])
    return [event.epoch for event in proposed if isinstance(event, KeyEpochProposed) and account in event.holders]


def check_seat(connection: Reader, epoch: int, account: str) -> KeyEpoch:
    """The epoch, in which the account holds a share that counts.

    Raises:
        InvalidInput: if it holds none, or the epoch never became active. NotFound: for an unknown epoch.
    """
    on_chain = connection.keys.epoch_of(epoch)
    if account not in on_chain.holders:
        raise InvalidInput(f"{account} is no holder of key epoch {epoch}")
    if on_chain.status not in (KeyEpochStatus.ACTIVE, KeyEpochStatus.RETIRED):
        hint = (
            "reject it by not confirming, or wait"
            if on_chain.status == KeyEpochStatus.PROPOSED
            else "delete the share's file if it is there"
        )
        raise InvalidInput(f"key epoch {epoch} is {on_chain.status.name.lower()}, not active: a share of it opens nothing", hint)
    return on_chain


def keeps_transport_key(connection: Reader, home: Home, epoch: int, account: str) -> bool:
    """Whether the own share was sealed to another transport key than the one that is here, so that this one need not go."""
    on_chain = check_seat(connection, epoch, account)
    return _sealed_to(connection, on_chain, account) not in (None, _public(home))


def waiting(connection: Reader, home: Home, account: str, but: int | None = None) -> list[int]:
    """The key epochs, `but` for one, whose share is not in the home yet, and is to be had with the transport key alone."""
    client = connection.client
    found = []
    for epoch in seats_of(connection, account):
        if epoch == but:
            continue
        on_chain = connection.keys.epoch_of(epoch)
        if on_chain.kind is CeremonyKind.DISTRIBUTED:
            continue  # its shares were sealed to keys of their ceremony alone
        waits = on_chain.status == KeyEpochStatus.PROPOSED and on_chain.holders.index(account) not in on_chain.confirmations
        path = home.share(client.network.chain_id, client.network.contracts["KeyRegistry"], epoch)
        usable = on_chain.status in (KeyEpochStatus.PROPOSED, KeyEpochStatus.ACTIVE)
        if waits or (usable and account in on_chain.left and not path.exists()):
            found.append(epoch)
    return found


def destroy(connection: Reader, home: Home, epoch: int, password: str, even_if_needed: bool = False) -> None:
    """Replace the transport key, erase the share, record that on the chain. Whether a study needs it still is for the caller to look at.

    Raises:
        InvalidInput: as `check_seat`, or while the old transport key may be needed for another epoch, unless `even_if_needed`.
    """
    account = connection.client.address
    on_chain = check_seat(connection, epoch, account)
    network = connection.client.network
    _replace_transport_key(connection, home, epoch, _sealed_to(connection, on_chain, account), password, even_if_needed)
    erase(home.share(network.chain_id, network.contracts["KeyRegistry"], epoch))
    if account in on_chain.left:
        connection.send(connection.keys.retire_share(f"epoch/{epoch}/retire/{account}", epoch))


def _need(study: Lifetime) -> str:
    if not study.ended:
        steps = study.view.rules.steps if study.view.rules else 0
        return f"it is not complete: {len(study.view.finalised)} of {steps} rounds are final"
    if study.now >= study.kept_until:
        return ""
    return f"its rounds are kept until {datetime.fromtimestamp(study.kept_until, UTC):%Y-%m-%d}, so that they can be verified"


def _sealed_to(connection: Reader, on_chain: KeyEpoch, account: str) -> str | None:
    """The transport key that the account's share was sealed to; empty where that was a key of its ceremony, which is gone. None where
    nobody has the transcript, as after the retention of the key's studies: then it may be the one that is here."""
    if on_chain.kind is CeremonyKind.DISTRIBUTED:
        return ""
    try:
        transcript = connection.transcript(on_chain.epoch)[1]
    except BlobUnavailable:
        return None
    return transcript.holders[on_chain.holders.index(account)].transport_key.hex()


def _replace_transport_key(connection: Reader, home: Home, epoch: int, sealed_to: str | None, password: str, even_if_needed: bool) -> None:
    """Have another transport key than the one that the share was sealed to, here and in the profile, and erase that."""
    fresh, old = home.next_transport, home.transport.with_name("transport.erase")
    if sealed_to in (None, _public(home)):
        # Any member can name this holder in a key whose transcript nobody delivers, which can be neither confirmed nor rejected.
        if not even_if_needed:
            _check_unneeded(connection, home, epoch)
        if not fresh.exists():
            write_private(fresh, new_transport_key(password))
        public = str(read_json(fresh, "new transport key", "delete it, then try again", _FIELDS)["public"])
        account = connection.client.address
        if published_transport_key(connection, account) != public:
            profile = replace(connection.registry.profile_of(account), transport_key=bytes.fromhex(public))
            connection.send(ParticipantRegistry.register(f"transport/{public}", profile))
        if not old.exists():
            os.link(home.transport, old)
        os.replace(fresh, home.transport)
        sync_folder(home.root)
    erase(old)


def _public(home: Home) -> str:
    return str(read_json(home.transport, "transport key", "restore it from a backup", _FIELDS)["public"])


def _check_unneeded(connection: Reader, home: Home, epoch: int) -> None:
    """Raises InvalidInput if the share of another epoch is to be had with the transport key alone."""
    for other in waiting(connection, home, connection.client.address, but=epoch):
        raise InvalidInput(
            f"the share of key epoch {other} may be sealed to the transport key that has to go, and is not here yet",
            f"run `defedbio ceremony confirm --epoch {other}` first; if nobody delivers its transcript, pass --even-if-needed: that share "
            "cannot be had any more then",
        )
