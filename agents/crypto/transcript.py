"""Fiat-Shamir transcripts: SHAKE256 over tagged, length-prefixed parts, so that no two histories share their bytes (TSSHOCK, 2023)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from defedbio.crypto import kernel
from defedbio.errors import InvalidInput

_DOMAIN, _PART, _CHALLENGE = b"\x00", b"\x01", b"\x02"
LEAST_FOR_KERNEL = 3  # of a list of challenges: it takes for eight about as long as the library for two


class Transcript:
    """A running hash of everything a proof depends on; each challenge depends on all that came before it."""

    def __init__(self, domain: str) -> None:
        self._hash = hashlib.shake_256()
        self._held: list[bytes] = []
        self._absorb(_DOMAIN, domain, b"")

    def append(self, label: str, data: bytes) -> None:
        """Bind `data` under `label`."""
        self._absorb(_PART, label, data)

    def challenge_bytes(self, label: str, length: int) -> bytes:
        """`length` bytes drawn from everything bound so far; drawing changes the state."""
        self._ask(label, length)
        return self._hash.digest(length)

    def challenge_int(self, label: str, bits: int) -> int:
        """A challenge in [0, 2^bits)."""
        length = (bits + 7) // 8
        return int.from_bytes(self.challenge_bytes(label, length), "big") >> (8 * length - bits)

    def _ask(self, label: str, length: int) -> None:
        if length < 1:
            raise InvalidInput("a challenge has at least one byte")
        self._absorb(_CHALLENGE, label, length.to_bytes(8, "big"))

    def _absorb(self, tag: bytes, label: str, data: bytes) -> None:
        name = label.encode()
        written = tag + len(name).to_bytes(4, "big") + name + len(data).to_bytes(8, "big") + data
        self._hash.update(written)
        self._held.append(written)


def challenges_bytes(transcripts: Sequence[Transcript], label: str, length: int) -> list[bytes]:
    """`challenge_bytes` of each: long ones of several transcripts take less time together."""
    for transcript in transcripts:
        transcript._ask(label, length)
    histories = [b"".join(transcript._held) for transcript in transcripts]
    if len(histories) >= LEAST_FOR_KERNEL and kernel.usable() and len(set(map(len, histories))) == 1:
        return kernel.shake256(histories, length)
    return [transcript._hash.digest(length) for transcript in transcripts]


def hash_to_number(domain: str, modulus: int, index: int = 0) -> int:
    """A number in [0, modulus) derived from the modulus: 128 bits more than needed, reduced (bias below 2^-128)."""
    transcript = Transcript(domain)
    transcript.append("modulus", modulus.to_bytes((modulus.bit_length() + 7) // 8, "big"))
    transcript.append("index", index.to_bytes(4, "big"))
    return transcript.challenge_int("number", modulus.bit_length() + 128) % modulus
