"""A real Anvil with the four contracts on it, for tests that talk to a chain: how to start it and what to sign with."""

from __future__ import annotations

import platform
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3

from defedbio.chain.network import CONTRACTS, Contracts, Network
from defedbio.chain.records import ClientOptions

ROOT = Path(__file__).resolve().parents[1]
CHAIN_ID = 31337
MNEMONIC = "test test test test test test test test test test test junk"
ACCOUNTS = 16
QUICK = ClientOptions(
    request_seconds=5,
    attempts=3,
    backoff_seconds=0.01,
    backoff_limit_seconds=0.02,
    poll_seconds=0.02,
    wait_seconds=5,
    replace_after_seconds=0.15,
)
PACKAGES = {("Linux", "x86_64"): "anvil-linux-amd64", ("Linux", "aarch64"): "anvil-linux-arm64", ("Darwin", "arm64"): "anvil-darwin-arm64"}


def anvil_binary() -> Path:
    package = PACKAGES.get((platform.system(), platform.machine()), "anvil-darwin-amd64")
    return ROOT / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"


@cache
def account(position: int) -> LocalAccount:
    """One of the `ACCOUNTS` that hold gas money."""
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{position}")


@dataclass
class Anvil:
    url: str
    process: subprocess.Popen[str]

    @cached_property
    def _provider(self) -> HTTPProvider:
        session = requests.Session()
        session.trust_env = False  # what it says of proxies is of no use here, and reading it takes longer than the request
        return HTTPProvider(self.url, session=session)

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self._provider.make_request(method, list(params))  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def pending(self) -> list[dict[str, Any]]:
        pool = self.rpc("txpool_content")
        return [tx for part in ("pending", "queued") for by_nonce in pool[part].values() for tx in by_nonce.values()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_anvil(*options: str) -> Iterator[Anvil]:
    """An Anvil on a free loopback port, gone when the block ends."""
    port = free_port()
    command = [str(anvil_binary()), "--port", str(port), "--chain-id", str(CHAIN_ID), "--mnemonic", MNEMONIC, *options]
    process = subprocess.Popen([*command, "--accounts", str(ACCOUNTS)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Listening on"):
                break
        else:
            raise AssertionError("anvil ended before it listened")
        # a full pipe would stop the node: its log has to be read to the end
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield Anvil(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def undone(anvil: Anvil) -> Iterator[None]:
    """Whatever happens to the chain in the block is undone after it."""
    snapshot = anvil.rpc("evm_snapshot")
    yield
    anvil.rpc("evm_setAutomine", True)
    anvil.rpc("anvil_dropAllTransactions")
    assert anvil.rpc("evm_revert", snapshot)


def deployed_on(anvil: Anvil, artefacts: dict[str, dict[str, Any]], founders: Sequence[str]) -> Network:
    """The four contracts, deployed by account 0 with these founders."""
    return deployed_at(anvil.url, artefacts, founders)


def deployed_at(url: str, artefacts: dict[str, dict[str, Any]], founders: Sequence[str]) -> Network:
    """As `deployed_on`, on an Anvil that somebody else started."""
    web3 = Web3(HTTPProvider(url))
    sender = web3.eth.accounts[0]
    addresses: dict[str, str] = {}
    first = web3.eth.block_number + 1

    def deploy(name: str, *arguments: object) -> None:
        factory = web3.eth.contract(abi=artefacts[name]["abi"], bytecode=artefacts[name]["bytecode"])
        receipt = web3.eth.wait_for_transaction_receipt(factory.constructor(*arguments).transact({"from": sender}), poll_latency=0.02)
        addresses[name] = str(receipt["contractAddress"])

    deploy("ParticipantRegistry", list(founders))
    deploy("KeyRegistry", addresses["ParticipantRegistry"])
    deploy("StudyRegistry", addresses["ParticipantRegistry"], addresses["KeyRegistry"])
    deploy("RoundManager", addresses["StudyRegistry"], addresses["KeyRegistry"])
    return Network(CHAIN_ID, url, Contracts.of(*(addresses[name] for name in CONTRACTS), block=first))


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    with running_anvil() as found:
        yield found


@pytest.fixture(scope="session")
def artefacts() -> dict[str, dict[str, Any]]:
    from scripts.export_abi import compiled

    return compiled()
