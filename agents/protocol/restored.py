"""A journal that was restored from a backup does not know what this organisation did after the backup was made (C7).

What it did may not be on the chain either: an update or a share can have left the node before its transaction was mined. So nothing of
the rounds that began before the restore is taken up again: the node sends no update in them, reveals none, and releases no share. What is
public, and the same whoever computes it, it goes on with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from defedbio.protocol.catalogue import RESTORED, kind_of
from defedbio.protocol.journal import Journal
from defedbio.protocol.memory import Memory


@dataclass(frozen=True)
class Restored:
    """When the backup was made, in unix seconds, and the newest round that had begun anywhere when the node first asked the chain since."""

    made_at: int
    through: int


def mark(journal: Journal, made_at: int) -> None:
    """Say in a journal from a backup of that time that it is one. The chain is asked again, and rounds that an earlier restore sat out
    stay so."""
    memory = Memory(journal)
    before = memory.get(RESTORED) or {}
    memory.put(RESTORED, None, {"made_at": made_at, "at_least": max(int(before.get(name, 0)) for name in ("through", "at_least"))})


def restored(journal: Journal, newest_round: Callable[[], int], home_made_at: int | None = None) -> Restored | None:
    """What the journal says of its restore; None for one that never was restored. A journal that says nothing, in a home from a backup of
    `home_made_at`, was begun anew since: its like that is lost may have been written to after the backup.

    Asked for the first time since a restore, the chain says which rounds began before: `newest_round` is the number of the newest, of
    whichever study, at the tip of the chain. A node that was killed on the way asks again, and then a later one can only be added. A chain
    that is behind, or was reorganised, does not say less than the journal knows.
    """
    memory = Memory(journal)
    record = memory.get(RESTORED) or ({"made_at": home_made_at} if home_made_at is not None else None)
    if record is None:
        return None
    if "through" not in record:
        record["through"] = max(newest_round(), int(record.get("at_least", 0)), _newest_known(journal))
        memory.put(RESTORED, None, record)
    return Restored(int(record["made_at"]), int(record["through"]))


def _newest_known(journal: Journal) -> int:
    kinds = ((key, kind_of(key)) for key in journal.sizes())
    return max((kind.round_of(key) or 0 for key, kind in kinds if kind is not None), default=0)
