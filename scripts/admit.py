"""Vote to admit a registered candidate.

brownie run admit --network NAME         with DEFEDBIO_CANDIDATE=0x…
brownie run admit main 0x… --network NAME

The sender and the network file are those of scripts/deploy.py.
"""

from __future__ import annotations

from typing import Any

from scripts.chainlib import contract, option, sender


def main(candidate: str | None = None) -> None:
    address = option("CANDIDATE", candidate)
    registry = contract("ParticipantRegistry")
    admit(registry, address, sender())
    print(f"{address} is a member" if registry.isMember(address) else f"voted for {address}; more members must")


def admit(registry: Any, candidate: str, voter: Any) -> Any:
    """Cast one vote; the transaction."""
    return registry.voteToAdmit(candidate, {"from": voter})
