"""Deploy the contracts and write down where they are, and what other explorers need to show their sources.

brownie run deploy --network NAME

DEFEDBIO_FOUNDERS: the founding members' addresses, separated by commas (the sender alone when unset)
DEFEDBIO_NETWORK: the file to write (build/networks/NAME.json when unset); sources and compiler settings go to NAME.verify/ beside it
DEFEDBIO_ACCOUNT, DEFEDBIO_PASSWORD_FILE: the sender's keystore and a file with its password (the node's first account when unset)
"""

from __future__ import annotations

import os
from typing import Any

from brownie import chain

from defedbio.chain.network import CONTRACTS
from scripts import verification
from scripts.chainlib import forget_deployments, loaded_project, sender, verification_folder, write_network


def main() -> None:
    account = sender()
    code = loaded_project()
    verification.check_same({name: code[name].bytecode for name in CONTRACTS})
    try:
        contracts = deploy(account, founders(account))
    finally:
        forget_deployments()
    path = write_network(contracts)
    write_verification(contracts)
    print(f"Network written to {path}, sources for other explorers to {verification_folder()}")


def founders(account: Any) -> list[str]:
    """The addresses in DEFEDBIO_FOUNDERS, or the sender's."""
    named = os.environ.get("DEFEDBIO_FOUNDERS", "")
    return [part.strip() for part in named.split(",") if part.strip()] or [account.address]


def deploy(account: Any, members: list[str]) -> dict[str, Any]:
    """Deploy the contracts in the order in which they know one another: {name: contract}."""
    code = loaded_project()
    participants = account.deploy(code["ParticipantRegistry"], members)
    keys = account.deploy(code["KeyRegistry"], participants)
    studies = account.deploy(code["StudyRegistry"], participants, keys)
    rounds = account.deploy(code["RoundManager"], studies, keys)
    return {"ParticipantRegistry": participants, "KeyRegistry": keys, "StudyRegistry": studies, "RoundManager": rounds}


def write_verification(contracts: dict[str, Any]) -> None:
    code = loaded_project()
    verification.write(
        verification_folder(),
        chain.id,
        {name: contract.address for name, contract in contracts.items()},
        {name: str(contract.tx.txid) for name, contract in contracts.items()},
        {name: contract.tx.input.removeprefix("0x").removeprefix(code[name].bytecode) for name, contract in contracts.items()},
    )
