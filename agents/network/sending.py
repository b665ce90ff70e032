"""The one way by which a transaction leaves this node: reported as a phase, with its gas."""

from __future__ import annotations

from typing import Any, Protocol

from defedbio.chain.records import Head, Receipt, Transaction
from defedbio.report import Reporter


class Sends(Protocol):
    """What sends for an account: `chain.client.ChainClient`, or what stands for it."""

    def send(self, transaction: Transaction) -> Receipt: ...

    def nonce(self, address: str) -> int: ...

    def block(self, number: int) -> Head | None: ...


def send(chain: Sends, report: Reporter, transaction: Transaction, **facts: Any) -> Receipt:
    """Send it once (C2), within a phase of its name; `facts` stand in the phase's records.

    Raises:
        ContractRefused, ChainUnreachable, InvalidInput: as `ChainClient.send`.
    """
    with report.phase(transaction.phase, **facts) as phase:
        receipt = chain.send(transaction)
        phase.gas = receipt.gas_used
    return receipt
