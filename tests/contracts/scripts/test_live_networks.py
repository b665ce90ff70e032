"""Deployment by Brownie to live-type networks, and a whole round there through the exported interfaces."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import pytest
from eth_abi import encode
from eth_utils import keccak
from web3 import HTTPProvider, Web3

from defedbio.chain.network import CONTRACTS, Network
from defedbio.crypto import merkle
from defedbio.domain import TWO_THIRDS, Phase
from scripts.export_abi import ABI_FOLDER, ROOT
from tests.contracts.consortium import CID, HOUR, MODULUS, as_bytes, word
from tests.contracts.products import Field, shown
from tests.contracts.scripts.live import brownie, node

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
ANVIL = ROOT / "node_modules" / "@foundry-rs" / f"anvil-{platform.system().lower()}-{MACHINE}" / "bin" / "anvil"
GANACHE = ROOT / "node_modules" / "ganache" / "dist" / "node" / "cli.js"
NODES = {
    "anvil": ([str(ANVIL), "--quiet", "--chain-id", "31337", "--port"], "31337", "anvil-local"),
    "ganache": ([shutil.which("node") or "node", str(GANACHE), "--chain.chainId", "1337", "--server.port"], "1337", "ganache-local"),
}
# A second deployment is not confused by what Brownie remembers of the first, whatever the node.
DEPLOYMENTS = {"anvil": 2, "ganache": 1}


@pytest.mark.parametrize("kind", ["anvil", "ganache"])
def test_P1_to_P6_deployment_and_a_round_on_a_live_network(kind, tmp_path: Path):
    command, chain_id, name = NODES[kind]
    with node(command, tmp_path / "node.log") as endpoint:
        founders = Web3(HTTPProvider(endpoint)).eth.accounts[:3]
        brownie(tmp_path, "networks", "add", "LocalEth", name, f"host={endpoint}", f"chainid={chain_id}")
        record = tmp_path / "network.json"
        for _ in range(DEPLOYMENTS[kind]):
            brownie(tmp_path, "run", "deploy", "--network", name, DEFEDBIO_NETWORK=str(record), DEFEDBIO_FOUNDERS=", ".join(founders))
        network = Network.load(record)
        assert (network.chain_id, network.rpc) == (int(chain_id), endpoint)
        assert network.deploy_block == 4 * DEPLOYMENTS[kind] - 3
        whole_round(Web3(HTTPProvider(endpoint)), network, founders)


def whole_round(web3: Web3, network: Network, people: list[str]) -> None:
    participants, keys, studies, rounds = (
        web3.eth.contract(network.contracts[name], abi=json.loads((ABI_FOLDER / f"{name}.json").read_text())["abi"]) for name in CONTRACTS
    )

    def send(call, who=people[0]):
        receipt = web3.eth.wait_for_transaction_receipt(call.transact({"from": who}), timeout=20)
        assert receipt["status"] == 1

    for i, who in enumerate(people):
        assert participants.functions.isMember(who).call()
        send(participants.functions.register((f"Organisation {i}", CID, word(i), f"/ip4/192.0.2.{i}/tcp/4001")), who)
    assert participants.functions.profileOf(people[2]).call()[0] == "Organisation 2"
    send(keys.functions.propose(MODULUS, people, 2, word("transcript"), CID))
    for who in people:
        send(keys.functions.confirm(1, word("transcript")), who)
    assert keys.functions.epochOf(1).call()[-1] == people
    until = web3.eth.get_block("latest")["timestamp"] + HOUR
    send(studies.functions.open(1, word("spec"), CID, (3, 3, 1, until, *[HOUR] * 6, TWO_THIRDS), []))
    for who in people:
        send(studies.functions.enrol(1, word("spec")), who)
    send(rounds.functions.openRound(1))
    types = ["uint256", "address", "uint256", "address", "bytes32", "string", "bytes32", "bytes32"]
    numbers = Field(8 * len(MODULUS), modulus=MODULUS)
    updates = [numbers.update(2) for _ in people]
    roots = {who: merkle.root(numbers.update_leaves(update)) for who, update in zip(people, updates, strict=True)}
    for who in people:
        values = [network.chain_id, rounds.address, 1, who, roots[who], CID, bytes(32), word("salt")]
        send(rounds.functions.commit(1, keccak(encode(types, values))), who)
    for who in people:
        send(rounds.functions.reveal(1, roots[who], CID, bytes(32), word("salt")), who)
    for who in people[:2]:
        send(rounds.functions.attestSet(1, 0b111, 0, ""), who)
    rows = numbers.prefixes(updates, {(1, 3): 2})
    wrong = merkle.root(numbers.aggregate_leaves(rows))
    send(rounds.functions.postAggregate(1, wrong, CID), people[2])
    send(rounds.functions.showWrongProduct(1, wrong, shown(numbers, updates, rows, people[2], word("salt"), 1, 3)))
    send(rounds.functions.postAggregate(1, word("aggregate"), CID))
    for who in people[:2]:
        send(rounds.functions.releaseShare(1, word("aggregate"), word("share", who), CID, word("proof")), who)
    send(rounds.functions.postOpening(1, word("opening"), CID))
    for who in people[:2]:
        send(rounds.functions.attestModel(1, word("opening"), word("model"), CID), who)
    view = rounds.functions.roundOf(1).call()
    assert Phase(view[2]) == Phase.FINALISED
    assert as_bytes(view[-1]) == word("model")
    assert rounds.functions.stepsDone(1).call() == 1
