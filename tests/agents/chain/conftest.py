"""The four contracts on the session's Anvil, undone after each test, and clients that sign there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.journal import TxJournal
from defedbio.chain.network import Network
from tests.anvil import QUICK, ROOT, Anvil, account, deployed_on, free_port, undone

__all__ = ["QUICK", "ROOT", "Anvil", "Connect", "abi_file", "account", "free_port", "vote"]


@pytest.fixture(scope="session")
def deployed(anvil: Anvil, artefacts: dict[str, dict[str, Any]]) -> Network:
    """The four contracts, with accounts 0 to 3 as founders."""
    return deployed_on(anvil, artefacts, [account(i).address for i in range(4)])


@pytest.fixture
def network(anvil: Anvil, deployed: Network) -> Iterator[Network]:
    """The deployed network; whatever a test does to the chain is undone after it."""
    with undone(anvil):
        yield deployed


Connect = Callable[..., ChainClient]
vote = ParticipantRegistry.vote_to_admit


@pytest.fixture
def connect(network: Network) -> Connect:
    """connect(position, journal=None, **options) -> a client that signs as that account."""

    def make(position: int = 0, journal: TxJournal | None = None, confirmations: int = 0, **options: Any) -> ChainClient:
        return ChainClient(network.rpc, network, account(position), journal, confirmations, replace(QUICK, **options))

    return make


def abi_file(name: str) -> list[dict[str, Any]]:
    return list(json.loads((ROOT / "agents" / "chain" / "abi" / f"{name}.json").read_text())["abi"])
