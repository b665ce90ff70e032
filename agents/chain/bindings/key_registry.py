"""KeyRegistry: threshold key epochs (K1), and the ceremonies in which holders make a key without a dealer (D1 to D5)."""

from __future__ import annotations

from collections.abc import Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from defedbio.chain.client import ChainClient
from defedbio.chain.events import CeremonyAnnounced, KeyEpochProposed, fetch_events, one_event
from defedbio.chain.records import Call, Receipt, Transaction
from defedbio.chain.values import Ceremony, KeyEpoch
from defedbio.domain import CeremonyStatus, KeyEpochStatus
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
        """Propose an epoch whose key the account dealt. `modulus` is big-endian, without a leading zero; `holders[i]` is to hold the share
        at i + 1."""
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

    @staticmethod
    def announce(key: str, holders: Sequence[str], threshold: int, bits: int, step_seconds: int) -> Transaction:
        """Announce a ceremony; the first `threshold` of the holders are its contributors."""
        return Transaction(key, _call("announce", tuple(holders), threshold, bits, step_seconds), "announce-ceremony")

    def announced_in(self, receipt: Receipt) -> int:
        """The number of the ceremony that a transaction announced."""
        return one_event(self._client.network, receipt, CeremonyAnnounced).ceremony

    @staticmethod
    def post(key: str, ceremony: int, step: int, head: bytes, hash_: bytes, cid: str) -> Transaction:
        """Post the message of a step. `head` stands for all posts before it, zero in step 0."""
        return Transaction(key, _call("post", ceremony, step, head, hash_, cid), "post-message")

    @staticmethod
    def expire(key: str, ceremony: int) -> Transaction:
        return Transaction(key, _call("expire", ceremony), "expire-ceremony")

    @staticmethod
    def complain(key: str, ceremony: int, reason: str) -> Transaction:
        """End the ceremony, for a reason of at most 1024 bytes."""
        return Transaction(key, _call("complain", ceremony, reason), "complain")

    @staticmethod
    def publish_seed(key: str, ceremony: int, seed: bytes) -> Transaction:
        """Show the seed of a ceremony whose failure is final."""
        return Transaction(key, _call("publishSeed", ceremony, seed), "publish-seed")

    @staticmethod
    def propose_from(key: str, ceremony: int, head: bytes, modulus: bytes, transcript_hash: bytes, transcript_cid: str) -> Transaction:
        """Propose the epoch whose key a ceremony made of all posts that `head` stands for."""
        return Transaction(key, _call("proposeFrom", ceremony, head, modulus, transcript_hash, transcript_cid), "propose-key")

    def ceremony_of(self, ceremony: int) -> Ceremony:
        """Raises NotFound for a ceremony that was never announced."""
        found = self._client.call(_call("ceremonyOf", ceremony))
        if found["status"] is CeremonyStatus.NONE:
            raise NotFound(f"there is no ceremony {ceremony}")
        return Ceremony(ceremony=ceremony, **found)

    def ceremony_count(self) -> int:
        return int(self._client.call(_call("ceremonyCount")))

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


def head_after(chain_id: int, registry: str, ceremony: int, step: int, before: bytes, hashes: Sequence[bytes]) -> bytes:
    """The head of a ceremony's steps up to this one, as the contract makes it: of the head before, and of the hashes of all messages of
    the step, in the order of their senders."""
    types = ["uint256", "address", "uint64", "uint16", "bytes32", "bytes32[]"]
    return keccak(encode(types, [chain_id, registry, ceremony, step, before, list(hashes)]))


def _call(function: str, *args: object) -> Call:
    return Call("KeyRegistry", function, args)
