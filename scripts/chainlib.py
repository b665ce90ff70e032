"""What the scripts share: who signs, where the contracts are, and how a network is written down."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from brownie import accounts, chain, network, project, web3

from defedbio.chain.network import CONTRACTS, Contracts, Deployed, Network
from defedbio.errors import WrongChain

ROOT = Path(__file__).resolve().parent.parent


def sender() -> Any:
    """The account that signs: the keystore DEFEDBIO_ACCOUNT, opened with the password in DEFEDBIO_PASSWORD_FILE, or the
    node's first unlocked one.

    Raises:
        SystemExit: when there is neither.
    """
    keystore = os.environ.get("DEFEDBIO_ACCOUNT")
    if keystore:
        password_file = os.environ.get("DEFEDBIO_PASSWORD_FILE")
        if not password_file:
            raise SystemExit("DEFEDBIO_ACCOUNT needs DEFEDBIO_PASSWORD_FILE, a file that holds its password")
        return accounts.load(keystore, password=Path(password_file).read_text().rstrip("\r\n"))
    if len(accounts) == 0:
        raise SystemExit("the node has no unlocked account: set DEFEDBIO_ACCOUNT to a keystore file")
    return accounts[0]


def option(name: str, given: str | None = None) -> str:
    """A script's argument, or else the environment variable DEFEDBIO_<NAME>.

    Raises:
        SystemExit: when neither is there.
    """
    value = given or os.environ.get(f"DEFEDBIO_{name}")
    if not value:
        raise SystemExit(f"{name.lower().replace('_', ' ')} is missing: give it as an argument or in DEFEDBIO_{name}")
    return value


def loaded_project() -> Any:
    """This repository as a Brownie project, compiled when its sources have changed."""
    for known in project.get_loaded_projects():
        if Path(known._path) == ROOT:
            return known
    return project.load(str(ROOT))


def forget_deployments() -> None:
    """Remove what Brownie keeps of live deployments. The network file is the record; Brownie's own makes it refuse to connect
    once a local chain of the same id has been started anew."""
    shutil.rmtree(Path(loaded_project()._build_path) / "deployments" / str(chain.id), ignore_errors=True)


def network_file() -> Path:
    """DEFEDBIO_NETWORK, or build/networks/<the active network>.json."""
    given = os.environ.get("DEFEDBIO_NETWORK")
    return Path(given) if given else ROOT / "build" / "networks" / f"{network.show_active()}.json"


def write_network(contracts: dict[str, Any]) -> Path:
    """Write where the newly deployed contracts are and return the file."""
    path = network_file()
    deployed = {name: Deployed(contracts[name].address, contracts[name].tx.block_number) for name in CONTRACTS}
    Network(chain.id, web3.provider.endpoint_uri, Contracts(deployed)).save(path)
    return path


def verification_folder() -> Path:
    """What other explorers need, beside the network file."""
    return network_file().with_suffix(".verify")


def read_network() -> Network:
    """The record that `deploy` wrote for the active network.

    Raises:
        InvalidInput: when it is missing or broken.
        WrongChain: when it is another chain's.
    """
    path = network_file()
    record = Network.load(path)
    if record.chain_id != chain.id:
        raise WrongChain(f"{path} is the record of chain {record.chain_id}, but the node serves chain {chain.id}")
    return record


def contract(name: str) -> Any:
    """The deployed contract of this name on the active network."""
    return loaded_project()[name].at(read_network().contracts[name], persist=False)


def events_of(name: str, round_number: int) -> list[Any]:
    """All events of a contract about one round, in chain order."""
    deployed = web3.eth.contract(contract(name).address, abi=contract(name).abi)
    kinds = [entry["name"] for entry in deployed.abi if entry["type"] == "event"]
    first = read_network().deploy_block
    found = [log for kind in kinds for log in deployed.events[kind]().get_logs(from_block=first, argument_filters={"round": round_number})]
    return sorted(found, key=lambda log: (log["blockNumber"], log["logIndex"]))
