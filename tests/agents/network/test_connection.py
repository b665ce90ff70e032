"""Whether the chain and a key's transcript say the same of how it was made."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.ceremony import dealer
from defedbio.chain.values import KeyEpoch
from defedbio.crypto import sealing
from defedbio.crypto.ceremony import CeremonyTranscript, Holder, open_share, publish
from defedbio.crypto.keygen import boxes
from defedbio.domain import BitSet, CeremonyKind, KeyEpochStatus
from defedbio.errors import BadTranscript, InvalidInput
from defedbio.network.connection import transcript_of
from tests.agents.protocol.in_process import dealt

REGISTRY = "0x" + "5a" * 20
NETWORK: Any = SimpleNamespace(chain_id=31337, contracts={"KeyRegistry": REGISTRY})


@pytest.fixture(scope="module")
def transcript() -> CeremonyTranscript:
    key, shares = dealt()
    holders = [Holder(f"0x{i + 1:040x}", sealing.generate_transport_key(os.urandom)[1]) for i in range(key.holders)]
    return publish(key, shares, holders, NETWORK.chain_id, REGISTRY, os.urandom)


@pytest.fixture
def epoch(transcript: CeremonyTranscript) -> KeyEpoch:
    return KeyEpoch(
        1,
        "0x" + "77" * 20,
        transcript.threshold,
        CeremonyKind.DEALER,
        KeyEpochStatus.PROPOSED,
        transcript.key.public_key.bits,
        BitSet(0),
        BitSet(0),
        transcript.key.public_key.hash,
        transcript.hash,
        tuple(holder.address for holder in transcript.holders),
    )


def test_a_dealt_key_does_not_pass_for_one_without_a_dealer(transcript: CeremonyTranscript, epoch: KeyEpoch) -> None:
    """Operators are told by the chain's kind whether one machine had the whole key."""
    assert transcript_of(transcript.to_bytes(), epoch, NETWORK) == transcript
    with pytest.raises(BadTranscript, match="disagrees with the chain") as found:
        transcript_of(transcript.to_bytes(), replace(epoch, kind=CeremonyKind.DISTRIBUTED), NETWORK)
    assert found.value.peer == epoch.proposer


def test_a_dealer_can_write_a_transcript_that_names_no_dealer(epoch: KeyEpoch) -> None:
    """With powers of Δ of what it dealt: so the check of a transcript does not show its kind, and a holder's share does not either."""
    key, shares = dealt()
    delta, private = key.delta, [bytes((i + 1,)) * 32 for i in range(key.holders)]
    commitments, verification = ([pow(x, delta, key.n) for x in values] for values in (key.commitments, key.verification_keys))
    other = replace(key, commitments=tuple(commitments), verification_keys=tuple(verification), distributed=True)
    holders = tuple(Holder(address, sealing.transport_public(own)) for address, own in zip(epoch.holders, private, strict=True))
    size = boxes.value_bytes(key.public_key.bits, key.threshold, key.holders)
    sealed = []
    for position, share in enumerate(shares):
        to = boxes.Recipient(NETWORK.chain_id, REGISTRY, 7, epoch.holders[position], position)
        values = [delta * share.value, *[0] * (key.threshold - 1)]
        own = holders[position].transport_key
        sealed.append(b"".join([boxes.seal(value, size, to, i, own, key.public_key, os.urandom) for i, value in enumerate(values)]))
    made = CeremonyTranscript(NETWORK.chain_id, REGISTRY, holders, other, tuple(sealed), 7)
    said = replace(epoch, kind=CeremonyKind.DISTRIBUTED, transcript_hash=made.hash)
    assert transcript_of(made.to_bytes(), said, NETWORK) == made
    assert open_share(made, 1, private[1]).value == delta * shares[1].value


def test_a_holder_confirms_no_key_as_one_without_a_dealer_that_it_has_not_made(epoch: KeyEpoch, tmp_path: Path) -> None:
    keys = SimpleNamespace(holder_index=lambda epoch, account: 1, epoch_of=lambda number: replace(epoch, kind=CeremonyKind.DISTRIBUTED))
    connection: Any = SimpleNamespace(client=SimpleNamespace(address=epoch.holders[0]), keys=keys)
    with pytest.raises(InvalidInput, match="each confirms in the ceremony"):
        dealer.confirm(connection, 1, bytes(32), tmp_path / "share", "a password")
