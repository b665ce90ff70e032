"""A journal that was restored from a backup does not know what this organisation did after the backup was made (C7).

What it did may not be on the chain either: an update or a share can have left the node before its transaction was mined. So nothing of
the rounds that began before the restore is taken up again: the node sends no update in them, reveals none, and releases no share. What is
public, and the same whoever computes it, it goes on with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from defedbio.protocol.catalogue import RESTORED
from defedbio.protocol.journal import Journal
from defedbio.protocol.memory import Memory


@dataclass(frozen=True)
class Restored:
    """When the backup was made, in unix seconds, and the newest round that had begun anywhere when the node first asked the chain since."""

    made_at: int
    through: int


def mark(journal: Journal, made_at: int) -> None:
    """Say in a journal from a backup of that time that it is one. What an earlier restore said is void: this one is later."""
    Memory(journal).put(RESTORED, None, {"made_at": made_at})


def restored(journal: Journal, newest_round: Callable[[], int]) -> Restored | None:
    """What the journal says of its restore; None for one that never was restored.

    Asked for the first time since a restore, the chain says which rounds began before: `newest_round` is the number of the newest, of
    whichever study, at the tip of the chain. A node that was killed on the way asks again, and then a later one can only be added.
    """
    memory = Memory(journal)
    record = memory.get(RESTORED)
    if record is None:
        return None
    if "through" not in record:
        record["through"] = newest_round()
        memory.put(RESTORED, None, record)
    return Restored(int(record["made_at"]), int(record["through"]))
