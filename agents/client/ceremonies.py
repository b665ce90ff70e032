"""Threshold key ceremonies: deal a key, confirm a share of one, look at an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defedbio.ceremony import dealer as ceremony
from defedbio.client.session import Session
from defedbio.client.values import Value, hex_of


@dataclass(frozen=True)
class Dealt(Value):
    """A proposed key: any `threshold` of the holders open a sum once all have confirmed; `bits` are the modulus'."""

    epoch: int
    threshold: int
    holders: tuple[str, ...]
    bits: int


@dataclass(frozen=True)
class Confirmation(Value):
    """`confirmed` of `holders` have confirmed; the key is usable when `status` is active."""

    epoch: int
    confirmed: int
    holders: int
    status: str


@dataclass(frozen=True)
class KeyHolder(Value):
    """`retired` is its own word that it erased its share."""

    address: str
    confirmed: bool
    retired: bool


@dataclass(frozen=True)
class Epoch(Value):
    """A key epoch whose public transcript verifies: one that does not is an error, so `transcript_verified` is always True. `left` counts
    the holders that did not retire their shares; `threshold` of them open a sum."""

    epoch: int
    status: str
    threshold: int
    bits: int
    holders: tuple[KeyHolder, ...]
    transcript_hash: str
    left: int
    transcript_verified: bool = True


class Ceremonies:
    def __init__(self, session: Session) -> None:
        self._session = session

    def deal(self, holders: Sequence[str], threshold: int, bits: int = 3072) -> Dealt:
        """Make the key in this process's memory, seal a share to each holder's transport key, propose the epoch on chain.

        A dealer that kept the factors could read every update: run it on a machine that all holders trust.

        Raises:
            InvalidInput: for holders that are no members or have published no transport key, or sizes out of range.

        Example:
            dealt = client.ceremony.deal([one, two, three, four], threshold=3)  # their addresses
            dealt.epoch
        """
        with self._session.signing() as connection:
            epoch = ceremony.deal(connection, bits, threshold, holders)
        return Dealt(epoch, threshold, tuple(holders), bits)

    def confirm(self, epoch: int) -> Confirmation:
        """Check the own share against the public transcript, keep it encrypted, confirm on chain; a wrong one is rejected there.

        Raises:
            BadTranscript, BlobMismatch, InvalidKey: after the rejection is on the chain. InvalidInput: if there is nothing to confirm, or
                the transport key that is here is not the published one.

        Example:
            client.ceremony.confirm(1).status
        """
        with self._session.signing() as connection:
            ceremony.confirm(connection, epoch, self._session.transport_private(), self.share_file(epoch), self._session.password)
            state = connection.keys.epoch_of(epoch)
        return Confirmation(epoch, len(state.confirmations), len(state.holders), state.status.name.lower())

    def show(self, epoch: int) -> Epoch:
        """A key epoch, its public transcript checked.

        Raises:
            NotFound: for an unknown epoch. BadTranscript, BlobMismatch: naming the proposer.

        Example:
            [holder.address for holder in client.ceremony.show(1).holders if not holder.confirmed]
        """
        state, transcript = self._session.reader().transcript(epoch)
        holders = tuple(KeyHolder(h, i in state.confirmations, i in state.retired) for i, h in enumerate(state.holders))
        bits = transcript.key.public_key.bits
        status, left = state.status.name.lower(), len(state.left)
        return Epoch(epoch, status, state.threshold, bits, holders, hex_of(state.transcript_hash), left)

    def share_file(self, epoch: int) -> Path:
        """Where this organisation keeps its share of the epoch's key, encrypted.

        Example:
            client.ceremony.share_file(1).exists()
        """
        network = self._session.network
        return self._session.home.share(network.chain_id, network.contracts["KeyRegistry"], epoch)
