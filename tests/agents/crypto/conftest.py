"""Key material for the cryptography tests, made from pinned primes: nothing here waits for a prime."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import phe
import pytest

from defedbio.crypto import paillier, threshold
from defedbio.crypto.numbers import Rand
from defedbio.domain import RoundContext

VECTORS = Path(__file__).parents[2] / "vectors"


@dataclass(frozen=True)
class Material:
    p: int
    q: int
    key: threshold.ThresholdKey
    shares: list[threshold.KeyShare]
    oracle: phe.PaillierPrivateKey
    pool: paillier.ObfuscatorPool

    @property
    def public(self) -> paillier.PublicKey:
        return self.key.public_key

    def encrypt(self, *plaintexts: int) -> list[int]:
        return paillier.encrypt(self.public, [m % self.public.n for m in plaintexts], self.pool)


def load(name: str) -> dict:
    return json.loads((VECTORS / name).read_text())


def primes(bits: int) -> tuple[int, int]:
    data = load(f"keys_{bits}.json")
    return int(data["p"], 16), int(data["q"], 16)


def material(bits: int, quorum: int, holders: int) -> Material:
    p, q = primes(bits)
    key, shares = threshold.deal_from_primes(p, q, quorum, holders, os.urandom, minimum_bits=512)
    oracle = phe.PaillierPrivateKey(key.public_key.phe, p, q)
    return Material(p, q, key, shares, oracle, paillier.ObfuscatorPool(key.public_key, os.urandom))


@pytest.fixture(scope="session")
def small() -> Material:
    """512 bits, 3 of 5: for properties."""
    return material(512, 3, 5)


@pytest.fixture(scope="session")
def make_material() -> Callable[[int, int, int], Material]:
    return material


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], dict]:
    return load


@pytest.fixture(scope="session")
def context() -> RoundContext:
    return RoundContext(31337, "0x" + "c0" * 20, 7, 9)


@pytest.fixture(scope="session")
def seeded() -> Callable[[int], Rand]:
    """Repeatable randomness: seeded(1)(32) are the first 32 bytes of stream 1."""

    def source(seed: int) -> Rand:
        count = 0

        def rand(length: int) -> bytes:
            nonlocal count
            count += 1
            return hashlib.shake_256(b"%d,%d" % (seed, count)).digest(length)

        return rand

    return source
