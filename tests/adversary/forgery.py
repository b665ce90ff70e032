"""A consortium that one account plays: contracts of the forger's own, which believe whatever a call says of who calls."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

from defedbio.chain.abi import encode_call
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.chain.records import Receipt, Transaction
from scripts.export_abi import compiled
from tests.adversary.arena import Arena, Member
from tests.anvil import QUICK, ROOT, account

CALLER = "msg.sender"
SAID = "address(bytes20(msg.data[msg.data.length - 20:]))"
FORGER = 9


@cache
def gullible(folder: Path) -> dict[str, dict[str, Any]]:
    """The contracts as they are, but that who calls is what the last twenty bytes of the call say; compiled in this empty folder."""
    for path in (ROOT / "contracts").rglob("*.sol"):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text("utf-8").replace(CALLER, SAID), "utf-8")
    shutil.copy(ROOT / "brownie-config.yaml", folder)
    shutil.copytree(ROOT / "node_modules" / "@openzeppelin", folder / "node_modules" / "@openzeppelin")
    return compiled(folder)


class Impostor(ChainClient):
    """Signs with the forger's account and acts as somebody else, whose key it has not."""

    def __init__(self, network: Network, victim: str) -> None:
        super().__init__(network.rpc, network, account(FORGER), options=QUICK)
        self.victim = victim

    def send(self, transaction: Transaction) -> Receipt:
        call = transaction.call
        data = encode_call(call) + bytes.fromhex(self.victim.removeprefix("0x"))
        return self._sending().send(transaction.key, self.network.contracts[call.contract], data, 0)


class ForgedArena(Arena):
    """The arena on contracts of the forger: every organisation's node is there, and none of their accounts signs anything."""

    def _connect(self, member: Member) -> None:
        super()._connect(member)
        member.client = Impostor(self.network, member.address)
