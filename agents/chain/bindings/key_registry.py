"""KeyRegistry: threshold key epochs (K1)."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.chain.client import ChainClient
from defedbio.chain.events import KeyEpochProposed, fetch_events, one_event
from defedbio.chain.records import Call, Receipt, Transaction
from defedbio.chain.values import KeyEpoch
from defedbio.domain import KeyEpochStatus
from defedbio.errors import NotFound


class KeyRegistry:
    def __init__(self, client: ChainClient) -> None:
        self._client = client

    @staticmethod
    def propose(
        key: str,
        modulus: bytes,
        holders: Sequence[str],
        threshold: int,
        transcript_hash: bytes,
        transcript_cid: str,
    ) -> Transaction:
        """Propose an epoch. `modulus` is big-endian, no leading zero; `holders[i]` is to hold the share at i + 1."""
        call = _call("propose", modulus, tuple(holders), threshold, transcript_hash, transcript_cid)
        return Transaction(key, call, "propose-key")

    def proposed_in(self, receipt: Receipt) -> int:
        """The id of the epoch that a transaction proposed."""
        return one_event(self._client.network, receipt, KeyEpochProposed).epoch

    @staticmethod
    def confirm(key: str, epoch: int, transcript_hash: bytes) -> Transaction:
        return Transaction(key, _call("confirm", epoch, transcript_hash), "confirm-share")

    @staticmethod
    def reject(key: str, epoch: int, reason: str) -> Transaction:
        return Transaction(key, _call("reject", epoch, reason), "reject-share")

    @staticmethod
    def retire_share(key: str, epoch: int) -> Transaction:
        """Say for ever that the account's share is erased."""
        return Transaction(key, _call("retireShare", epoch), "retire-share")

    def epoch_of(self, epoch: int) -> KeyEpoch:
        """Raises NotFound for an epoch that was never proposed."""
        found = self._client.call(_call("epochOf", epoch))
        if found["status"] is KeyEpochStatus.NONE:
            raise NotFound(f"there is no key epoch {epoch}")
        return KeyEpoch(epoch=epoch, **found)

    def holder_index(self, epoch: int, account: str) -> int:
        """Position of the holder counted from 1, 0 if the account holds no share."""
        return int(self._client.call(_call("holderIndex", epoch, account)))

    def proposal_of(self, epoch: int) -> KeyEpochProposed:
        """The event that proposed an epoch; it names the transcript's CID.

        Raises:
            NotFound: if it was never proposed.
        """
        first, last = self._client.network.deploy_block, self._client.head().number
        for event in fetch_events(self._client, first, last, kinds=[KeyEpochProposed], epoch=epoch):
            if isinstance(event, KeyEpochProposed):
                return event
        raise NotFound(f"there is no key epoch {epoch}")


def _call(function: str, *args: object) -> Call:
    return Call("KeyRegistry", function, args)
