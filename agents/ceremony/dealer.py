"""The dealer's key ceremony (K1, K2): one machine deals, every holder checks its share before the chain calls the key active."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from defedbio.crypto import numbers
from defedbio.crypto.ceremony import Holder, open_share, run_dealer
from defedbio.crypto.sealing import transport_public
from defedbio.domain import CeremonyKind, KeyEpochStatus
from defedbio.errors import BadTranscript, BlobMismatch, InvalidInput, InvalidKey
from defedbio.network.connection import Connection
from defedbio.network.shares import write_share
from defedbio.network.transport import published_transport_key


def deal(connection: Connection, bits: int, threshold: int, holders: Sequence[str]) -> int:
    """Make a key, seal a share to each holder, publish the transcript and propose the epoch; returns its number.

    The factors and shares live in this process's memory only, and end with it.

    Raises:
        InvalidInput: for holders that are no members or have published no transport key.
    """
    strangers = [h for h in holders if not connection.registry.is_member(h)]
    if strangers:
        raise InvalidInput(f"not members: {', '.join(strangers)}", "members vote with `defedbio member admit` first")
    parties = [Holder(h, connection.registry.profile_of(h).transport_key) for h in holders]
    network = connection.client.network
    with connection.report.phase("deal") as phase:
        transcript = run_dealer(bits, threshold, parties, network.chain_id, network.contracts["KeyRegistry"], os.urandom)
        raw = transcript.to_bytes()
        phase.bytes = len(raw)
    cid = connection.store.add(raw)
    key = transcript.key.public_key
    receipt = connection.send(
        connection.keys.propose(
            f"ceremony/{transcript.hash.hex()}",
            numbers.to_bytes(key.n, key.modulus_bytes),
            [party.address for party in parties],
            threshold,
            transcript.hash,
            cid,
        )
    )
    return connection.keys.proposed_in(receipt)


def confirm(connection: Connection, epoch: int, transport_private: bytes, path: Path, password: str) -> None:
    """Check this holder's share against the transcript, keep it encrypted at `path`, then confirm on chain; reject a wrong one there.

    The chain is asked first what this holder has said already. Where it has, a share that is missing, as in a home from an older backup, is
    had again, and nothing more is said, whatever is wrong with it (C7).

    Raises:
        BadTranscript, BlobMismatch, InvalidKey: after the rejection is on the chain, unless this holder confirmed the share before.
        InvalidInput: if this account holds no share of the epoch, the epoch has ended, this home's transport key is not the published one,
            so that whatever is dealt cannot be opened here, or the key is said to have had no dealer: of such a key a holder confirms the
            transcript that it made itself, and no transcript shows that nobody dealt it.
    """
    account = connection.client.address
    position = connection.keys.holder_index(epoch, account) - 1
    on_chain = connection.keys.epoch_of(epoch)
    if position < 0:
        raise InvalidInput(f"{account} is no holder of key epoch {epoch}")
    if position in on_chain.retired:
        raise InvalidInput(f"this organisation retired its share of key epoch {epoch}: it does not come back")
    if on_chain.status not in (KeyEpochStatus.PROPOSED, KeyEpochStatus.ACTIVE):
        raise InvalidInput(f"key epoch {epoch} is {on_chain.status.name.lower()}: there is nothing to confirm")
    if on_chain.kind is CeremonyKind.DISTRIBUTED:
        raise InvalidInput(
            f"the holders make the key of epoch {epoch} together: each confirms in the ceremony", "run `defedbio ceremony take-part`"
        )
    said = position in on_chain.confirmations
    if said and path.exists():
        return
    try:
        with connection.report.phase("check-share"):
            _, transcript = connection.transcript(epoch)
            _check_sealed_to(connection, account, epoch, transcript.holders[position].transport_key, transport_public(transport_private))
            share = open_share(transcript, position, transport_private)
    except (BadTranscript, BlobMismatch, InvalidKey) as error:
        if said:
            raise
        reason = f"{type(error).__name__}: {error.message}"[:200]
        connection.send(connection.keys.reject(f"epoch/{epoch}/reject/{account}", epoch, reason))
        raise
    connection.store.pin(connection.keys.proposal_of(epoch).transcript_cid)
    write_share(path, share, epoch, password)
    if not said:
        connection.send(connection.keys.confirm(f"epoch/{epoch}/confirm/{account}", epoch, transcript.hash))


def _check_sealed_to(connection: Connection, account: str, epoch: int, sealed_to: bytes, own: bytes) -> None:
    """Raises InvalidKey for a share that is sealed to another transport key than the own, InvalidInput if the own is not published."""
    if sealed_to == own:
        return
    if published_transport_key(connection, account) != own.hex():
        raise InvalidInput(
            f"the transport key of this home is not the one that this organisation has published, and does not open its share of key epoch "
            f"{epoch}",
            "is this the right home? If it is from a backup, run `defedbio register`; what is dealt from then on can be opened",
        )
    raise InvalidKey(
        f"the share of key epoch {epoch} is sealed to another transport key than this organisation has published now",
        "nobody can open it here: if it was not confirmed, have the key dealt again; if it was, only a backup that holds it has it",
    )
