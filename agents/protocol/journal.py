"""What a node must still know after it was killed: one SQLite file a study, every write durable before it returns."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from defedbio.config import private_folder, sync_folder
from defedbio.errors import InternalFault, InvalidInput

READERS_SECONDS = 60.0
DISK_HINT = "see to its disk (is it full?), then start again: it goes on where its journal ends"


class Journal:
    """A durable map from text keys to bytes or JSON values.

    Writes are committed with SQLite's `synchronous=EXTRA` and the names of file and folder are synced, so a value that `put` returned for
    survives SIGKILL and a cut of power. One process at a time may hold a journal (`held`): two agents of one organisation on one study
    would each commit their own update. Others may read it meanwhile (`snapshot`), and a write waits until they have. What the disk refuses
    is told as InvalidInput by every method: nothing was written then. What is deleted is overwritten with zeros, and the file shrinks by
    it.
    """

    def __init__(self, path: Path, declared: Callable[[str], bool] = lambda key: True) -> None:
        """Open or create the journal. It takes entries of `declared` keys alone: writing another raises InternalFault.

        Raises:
            InvalidInput: if another process holds it, it is not a journal or the disk refuses it.
        """
        self._name, self._declared = path.name, declared
        self._lock = threading.Lock()
        try:
            private_folder(path.parent)
            # SQLite gives what it makes beside the file the file's own mode.
            os.close(os.open(path, os.O_CREAT, 0o600))
            sync_folder(path.parent)
        except OSError as error:
            raise InvalidInput(f"the journal {path} cannot be opened: {error.strerror}", DISK_HINT) from None
        self._holding = ExitStack()
        self._holding.enter_context(held(path))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=READERS_SECONDS)
        try:
            self._db.execute("PRAGMA synchronous=EXTRA")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute("PRAGMA auto_vacuum=FULL")
            self._db.execute("PRAGMA journal_mode=TRUNCATE")  # making and removing its own journal each time is slower
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute("CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._db.close()
            self._holding.close()
            raise _unopened(path, error) from None

    def get_bytes(self, key: str) -> bytes | None:
        row = self._execute("SELECT value FROM record WHERE key = ?", key)
        return None if row is None else bytes(row[0])

    def put_bytes(self, key: str, value: bytes) -> None:
        self._check(key)
        self._execute("INSERT INTO record VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)

    def get(self, key: str) -> dict[str, Any] | None:
        raw = self.get_bytes(key)
        return None if raw is None else dict(json.loads(raw))

    def put(self, key: str, value: dict[str, Any]) -> None:
        self.put_bytes(key, json.dumps(value, sort_keys=True).encode())

    def put_once(self, key: str, value: dict[str, Any]) -> dict[str, Any]:
        """Write unless the key is there already; return what the journal then holds."""
        return dict(json.loads(self.put_bytes_once(key, json.dumps(value, sort_keys=True).encode())))

    def put_bytes_once(self, key: str, value: bytes) -> bytes:
        """The same of bytes."""
        self._check(key)
        self._execute("INSERT INTO record VALUES (?, ?) ON CONFLICT (key) DO NOTHING", key, value)
        kept = self.get_bytes(key)
        assert kept is not None
        return kept

    def delete(self, *keys: str) -> None:
        """Remove these entries, all or none; one that is not there is no error."""
        if keys:
            self._execute("DELETE FROM record WHERE key IN (SELECT value FROM json_each(?))", json.dumps(keys))

    def sizes(self) -> Mapping[str, int]:
        """Bytes of every entry's value, by key."""
        return dict(self._rows("SELECT key, length(value) FROM record"))

    def check(self) -> None:
        """Raises InvalidInput if the file is damaged."""
        if (found := self._execute("PRAGMA quick_check(1)")) != ("ok",):
            raise InvalidInput(f"the journal {self._name} is damaged: {found[0] if found else 'it cannot be read'}", "use another backup")

    def close(self) -> None:
        with self._lock:
            self._db.close()
            self._holding.close()

    def _check(self, key: str) -> None:
        if not self._declared(key):
            raise InternalFault(f"the journal {self._name} takes no entry {key!r}: no kind declares it")

    def _execute(self, statement: str, *values: str | bytes) -> tuple[Any, ...] | None:
        return next(iter(self._rows(statement, *values)), None)

    def _rows(self, statement: str, *values: str | bytes) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise InvalidInput(f"the journal {self._name} cannot be used: {error}", DISK_HINT) from None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep every other process from holding the journal. SQLite's own locks would keep out readers as well, so the lock is on a file beside
    it, which ends with the process however that ends.

    Raises:
        InvalidInput: if another process holds it, or the disk refuses.
    """
    try:
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInput(f"the journal {path} cannot be opened: {error.strerror}", DISK_HINT) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "another process of this organisation works with it: stop it first"
            raise InvalidInput(f"the journal {path.name} is in use", hint) from None
        yield
    finally:
        os.close(descriptor)


def snapshot(path: Path) -> bytes:
    """The journal's file as of one moment between two writes, whoever holds it: SQLite's online backup.

    Raises:
        InvalidInput: if it is no journal or cannot be read.
    """
    try:
        # Not read-only: what a killed process left half-written is undone before it is read.
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=READERS_SECONDS)
        with closing(source), closing(sqlite3.connect(":memory:")) as copy:
            source.backup(copy, sleep=0.01)
            return copy.serialize()
    except sqlite3.Error as error:
        raise InvalidInput(f"the journal {path} cannot be read: {error}", DISK_HINT) from None


def _unopened(path: Path, error: sqlite3.Error) -> InvalidInput:
    if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return InvalidInput(f"the journal {path.name} is in use", "another program reads it: let it end, then start again")
    if isinstance(error, sqlite3.OperationalError):
        return InvalidInput(f"the journal {path} cannot be opened: {error}", DISK_HINT)
    return InvalidInput(f"{path} is not a journal", "restore it from a backup; never delete it while a round runs")
