"""Deploy the four contracts and write down where they are.

brownie run deploy --network NAME

DEFEDBIO_FOUNDERS: the founding members' addresses, separated by commas (the sender alone when unset)
DEFEDBIO_NETWORK: the file to write (build/networks/NAME.json when unset)
DEFEDBIO_ACCOUNT, DEFEDBIO_PASSWORD_FILE: the sender's keystore and a file with its password (the node's first account when unset)
"""

from __future__ import annotations

import os
from typing import Any

from scripts.chainlib import forget_deployments, loaded_project, sender, write_network


def main() -> None:
    account = sender()
    try:
        contracts = deploy(account, founders(account))
    finally:
        forget_deployments()
    first = contracts["ParticipantRegistry"].tx
    path = write_network(contracts, first.block_number)
    print(f"Network written to {path}")


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
