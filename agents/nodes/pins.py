"""Which study of a home keeps which blob: the own IPFS node holds a pin once, however many studies rest on it.

A claim is durable before the blob is pinned, and goes in the same write in which the blob is unpinned. In between two agents of a home wait
for each other, so that neither unpins what the other has just begun to keep. A process that is killed leaves at most a claim of what is not
pinned, or a pin whose claim is dropped when the same is done again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from defedbio.config import JOURNAL, Home, private_folder, sync_folder
from defedbio.errors import BlobUnavailable, InvalidInput, StoreUnreachable
from defedbio.ipfs.cid import cid_of
from defedbio.ipfs.store import BlobStore, NodeIdentity
from defedbio.nodes.watching.probes import let_go_record

WAIT_SECONDS = 60.0
STRAYS_AT_ONCE = 100
PAUSE_SECONDS = 0.2  # SQLite looks at a lock again every tenth of a second
CLEAN_HINT = "run `defedbio storage clean` for each of them, or delete the folders of those that are over"
DELETE_HINT = "is the disk full? If it is damaged, delete it: each study tells again what it keeps, when it runs or at `storage clean`"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS claim (cid TEXT NOT NULL, study TEXT NOT NULL, PRIMARY KEY (cid, study)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS told (study TEXT PRIMARY KEY) WITHOUT ROWID",
)


class Pins:
    """The claims of a home's studies, each named by its folder. A study whose folder is here and that has not `told` all that it keeps may
    keep anything: until it has, nothing is unpinned for another.

    Every method raises InvalidInput where the disk refuses, and StoreUnreachable where another process waits for the IPFS node.
    """

    def __init__(self, home: Home) -> None:
        self._home, self._path = home, home.pins

    def claim(self, study: str, cids: Iterable[str]) -> bool:
        """Say that the study keeps these blobs, before they are pinned; whether any of them is new."""
        with self._writing() as database:
            return database.executemany("INSERT OR IGNORE INTO claim VALUES (?, ?)", [(cid, study) for cid in cids]).rowcount > 0

    def withdraw(self, study: str, cid: str) -> None:
        """Take a claim back whose blob could not be pinned."""
        with self._writing() as database:
            database.execute("DELETE FROM claim WHERE cid = ? AND study = ?", (cid, study))

    def release(self, study: str, cid: str, unpin: Callable[[str], None]) -> None:
        """The study needs the blob no longer: unpin it, if it had claimed it and no other study may need it."""
        with self._writing() as database:
            claims = {name for (name,) in database.execute("SELECT study FROM claim WHERE cid = ?", (cid,))}
            if study not in claims:
                return
            # INVARIANT: unpinned before the claim goes, and while nobody else can claim: else a kill would leave a pin that nobody knows
            # of, and another agent's new pin could be taken away.
            if claims == {study} and not self._untold(database) - {study}:
                unpin(cid)
            database.execute("DELETE FROM claim WHERE cid = ? AND study = ?", (cid, study))

    def tell(self, study: str, cids: Iterable[str]) -> None:
        """From now on the study's claims are all that it keeps, with these."""
        with self._writing() as database:
            database.executemany("INSERT OR IGNORE INTO claim VALUES (?, ?)", [(cid, study) for cid in cids])
            database.execute("INSERT OR IGNORE INTO told VALUES (?)", (study,))

    def has_told(self, study: str) -> bool:
        with self._writing() as database:
            return database.execute("SELECT 1 FROM told WHERE study = ?", (study,)).fetchone() is not None

    def untold(self) -> frozenset[str]:
        """The studies with a folder here of which nobody knows what they keep."""
        with self._writing() as database:
            return self._untold(database)

    def claimed(self) -> frozenset[str]:
        """All that studies with a folder here keep."""
        with self._writing() as database:
            return self._claimed(database)

    def drop_strays(self, cids: Iterable[str], unpin: Callable[[str], None]) -> int:
        """Unpin these, except what a study has claimed meanwhile; gives how many.

        Raises:
            InvalidInput: while a study has not told what it keeps.
        """
        listed, dropped = sorted(set(cids)), 0
        for start in range(0, len(listed), STRAYS_AT_ONCE):
            if start:
                time.sleep(PAUSE_SECONDS)  # an agent that waits to pin something gets its turn
            with self._writing() as database:
                if untold := self._untold(database):
                    raise InvalidInput(f"nobody knows what studies {', '.join(sorted(untold))} keep", CLEAN_HINT)
                claimed = self._claimed(database)
                for cid in listed[start : start + STRAYS_AT_ONCE]:
                    if cid not in claimed:
                        unpin(cid)
                        dropped += 1
        return dropped

    def _claimed(self, database: sqlite3.Connection) -> frozenset[str]:
        here = self._home.study_folders()
        return frozenset(cid for cid, study in database.execute("SELECT cid, study FROM claim") if study in here)

    def _untold(self, database: sqlite3.Connection) -> frozenset[str]:
        told = {study for (study,) in database.execute("SELECT study FROM told")}
        here = self._home.study_folders().items()
        return frozenset(study for study, path in here if study not in told and let_go_record(path / JOURNAL) is None)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        database: sqlite3.Connection | None = None
        try:
            if not self._path.exists():
                private_folder(self._path.parent)
                os.close(os.open(self._path, os.O_CREAT, 0o600))
                sync_folder(self._path.parent)
            database = sqlite3.connect(self._path, isolation_level=None, timeout=WAIT_SECONDS)
            database.execute("PRAGMA synchronous=EXTRA")
            database.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                database.execute(table)
            yield database
            database.execute("COMMIT")
        except OSError as error:
            raise InvalidInput(
                f"{self._path} cannot be written: {error.strerror}", "is the disk full, or the folder another user's?"
            ) from None
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise StoreUnreachable(f"another process of this home is at {self._path.name}", "its IPFS node may be slow") from None
            raise InvalidInput(f"{self._path} cannot be used: {error}", DELETE_HINT) from None
        finally:
            if database is not None:
                database.close()  # what was not committed is undone


@dataclass
class Claims:
    """One study's part of `Pins`."""

    pins: Pins
    study: str
    _told: bool = False

    def told(self) -> bool:
        self._told = self._told or self.pins.has_told(self.study)
        return self._told

    def tell(self, cids: Iterable[str]) -> None:
        self.pins.tell(self.study, cids)


class ClaimingStore:
    """A BlobStore that claims for a study what it pins, and unpins nothing that another study keeps."""

    def __init__(self, store: BlobStore, claims: Claims) -> None:
        self._store, self._pins, self._study = store, claims.pins, claims.study

    def add(self, data: bytes) -> str:
        self._pins.claim(self._study, [cid_of(data)])
        return self._store.add(data)

    def get(self, cid: str, max_bytes: int, timeout: float, sources: Sequence[str] = ()) -> bytes:
        return self._store.get(cid, max_bytes, timeout, sources)

    def pin(self, cid: str, timeout: float = 60.0, sources: Sequence[str] = ()) -> None:
        new = self._pins.claim(self._study, [cid])
        try:
            self._store.pin(cid, timeout, sources)
        except BlobUnavailable:
            if new:
                self._pins.withdraw(self._study, cid)
            raise

    def unpin(self, cid: str) -> None:
        self._pins.release(self._study, cid, self._store.unpin)

    def is_pinned(self, cid: str) -> bool:
        return self._store.is_pinned(cid)

    def pinned(self) -> list[str]:
        return self._store.pinned()

    def connect(self, multiaddr: str) -> None:
        self._store.connect(multiaddr)

    def reserve(self, multiaddrs: Sequence[str]) -> None:
        self._store.reserve(multiaddrs)

    def identity(self) -> NodeIdentity:
        return self._store.identity()

    def peers(self) -> list[str]:
        return self._store.peers()

    def presence(self, cid: str, peer_id: str, timeout: float = 10.0) -> bool:
        return self._store.presence(cid, peer_id, timeout)

    def collect_garbage(self) -> None:
        self._store.collect_garbage()


def claims_of(home: Home, folder: Path) -> Claims:
    """The claims of the study whose files are in this folder of the home."""
    return Claims(Pins(home), folder.name)
