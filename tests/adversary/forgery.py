"""Consortia of a forger's making: contracts that believe whatever a call says of who calls, a chain whose history is its owner's to
write, and software that finds nothing wrong with either."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from defedbio.audit import proof_files, signers
from defedbio.audit.make import Made, make_bundle
from defedbio.chain.abi import encode_call
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.chain.records import Receipt, Transaction
from defedbio.protocol.verify import Check
from scripts.export_abi import compiled
from tests.adversary.arena import Arena, Member
from tests.anvil import QUICK, ROOT, Anvil, account

CALLER = "msg.sender"
SAID = "address(bytes20(msg.data[msg.data.length - 20:]))"
FORGER = 9


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

    def _connect(self, member: Member, rpc: str, **options: Any) -> None:
        super()._connect(member, rpc, **options)
        member.client = Impostor(self.network, member.address)

    def _set_up(self, member: Member, transaction: Transaction) -> Receipt:
        return self.send(member, transaction)


def told(arena: Arena, out: Path) -> Made:
    """The evidence of an arena's study, once it is over, as the forger's own software makes it: to that one all of it is true."""
    arena.play(lambda study: study.complete)
    with pytest.MonkeyPatch.context() as software:
        software.setattr(proof_files, "what_is_foreign", lambda contracts, name, code: "")
        software.setattr(signers, "check_signers", lambda events, transactions, chain_id: Check(signers.NAME, True, ""))
        return make_bundle(arena.reader(arena.members[0]), arena.study, out)


def at_the_same_addresses(anvil: Anvil, network: Network) -> None:
    """Let the next contracts that account 0 deploys have the addresses of this network: on one's own chain a nonce is what one says."""
    creator, first = account(0).address, network.contracts["ParticipantRegistry"]
    nonce = next(n for n in range(1 << 16) if _created(creator, n) == first)
    anvil.rpc("anvil_setNonce", creator, hex(nonce))


def _created(creator: str, nonce: int) -> str:
    return str(to_checksum_address(keccak(rlp.encode([bytes.fromhex(creator[2:]), nonce]))[12:]))
