"""The public transcript of a key ceremony, and how a holder takes its share out of it (K1, K2).

One value has one encoding: canonical JSON, sorted keys, no spaces; numbers modulo n are lower-case hexadecimal of full length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from defedbio import foreign_json
from defedbio.crypto import numbers, sealing
from defedbio.crypto.keygen import boxes
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.proofs.factors import FactorsProof
from defedbio.crypto.threshold import KeyShare, ThresholdKey, dealer
from defedbio.domain import MIN_MODULUS_BITS
from defedbio.errors import BadTranscript, InvalidInput, InvalidKey

FORMAT = "defedbio-ceremony/2"
DEALER, DISTRIBUTED = "dealer", "distributed"
MAX_BYTES = 1 << 20
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_NUMBERS = ("commitments", "verification_keys", "roots", "square_roots")
_FIELDS = {"format", "kind", "chain_id", "registry", "threshold", "holders", "modulus", "v", "factors", "sealed_shares", *_NUMBERS}


@dataclass(frozen=True)
class Holder:
    """A key holder: its member address (kept in lower case) and the X25519 key its share is sealed to."""

    address: str
    transport_key: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", _address(self.address, "a holder's address"))
        if len(self.transport_key) != sealing.KEY_BYTES:
            raise InvalidInput("a transport key must be 32 bytes")


@dataclass(frozen=True)
class CeremonyTranscript:
    """Everything public about a key epoch. holders[i] has the share at x = i + 1, sealed in sealed_shares[i].

    Of a distributed key (docs/ceremony.md) the number of its `ceremony` is there, the holders' transport keys are those of this ceremony,
    and sealed_shares[i] are t boxes of sub-shares, one after the other.
    """

    chain_id: int
    registry: str
    holders: tuple[Holder, ...]
    key: ThresholdKey
    sealed_shares: tuple[bytes, ...]
    ceremony: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "registry", _address(self.registry, "the key registry"))
        if not 0 <= self.chain_id < 1 << 64:
            raise InvalidInput("the chain id must fit 64 bits")
        if len(self.holders) != self.key.holders or len(self.sealed_shares) != self.key.holders:
            raise BadTranscript("the transcript needs one sealed share a holder")
        if len({holder.address for holder in self.holders}) != len(self.holders):
            raise BadTranscript("the transcript names a holder twice")
        if self.key.distributed != (self.ceremony is not None) or not 0 <= (self.ceremony or 0) < 1 << 64:
            raise BadTranscript("the transcript needs a ceremony's number of 64 bits for a distributed key, and none for a dealt one")
        if any(len(box) != self._sealed_bytes for box in self.sealed_shares):
            raise BadTranscript("a sealed share has a wrong length")

    @property
    def threshold(self) -> int:
        return self.key.threshold

    @property
    def kind(self) -> str:
        return DISTRIBUTED if self.key.distributed else DEALER

    @property
    def _sealed_bytes(self) -> int:
        if self.key.distributed:
            return self.threshold * boxes.box_bytes(self.key.public_key.bits, self.threshold, self.key.holders)
        return self.key.public_key.modulus_bytes + sealing.OVERHEAD

    @property
    def hash(self) -> bytes:
        """keccak256 of `to_bytes`, as KeyRegistry stores it."""
        return keccak256(self.to_bytes())

    def check(self) -> None:
        """Verify the public key material; raises BadTranscript. Shares are checked by their holders, in `open_share`."""
        self.key.check()

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        size = self.key.public_key.modulus_bytes
        value = {
            "format": FORMAT,
            "kind": self.kind,
            "chain_id": self.chain_id,
            "registry": self.registry,
            "threshold": self.key.threshold,
            "holders": [{"address": h.address, "transport_key": "0x" + h.transport_key.hex()} for h in self.holders],
            "modulus": _hex(self.key.n, size),
            "v": _hex(self.key.v, size),
            "commitments": [_hex(x, size) for x in self.key.commitments],
            "verification_keys": [_hex(x, size) for x in self.key.verification_keys],
            "roots": [_hex(x, size) for x in self.key.roots],
            "square_roots": [_hex(x, size) for x in self.key.square_roots],
            "factors": "0x" + self.key.factors.to_bytes(self.key.public_key.bits).hex(),
            "sealed_shares": ["0x" + box.hex() for box in self.sealed_shares],
            **({} if self.ceremony is None else {"ceremony": self.ceremony}),
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, minimum_bits: int = MIN_MODULUS_BITS) -> CeremonyTranscript:
        """Parse strictly: what does not come back as the same bytes is refused. `minimum_bits` is lowered by tests only.

        Raises:
            BadTranscript: for unknown or missing fields, wrong sizes, impossible values or another encoding.
        """
        value = foreign_json.read_object(data, "the transcript", MAX_BYTES, BadTranscript)
        if value.get("format") != FORMAT:
            raise BadTranscript(
                f"the transcript is not of the format {FORMAT}, in which a key proves that no prime factor of its modulus is small",
                "have a new key dealt: defedbio ceremony deal",
            )
        if value.get("kind") not in (DEALER, DISTRIBUTED):
            raise BadTranscript("the transcript has a kind that this version does not read")
        if set(value) != (_FIELDS | {"ceremony"} if value["kind"] == DISTRIBUTED else _FIELDS):
            raise BadTranscript("the transcript has missing or unknown fields")
        try:
            transcript = _parse(value, minimum_bits)
        except (InvalidInput, ValueError, TypeError, KeyError) as fault:
            raise BadTranscript(f"the transcript has an impossible value: {_reason(fault)}") from None
        if transcript.to_bytes() != data:
            raise BadTranscript("the transcript is not in its canonical encoding")
        return transcript


def run_dealer(
    bits: int,
    threshold: int,
    holders: Sequence[Holder],
    chain_id: int,
    registry: str,
    rand: Rand,
    minimum_bits: int = MIN_MODULUS_BITS,
) -> CeremonyTranscript:
    """Make a key, seal every share to its holder and keep nothing (Python cannot overwrite what it frees: docs/crypto.md, Limits)."""
    key, shares = dealer(bits, threshold, len(holders), rand, minimum_bits)
    return publish(key, shares, holders, chain_id, registry, rand)


def publish(
    key: ThresholdKey, shares: Sequence[KeyShare], holders: Sequence[Holder], chain_id: int, registry: str, rand: Rand
) -> CeremonyTranscript:
    """The transcript of a dealt key; share i + 1 goes to holders[i].

    Raises:
        InvalidInput: when shares and holders do not match.
    """
    if [s.index for s in shares] != list(range(1, len(holders) + 1)):
        raise InvalidInput("shares and holders do not match")
    sealed = tuple(
        sealing.seal(
            holder.transport_key,
            numbers.to_bytes(share.value, key.public_key.modulus_bytes),
            seal_context(chain_id, registry, holder.address, position, key.public_key),
            rand,
        )
        for position, (holder, share) in enumerate(zip(holders, shares, strict=True))
    )
    return CeremonyTranscript(chain_id, registry, tuple(holders), key, sealed)


def open_share(transcript: CeremonyTranscript, position: int, transport_private: bytes) -> KeyShare:
    """The verified share of the holder at `position` (from 0); its index is position + 1. Call `check` on the transcript first.

    Raises:
        InvalidInput: for a position that is none. InvalidKey: when the private key is not the one the transcript names.
        BadTranscript: when the sealed share does not open, or does not agree with the commitments: reject the epoch on chain.
    """
    if not 0 <= position < len(transcript.holders):
        raise InvalidInput(f"position {position} of {len(transcript.holders)} holders")
    holder = transcript.holders[position]
    if sealing.transport_public(transport_private) != holder.transport_key:
        raise InvalidKey(f"the transport key is not the one that the transcript names for position {position}")
    try:
        if transcript.ceremony is not None:
            return boxes.share_of(transcript.key, position + 1, _sub_shares(transcript, transcript.ceremony, position, transport_private))
        context = seal_context(transcript.chain_id, transcript.registry, holder.address, position, transcript.key.public_key)
        value = numbers.from_bytes(sealing.unseal(transport_private, transcript.sealed_shares[position], context))
        share = KeyShare(position + 1, value)
        share.check(transcript.key)
    except InvalidKey as fault:
        raise BadTranscript(f"the share at position {position} is wrong: {fault.message}", "reject the key epoch") from None
    return share


def _sub_shares(transcript: CeremonyTranscript, ceremony: int, position: int, transport_private: bytes) -> list[int]:
    """What every contributor sealed to the holder."""
    key, address = transcript.key, transcript.holders[position].address
    to = boxes.Recipient(transcript.chain_id, transcript.registry, ceremony, address, position)
    size = boxes.box_bytes(key.public_key.bits, key.threshold, key.holders)
    sealed = transcript.sealed_shares[position]
    parts = (sealed[i : i + size] for i in range(0, len(sealed), size))
    return [boxes.unseal(box, to, contributor, transport_private, key.public_key) for contributor, box in enumerate(parts)]


def seal_context(chain_id: int, registry: str, address: str, position: int, key: PublicKey) -> bytes:
    """What a sealed share is bound to, in fixed lengths: chain, registry, holder, position and modulus."""
    return b"".join(
        (
            b"defedbio-share/1",
            chain_id.to_bytes(8, "big"),
            bytes.fromhex(_address(registry, "the key registry")[2:]),
            bytes.fromhex(_address(address, "a holder's address")[2:]),
            position.to_bytes(1, "big"),
            key.hash,
        )
    )


def _parse(value: Mapping[str, Any], minimum_bits: int) -> CeremonyTranscript:
    holders = tuple(Holder(h["address"], _bytes(h["transport_key"])) for h in value["holders"])
    commitments, verification_keys, roots, square_roots = (tuple(_number(x) for x in value[name]) for name in _NUMBERS)
    if type(value["threshold"]) is not int or type(value["chain_id"]) is not int:
        raise InvalidInput("threshold and chain id must be integers")
    distributed = value["kind"] == DISTRIBUTED
    if distributed and type(value["ceremony"]) is not int:
        raise InvalidInput("the ceremony's number must be an integer")
    public = PublicKey.from_modulus(_number(value["modulus"]), minimum_bits)
    key = ThresholdKey(
        public,
        value["threshold"],
        len(holders),
        _number(value["v"]),
        commitments,
        verification_keys,
        roots,
        square_roots,
        FactorsProof.from_bytes(_bytes(value["factors"]), public.bits),
        distributed,
    )
    sealed = tuple(_bytes(x) for x in value["sealed_shares"])
    return CeremonyTranscript(value["chain_id"], value["registry"], holders, key, sealed, value["ceremony"] if distributed else None)


def _reason(fault: Exception) -> str:
    return fault.message if isinstance(fault, InvalidInput) else "not of the right type"


def _address(text: str, what: str) -> str:
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise InvalidInput(f"{what} must be an address of 20 bytes")
    return text.lower()


def _hex(value: int, size: int) -> str:
    return "0x" + numbers.to_bytes(value, size).hex()


def _bytes(text: str) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise InvalidInput("not a hexadecimal string")
    return bytes.fromhex(text[2:])


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")
