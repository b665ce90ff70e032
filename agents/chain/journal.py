"""Where signed transactions are written down before they are sent (C2)."""

from __future__ import annotations

import copy
from typing import Any, Protocol


class TxJournal(Protocol):
    """Entries by the name of their effect. An entry stays after success: it is what makes its key idempotent for ever."""

    def get(self, key: str) -> dict[str, Any] | None: ...

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Write or replace; durable when it returns. `entry` is JSON-able."""
        ...

    def delete(self, key: str) -> None:
        """Remove; a key that is not there is no error."""
        ...


class MemoryJournal:
    """A journal that lasts as long as the process: for one-shot commands and tests."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        return copy.deepcopy(self._entries.get(key))

    def put(self, key: str, entry: dict[str, Any]) -> None:
        self._entries[key] = copy.deepcopy(entry)

    def delete(self, key: str) -> None:
        self._entries.pop(key, None)
