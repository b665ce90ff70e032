"""What one secret per organisation and round decides: the minibatches of its training and the rounding of its update."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from defedbio.errors import InvalidInput

if TYPE_CHECKING:
    from defedbio.crypto.numbers import Rand

SECRET_BYTES = 32
_SEED, _ROUNDING = b"defedbio-training/1", b"defedbio-rounding/1"


def training_seed(secret: bytes) -> int:
    """The seed of local training, 0..2^64 - 1."""
    return int.from_bytes(_expand(secret, _SEED, 0, 8), "big")


def rounding(secret: bytes) -> Rand:
    """Random bytes for stochastic rounding: the n-th call reads a stream of its own, SHAKE256(label ‖ secret ‖ n)."""
    calls = 0

    def rand(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return _expand(secret, _ROUNDING, calls, size)

    return rand


def _expand(secret: bytes, label: bytes, number: int, size: int) -> bytes:
    if len(secret) != SECRET_BYTES:
        raise InvalidInput(f"the round's secret must be {SECRET_BYTES} bytes")
    return hashlib.shake_256(label + secret + number.to_bytes(8, "big")).digest(size)
