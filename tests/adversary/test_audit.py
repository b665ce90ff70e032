"""Evidence that somebody made up: what holds it against itself only is what it was made to pass."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from defedbio.audit.against import Against
from defedbio.audit.bundle import STATE
from defedbio.audit.check import check_bundle
from defedbio.audit.make import Made, make_bundle
from defedbio.audit.verdict import verdict_of
from defedbio.chain.abi import encode_call
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.network import Contracts, Network
from defedbio.chain.values import Profile
from defedbio.client import Client
from defedbio.errors import WrongChain
from defedbio.protocol.verify import Check
from tests.adversary.arena import Arena, Member, opened
from tests.adversary.forgery import FORGER, ForgedArena, at_the_same_addresses, gullible, told
from tests.adversary.frame import Attack
from tests.agents.audit.tampered import forged
from tests.anvil import ACCOUNTS, ROOT, Anvil, account, deployed_on, running_anvil


@pytest.fixture(scope="module")
def gullible_contracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return gullible(tmp_path_factory.mktemp("forger"))


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Anvil]:
    """A chain of the forger's own, with the number of the true one."""
    with running_anvil() as anvil:
        yield anvil


def everyone() -> list[str]:
    return [account(i).address for i in range(ACCOUNTS)]


@contextmanager
def offline() -> Iterator[None]:
    """Whoever opens a connection in the block fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a check opened a connection"))
        yield


def failed(bundle: Path, against: Against) -> Check:
    """The first check that fails."""
    return next(check for check in check_bundle(bundle, against) if not check.ok)


def evidence_of(arena: Arena, out: Path) -> Made:
    arena.play(lambda study: study.complete)
    return make_bundle(arena.reader(arena.members[0]), arena.study, out)


def on_the_command_line(*arguments: object) -> tuple[int, list[str]]:
    """Exit code and lines of `defedbio audit check`."""
    argv = [sys.executable, "-m", "defedbio", "audit", "check", *map(str, arguments)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_contracts_of_ones_own_on_which_one_account_plays_all_companies(
    attack: Attack,
    make_arena: Callable[..., Arena],
    anvil: Anvil,
    gullible_contracts: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    attack.by("somebody with one account on the very chain that the auditor reads, member of nothing")
    theirs = deployed_on(anvil, gullible_contracts, everyone())
    (tmp_path / "forger").mkdir()
    with attack.sends("a bundle of a study on contracts of its own, in which it signed the acts of four companies, with its id"):
        with opened(ForgedArena(anvil, theirs, tmp_path / "forger")) as arena:
            bundle = told(arena, tmp_path / "forged")
            acts = [event for event in arena.events() if event.actor]
        signers = {anvil.rpc("eth_getTransactionByHash", "0x" + event.meta.tx_hash.hex())["from"] for event in acts}
        assert signers == {account(FORGER).address.lower()} and len({event.actor for event in acts}) == 4
        assert bundle.verdict == "verified", "the forger's own software is content"
    with attack.seen("by the contracts' code, whatever else the auditor brings; and by the first act that its own account did not sign"):
        for against in (Against(), Against(rpc=anvil.url, id=bundle.id), Against(network=theirs, rpc=anvil.url, id=bundle.id)):
            found = failed(bundle.path, against)
            assert found.name == "contracts" and "its code is foreign" in found.detail
        code, lines = on_the_command_line(bundle.path, "--rpc", anvil.url, "--id", bundle.id)
        assert code == 4 and lines[-1].startswith("NOT verified")
        assert lines[0] == "checked against your node, the id that you gave; which network it is of is the bundle's own word"
        (bundle.path / STATE).unlink()
        found = failed(forged(bundle.path), Against())
        assert found.name == "signers" and f"{account(FORGER).address} has signed it" in found.detail
    with attack.works("the evidence of the true consortium on that chain is verified"):
        arena = make_arena()
        made = evidence_of(arena, tmp_path / "true")
        assert verdict_of(check_bundle(made.path, Against(network=arena.network, rpc=anvil.url))) == "verified"
    with attack.unlearnt("who checks it and when: a check opens no connection, whatever the bundle holds"), offline():
        assert not all(check.ok for check in check_bundle(bundle.path))


@pytest.mark.long
def test_a_chain_of_ones_own_with_the_contracts_where_they_are(
    attack: Attack,
    make_arena: Callable[..., Arena],
    contracts: Network,
    elsewhere: Anvil,
    artefacts: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    attack.by("somebody with a chain of its own, on which it plays four companies with one account for each")
    with attack.sends("a bundle of a study on the released contracts, at the true ones' addresses and under the true chain id"):
        at_the_same_addresses(elsewhere, contracts)
        theirs = deployed_on(elsewhere, artefacts, everyone())
        assert theirs.contracts.addresses() == contracts.contracts.addresses() and theirs.chain_id == contracts.chain_id
        (tmp_path / "forger").mkdir()
        with opened(Arena(elsewhere, theirs, tmp_path / "forger")) as arena:
            bundle = evidence_of(arena, tmp_path / "forged")
    with attack.seen("as consistent in itself and no more, until a block's hash or a node of the true chain tells that it is made up"):
        for against in (Against(), Against(id=bundle.id), Against(network=contracts, id=bundle.id), Against(rpc=elsewhere.url)):
            assert verdict_of(check_bundle(bundle.path, against)) == "consistent in itself"
        code, lines = on_the_command_line(bundle.path, "--id", bundle.id)
        assert code == 7 and lines[-1].startswith("consistent in itself, as of block") and "network and chain are its own word" in lines[-1]
        report = (bundle.path / "report.html").read_text("utf-8")
        assert "consistent in itself, by the checks" in report and "Verdict: verified" not in report
        made = evidence_of(make_arena(), tmp_path / "true")
        assert failed(bundle.path, Against(network=contracts, rpc=contracts.rpc)).name == "chain"
        assert failed(bundle.path, Against(network=contracts, block=made.anchor_hash.hex())).name == "chain"
    with attack.works("the evidence of the true consortium is verified by the same means"):
        assert verdict_of(check_bundle(made.path, Against(network=contracts, rpc=contracts.rpc, id=made.id))) == "verified"
    with attack.unlearnt("who the auditor is: against a file and a block's hash a check opens no connection"), offline():
        assert not all(check.ok for check in check_bundle(bundle.path, Against(network=contracts, block=made.anchor_hash.hex())))


def test_a_network_file_that_names_contracts_of_the_forger(
    attack: Attack,
    arena: Arena,
    gullible_contracts: dict[str, dict[str, Any]],
    artefacts: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    attack.by("whoever hands out the network file of a consortium")
    theirs = deployed_on(arena.anvil, gullible_contracts, everyone())
    with attack.sends("a file with forged contracts, and one with the true contracts but for a manager that works with forged ones"):
        manager = deployed_on(arena.anvil, artefacts, everyone()).contracts.deployed["RoundManager"]
        mixed = Contracts(dict(arena.network.contracts.deployed) | {"RoundManager": manager})
        theirs.save(tmp_path / "forged.json")
        Network(arena.network.chain_id, arena.network.rpc, mixed).save(tmp_path / "mixed.json")
    with attack.seen("by every command before it reads or signs anything, with the contract's name and address"):
        for name, reason in (("forged.json", "its code is foreign"), ("mixed.json", "works with another")):
            with pytest.raises(WrongChain, match=reason):
                Client(tmp_path / "home", tmp_path / name).verify(1)
    with attack.works("with the true file, `verify` re-checks the true round"):
        arena.play(lambda study: study.complete)
        assert all(check.ok for check in arena.verify(1))
    with attack.unlearnt("any transaction of a member's: none was signed for the forger's contracts"):
        blocks = range(theirs.deploy_block, arena.members[0].client.head().number + 1)
        found = [arena.anvil.rpc("eth_getBlockByNumber", hex(number), True)["transactions"] for number in blocks]
        called = {transaction["to"] for block in found for transaction in block if transaction["to"]}
        assert called and not called & {address.lower() for address in (*theirs.contracts.addresses().values(), manager.address)}


def signed_for_no_chain(arena: Arena, member: Member) -> None:
    """A profile of the member's, in a transaction from before chains had ids."""
    call = ParticipantRegistry.register("again", Profile("spoiler", "", b"\1" * 32, "")).call
    nonce = int(arena.anvil.rpc("eth_getTransactionCount", member.address, "latest"), 16)
    fields = {"to": arena.network.contracts[call.contract], "data": encode_call(call), "nonce": nonce, "value": 0}
    signed = account(member.position).sign_transaction(fields | {"gas": 1_000_000, "gasPrice": 10**10})
    sent = arena.anvil.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    assert arena.anvil.rpc("eth_getTransactionReceipt", sent)["status"] == "0x1"


def test_a_transaction_that_is_signed_for_no_chain(attack: Attack, arena: Arena, tmp_path: Path) -> None:
    attack.by("a participant that wants no evidence of the study to hold")
    spoiler = arena.members[3]
    with attack.sends("one transaction of its own that names no chain, as chains still take them"):
        signed_for_no_chain(arena, spoiler)
    with attack.works("the evidence of all others' acts is made, and nothing in it fails"):
        made = evidence_of(arena, tmp_path / "evidence")
        checks = list(check_bundle(made.path, Against(network=arena.network, rpc=arena.anvil.url)))
        assert verdict_of(checks) == "partly verified"
    with attack.seen("by every auditor, to whom it is named as the one whose act has no signature for this chain"):
        (signers,) = [check for check in checks if check.name == "signers"]
        assert signers.detail.startswith("1 of ") and signers.detail.endswith(f"acted: {spoiler.address}")
    with attack.unlearnt("anything but what the chain says: a check opens no connection but to the auditor's node"), offline():
        assert all(check.ok for check in check_bundle(made.path, Against(network=arena.network)))
