"""A journal that was restored from a backup does not know what this organisation did after the backup was made (C7).

What it did may not be on the chain either: an update or a share can have left the node before its transaction was mined. So nothing of
the rounds that began before the restore is taken up again: the node sends no update in them, reveals none, and releases no share. What is
public, and the same whoever computes it, it goes on with.

Which rounds those are, the chain says, and an Ethereum node that is behind hears of too few. So the organisation has a transaction of its
own mined that it signs after the restore, and counts the rounds of the chain that holds it: a round that began before it was signed was in
a block by then, and no block before that one can hold the transaction. Until that is done, every round counts as one of those.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from defedbio.chain.records import Head, Receipt
from defedbio.crypto.numbers import Rand
from defedbio.errors import ChainUnreachable
from defedbio.protocol.catalogue import RESTORED, kind_of
from defedbio.protocol.journal import Journal
from defedbio.protocol.memory import Memory
from defedbio.report import Reporter


@dataclass(frozen=True)
class Restored:
    """When the backup was made, in unix seconds, and the newest round, of whichever study, that had begun before the restore. That is None
    until the chain has shown it: then it may be any."""

    made_at: int
    through: int | None


class Chain(Protocol):
    """What a chain has to do to show that it is not behind: `chain.client.ChainClient`, or what stands for it."""

    def syncing(self) -> bool: ...

    def self_transfer(self, key: str) -> Receipt: ...

    def receipt(self, tx_hash: bytes) -> Receipt | None: ...

    def head(self) -> Head: ...


class Rounds(Protocol):
    def round_count(self, block: int | None = None) -> int: ...


def mark(journal: Journal, made_at: int) -> None:
    """Say in a journal from a backup of that time that it is one. The chain is asked again, and rounds that an earlier restore sat out
    stay so."""
    memory = Memory(journal)
    before = memory.get(RESTORED) or {}
    memory.put(RESTORED, None, {"made_at": made_at, "at_least": max(int(before.get(name, 0)) for name in ("through", "at_least"))})


def restored(journal: Journal, home_made_at: int | None = None) -> Restored | None:
    """What the journal says of its restore; None for one that never was restored. A journal that says nothing, in a home from a backup of
    `home_made_at`, was begun anew since: its like that is lost may have been written to after the backup."""
    memory = Memory(journal)
    record = memory.get(RESTORED)
    if record is None:
        if home_made_at is None:
            return None
        record = {"made_at": home_made_at}
        memory.put(RESTORED, None, record)
    return Restored(int(record["made_at"]), int(record["through"]) if "through" in record else None)


@dataclass
class Settling:
    """Finds out once which rounds began before the journal was restored, and journals it. A node that is killed on the way goes on where it
    was, and then a later round can only be added. `settled` is told the block that holds the own transaction."""

    journal: Journal
    chain: Chain
    rounds: Rounds
    report: Reporter
    confirmations: int
    rand: Rand = os.urandom
    settled: Callable[[int], None] = lambda block: None
    _mined: Receipt | None = None

    def attempt(self) -> int | None:
        """The newest round that had begun. None while the own transaction is not yet as deep in the chain as counts (C1).

        Raises:
            ChainUnreachable: while the Ethereum node is behind, or does not answer. InvalidInput: where the account has no funds.
        """
        if self.chain.syncing():
            raise ChainUnreachable(
                "the Ethereum node is still syncing, and this home is from a backup: which rounds began before, only a node that has "
                "caught up can tell",
                "let it catch up; until then this node does nothing",
            )
        if self._mined is None:
            self._mined = self._transfer()
        # By number: of several machines behind one endpoint, one that lacks this block cannot answer.
        newest = self.chain.head().number
        if newest < self._mined.block + self.confirmations:
            return None
        count = self.rounds.round_count(newest)
        if self.chain.receipt(self._mined.tx_hash) != self._mined:
            self._mined = None  # a reorganisation took it back
            return None
        through = self._counted(count)
        self.settled(self._mined.block)
        return through

    def _transfer(self) -> Receipt:
        memory = Memory(self.journal)
        record = memory.get(RESTORED) or {}
        if "transfer" not in record:
            # INVARIANT: a name that no backup knows, so that what is mined under it was signed after the restore.
            record["transfer"] = self.rand(16).hex()
            memory.put(RESTORED, None, record)
        try:
            with self.report.phase("settle") as phase:
                mined = self.chain.self_transfer(_key(record["transfer"]))
                phase.gas = mined.gas_used
        except ChainUnreachable as error:
            raise ChainUnreachable(
                f"{error.message}: this home is from a backup, and while its Ethereum node does not show its own transaction, it may be "
                "behind",
                "let it catch up; until then this node does nothing",
            ) from None
        return mined

    def _counted(self, count: int) -> int:
        """Journal the count; a chain that was reorganised does not say less than the journal knows."""
        memory = Memory(self.journal)
        record = memory.get(RESTORED) or {}
        record["through"] = max(count, int(record.get("at_least", 0)), _newest_known(self.journal))
        key = _key(record.pop("transfer"))
        memory.put(RESTORED, None, record)
        memory.drop([key])
        return int(record["through"])


def _key(name: str) -> str:
    return f"restored/{name}"


def _newest_known(journal: Journal) -> int:
    kinds = ((key, kind_of(key)) for key in journal.sizes())
    return max((kind.round_of(key) or 0 for key, kind in kinds if kind is not None), default=0)
