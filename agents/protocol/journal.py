"""What a node must still know after it was killed: one SQLite file a study, every write durable before it returns."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from defedbio.errors import InvalidInput


class Journal:
    """A durable map from text keys to bytes or JSON values.

    Writes are committed with SQLite's `synchronous=FULL`, so a value that `put` returned for survives SIGKILL and power loss. One
    process at a time may hold a journal: two agents of one organisation on one study would each commit their own update.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the journal.

        Raises:
            InvalidInput: if another process holds it or it is not a journal.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT, 0o600))
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute("CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
            self._db.execute("COMMIT")
        except sqlite3.OperationalError:
            self._db.close()
            raise InvalidInput(
                f"the journal {path.name} is in use", "another agent of this organisation runs this study: stop it first"
            ) from None
        except sqlite3.DatabaseError:
            self._db.close()
            raise InvalidInput(f"{path} is not a journal", "restore it from a backup; never delete it while a round runs") from None

    def get_bytes(self, key: str) -> bytes | None:
        with self._lock:
            row = self._db.execute("SELECT value FROM record WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put_bytes(self, key: str, value: bytes) -> None:
        with self._lock:
            self._db.execute("INSERT INTO record VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))

    def get(self, key: str) -> dict[str, Any] | None:
        raw = self.get_bytes(key)
        return None if raw is None else dict(json.loads(raw))

    def put(self, key: str, value: dict[str, Any]) -> None:
        self.put_bytes(key, json.dumps(value, sort_keys=True).encode())

    def put_once(self, key: str, value: dict[str, Any]) -> dict[str, Any]:
        """Write unless the key is there already; return what the journal then holds."""
        with self._lock:
            self._db.execute(
                "INSERT INTO record VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (key, json.dumps(value, sort_keys=True).encode())
            )
        kept = self.get(key)
        assert kept is not None
        return kept

    def delete(self, key: str) -> None:
        with self._lock:
            self._db.execute("DELETE FROM record WHERE key = ?", (key,))

    def close(self) -> None:
        with self._lock:
            self._db.close()
