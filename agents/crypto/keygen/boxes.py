"""Sub-shares sealed to the holders' keys of one ceremony (D19), and a holder's share out of the boxes that it got (D20)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defedbio.crypto import numbers, sealing
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.share_sizes import carried, sub_share_bound
from defedbio.crypto.threshold import KeyShare, ThresholdKey
from defedbio.errors import InvalidKey


@dataclass(frozen=True)
class Recipient:
    """The holder at `position` (from 0) of a ceremony, by chain, key registry and number."""

    chain_id: int
    registry: str
    ceremony: int
    address: str
    position: int

    def context(self, contributor: int, key: PublicKey) -> bytes:
        """What the box of a contributor (from 0) is bound to, in fixed lengths."""
        return b"".join(
            (
                b"defedbio-sub-share/1",
                self.chain_id.to_bytes(8, "big"),
                bytes.fromhex(self.registry[2:]),
                self.ceremony.to_bytes(8, "big"),
                bytes.fromhex(self.address[2:]),
                bytes((self.position, contributor)),
                key.hash,
            )
        )


def value_bytes(bits: int, threshold: int, holders: int) -> int:
    return (sub_share_bound(bits, threshold, holders).bit_length() + 7) // 8


def box_bytes(bits: int, threshold: int, holders: int) -> int:
    return value_bytes(bits, threshold, holders) + sealing.OVERHEAD


def seal(value: int, size: int, recipient: Recipient, contributor: int, transport_key: bytes, key: PublicKey, rand: Rand) -> bytes:
    """A sub-share of `size` bytes."""
    return sealing.seal(transport_key, numbers.to_bytes(value, size), recipient.context(contributor, key), rand)


def unseal(box: bytes, recipient: Recipient, contributor: int, private: bytes, key: PublicKey) -> int:
    """Raises InvalidKey when the box does not open."""
    return numbers.from_bytes(sealing.unseal(private, box, recipient.context(contributor, key)))


def share_of(key: ThresholdKey, index: int, sub_shares: Sequence[int]) -> KeyShare:
    """The share of holder `index` (from 1): the sum, and the carry with which it is what the key commits to.

    Raises:
        InvalidKey: when it is with none.
    """
    bits, total = key.public_key.bits, sum(sub_shares)
    for kappa in range(key.threshold):
        share = KeyShare(index, total + carried(bits, key.threshold, key.holders, kappa))
        try:
            share.check(key)
        except InvalidKey:
            continue
        return share
    raise InvalidKey(f"the sub-shares of holder {index} do not agree with the public commitments")
