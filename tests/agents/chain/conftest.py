"""A real Anvil for each module that wants one, and the four contracts on it."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3

from defedbio.chain.client import ChainClient
from defedbio.chain.journal import TxJournal
from defedbio.chain.network import CONTRACTS, Contracts, Network
from defedbio.chain.records import Call, ClientOptions, Transaction

ROOT = Path(__file__).resolve().parents[3]
CHAIN_ID = 31337
MNEMONIC = "test test test test test test test test test test test junk"
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


def account(position: int) -> LocalAccount:
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{position}")


@dataclass
class Anvil:
    url: str
    process: subprocess.Popen[str]

    def rpc(self, method: str, *params: Any) -> Any:
        answer = HTTPProvider(self.url).make_request(method, list(params))  # type: ignore[arg-type]
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


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    port = free_port()
    command = [str(anvil_binary()), "--port", str(port), "--chain-id", str(CHAIN_ID), "--mnemonic", MNEMONIC]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Listening on"):
                break
        else:
            pytest.fail("anvil ended before it listened")
        # a full pipe would stop the node: its log has to be read to the end
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield Anvil(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    from scripts.export_abi import compiled

    return compiled()


@pytest.fixture(scope="session")
def deployed(anvil: Anvil, artefacts: dict[str, dict[str, Any]]) -> Network:
    """The four contracts, with accounts 0 to 3 as founders."""
    web3 = Web3(HTTPProvider(anvil.url))
    sender = account(0).address
    addresses: dict[str, str] = {}
    first = web3.eth.block_number + 1

    def deploy(name: str, *arguments: object) -> None:
        factory = web3.eth.contract(abi=artefacts[name]["abi"], bytecode=artefacts[name]["bytecode"])
        receipt = web3.eth.wait_for_transaction_receipt(factory.constructor(*arguments).transact({"from": sender}))
        addresses[name] = str(receipt["contractAddress"])

    deploy("ParticipantRegistry", [account(i).address for i in range(4)])
    deploy("KeyRegistry", addresses["ParticipantRegistry"])
    deploy("StudyRegistry", addresses["ParticipantRegistry"], addresses["KeyRegistry"])
    deploy("RoundManager", addresses["StudyRegistry"], addresses["KeyRegistry"])
    return Network(CHAIN_ID, anvil.url, Contracts.of(*(addresses[name] for name in CONTRACTS), block=first))


@pytest.fixture
def network(anvil: Anvil, deployed: Network) -> Iterator[Network]:
    """The deployed network; whatever a test does to the chain is undone after it."""
    snapshot = anvil.rpc("evm_snapshot")
    yield deployed
    anvil.rpc("evm_setAutomine", True)
    anvil.rpc("anvil_dropAllTransactions")
    assert anvil.rpc("evm_revert", snapshot)


Connect = Callable[..., ChainClient]


@pytest.fixture
def connect(network: Network) -> Connect:
    """connect(position, journal=None, **options) -> a client that signs as that account."""

    def make(position: int = 0, journal: TxJournal | None = None, confirmations: int = 0, **options: Any) -> ChainClient:
        return ChainClient(network.rpc, network, account(position), journal, confirmations, replace(QUICK, **options))

    return make


def abi_file(name: str) -> list[dict[str, Any]]:
    return list(json.loads((ROOT / "agents" / "chain" / "abi" / f"{name}.json").read_text())["abi"])


def vote(key: str, candidate: str) -> Transaction:
    """A vote to admit, which needs others' votes: members send it by `brownie run admit`, so no binding makes one."""
    return Transaction(key, Call("ParticipantRegistry", "voteToAdmit", (candidate,)), "vote")
