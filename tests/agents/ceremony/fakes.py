"""A machine that is quick and makes no key, and holders on a real chain around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from defedbio.ceremony.holder import Holder
from defedbio.ceremony.machine import Awaited, Terms
from defedbio.ceremony.taking_part import terms_of
from defedbio.chain.client import ChainClient
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.threshold import KeyShare
from defedbio.errors import BadTranscript, InvalidInput
from defedbio.network.connection import Connection
from defedbio.protocol.memory import open_journal
from defedbio.report import Reporter
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

NAMES = ("B1", "R1", "R5")
MAGIC = b"FAKE"
MESSAGE_BYTES = 36


class FakeMachine:
    """Under the port's promises: a message is a hash of seed, terms and posts; one that does not begin as it should is wrong."""

    def __init__(self, terms: Terms, position: int, seed: bytes, arithmetic: Any = None) -> None:
        self.terms, self.position, self.seed = terms, position, seed

    def awaited(self, posts: Any) -> Awaited:
        for step in posts:
            for position, message in enumerate(step):
                if message[:4] != MAGIC:
                    raise BadTranscript(f"holder {position + 1}: no message", peer=self.terms.holders[position])
        if len(posts) == len(NAMES):
            return Awaited("R6", ())
        return Awaited(NAMES[len(posts)], (MESSAGE_BYTES,) * (self.terms.threshold if posts else len(self.terms.holders)))

    def message(self, posts: Any) -> bytes:
        if self.position >= len(self.awaited(posts).sizes):
            raise InvalidInput("nothing to post")
        return MAGIC + keccak256(self.seed + repr(self.terms).encode() + said(posts))

    def transcript(self, posts: Any) -> Any:
        n = int.from_bytes(b"\xc5" + keccak256(said(posts)) * 7 + bytes(30) + b"\x01", "big")
        raw = b"transcript of " + said(posts)
        key = SimpleNamespace(public_key=SimpleNamespace(n=n, modulus_bytes=256))
        return SimpleNamespace(hash=keccak256(raw), to_bytes=lambda: raw, key=key)

    def share(self, posts: Any) -> KeyShare:
        return KeyShare(self.position + 1, int.from_bytes(keccak256(self.seed + said(posts)), "big"))


def said(posts: Any) -> bytes:
    return keccak256(b"".join(message for step in posts for message in step))


@dataclass
class Party:
    """An organisation: `kept` are its journal and what else is in its home."""

    client: ChainClient
    store: MemoryStore
    home: Path
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def connection(self) -> Connection:
        return Connection(self.client, self.store, Reporter(self.records.append))

    @property
    def seed(self) -> bytes:
        return keccak256(self.client.address.encode())

    def holder(self, ceremony: int, make: Callable[..., Any] = FakeMachine, connection: Connection | None = None) -> Holder:
        """This organisation in the ceremony, from what its home has."""
        connection = connection or self.connection
        terms = terms_of(connection, ceremony)
        self.home.mkdir(exist_ok=True)
        (self.home / "seed.json").touch()
        journal = open_journal(self.home / "journal.sqlite")
        position = terms.holders.index(self.client.address)
        return Holder(connection, terms, position, self.home, journal, make, self.seed, self.share_file, "password")

    def share_file(self, epoch: int) -> Path:
        return self.home / f"share-{epoch}.json"


__all__ = ["FakeMachine", "MemoryNetwork", "Party"]
