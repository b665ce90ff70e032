"""What the recorded events cost, and when they happened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from defedbio.chain.client import ChainClient
from defedbio.chain.events import Event, EventMeta
from defedbio.errors import ChainUnreachable


@dataclass(frozen=True)
class TransactionCost:
    """`timestamp` is unix seconds, `gas_price` wei per gas, `contract` the Solidity name of the one whose event came first."""

    tx_hash: bytes
    block: int
    timestamp: int
    sender: str
    contract: str
    events: tuple[str, ...]
    gas_used: int
    gas_price: int

    @property
    def cost(self) -> int:
        """Fee paid, in wei."""
        return self.gas_used * self.gas_price


def block_time(client: ChainClient, where: Event | EventMeta) -> int:
    """Unix seconds of the block that holds an event; remembered by block hash."""
    meta = where.meta if isinstance(where, Event) else where
    return client.block_by_hash(meta.block_hash).timestamp


def gas_by_transaction(client: ChainClient, events: Iterable[Event]) -> tuple[TransactionCost, ...]:
    """What each transaction behind the events used and paid, in chain order.

    Raises:
        ChainUnreachable: if a transaction is no longer on the chain (reorganised) or the node does not answer.
    """
    grouped: dict[bytes, list[Event]] = {}
    for event in sorted(events, key=lambda e: (e.meta.block, e.meta.log_index)):
        grouped.setdefault(event.meta.tx_hash, []).append(event)
    found = []
    for tx_hash, group in grouped.items():
        receipt = client.receipt(tx_hash)
        if receipt is None:
            raise ChainUnreachable(f"the node has no receipt of 0x{tx_hash.hex()}", "the chain was reorganised; read the events again")
        meta = group[0].meta
        found.append(
            TransactionCost(
                tx_hash=tx_hash,
                block=receipt.block,
                timestamp=client.block_by_hash(receipt.block_hash).timestamp,
                sender=receipt.sender,
                contract=client.network.contracts.name_of(meta.contract) or meta.contract,
                events=tuple(type(event).__name__ for event in group),
                gas_used=receipt.gas_used,
                gas_price=receipt.gas_price,
            )
        )
    return tuple(found)
