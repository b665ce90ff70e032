"""A whole study on a real Anvil whose four organisations live in this process: real contracts, journals and cryptography, blobs in memory.

The chain also holds what a bundle must not confuse with it: a round that was voided, and another study with a round of its own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from defedbio.audit import pdf as pages
from defedbio.audit import proof_files
from defedbio.audit.make import Made, make_bundle
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.chain.values import Profile
from defedbio.crypto import numbers, sealing
from defedbio.crypto.ceremony import Holder, publish
from defedbio.crypto.merkle import keccak256
from defedbio.domain import Phase
from defedbio.network.connection import rules_of
from defedbio.protocol import actions as act
from defedbio.protocol.decide import Clock, Role, decide
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.memory import Memory, open_journal
from defedbio.protocol.perform import facts_of, perform
from defedbio.protocol.reading import Reader
from defedbio.protocol.tools import Tools
from defedbio.report import Reporter
from defedbio.spec import StudySpec
from tests.agents.chain.conftest import deployed  # noqa: F401 - a fixture
from tests.agents.protocol.in_process import PROVEN, QUORUM, SPEC, dataset, dealt, table
from tests.anvil import QUICK, Anvil, account
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

# What an organisation may call itself is for the report to survive.
NAMES = ("Alpha <script>alert(1)</script>", "Béta & Söhne", "\N{RIGHT-TO-LEFT OVERRIDE}gamma", "研究所 delta")
PRIVACY = {"kind": "sum", "noise_multiplier": 2.0, "honest": 3, "epsilon": 50.0, "delta": 1e-5}
HOUR = 3600


def spec_document(epoch: int, **changes: Any) -> bytes:
    hours = dict.fromkeys(SPEC["deadlines"], HOUR)
    document = {
        **SPEC,
        "name": "audited",
        "rounds": 2,
        "key": {"epoch": epoch, "modulus_bits": 2048},
        "deadlines": hours,
        "privacy": PRIVACY,
        **PROVEN,
    }
    document |= {"weighting": {"kind": "uniform"}, **changes}
    document.pop("preprocessing")
    return json.dumps(document).encode()


@dataclass
class World:
    """`studies` is the audited study's number and the other's."""

    anvil: Anvil
    network: Network
    clients: list[ChainClient]
    stores: list[MemoryStore]
    studies: tuple[int, int]

    def connection(self, organisation: int = 0) -> Reader:
        return Reader(self.clients[organisation], self.stores[organisation], Reporter(lambda record: None))


def found(node: Anvil, network: Network) -> World:
    """Four registered members, a key that all have confirmed, and two studies that all have joined."""
    clients = [ChainClient(network.rpc, network, account(i), options=replace(QUICK)) for i in range(4)]
    blobs = MemoryNetwork()
    stores = [MemoryStore(blobs, f"organisation {i}") for i in range(4)]
    transport = [sealing.transport_public(bytes([i + 1] * 32)) for i in range(4)]
    for client, store, name, key in zip(clients, stores, NAMES, transport, strict=True):
        client.send(ParticipantRegistry.register("register", Profile(name, "", key, store.identity().multiaddrs[0])))
        for other in stores:
            if other is not store:
                store.connect(other.identity().multiaddrs[0])

    holders = [Holder(client.address, key) for client, key in zip(clients, transport, strict=True)]
    transcript = publish(*dealt(), holders, network.chain_id, network.contracts["KeyRegistry"], os.urandom)
    modulus, cid = transcript.key.public_key, stores[0].add(transcript.to_bytes())
    proposal = KeyRegistry.propose(
        "propose",
        numbers.to_bytes(modulus.n, modulus.modulus_bytes),
        [client.address for client in clients],
        QUORUM,
        transcript.hash,
        cid,
    )
    epoch = KeyRegistry(clients[0]).proposed_in(clients[0].send(proposal))
    for client in clients:
        client.send(KeyRegistry.confirm("confirm", epoch, transcript.hash))
    studies = tuple(_study(clients, stores, spec_document(epoch, seed=seed)) for seed in (7, 8))
    return World(node, network, clients, stores, (studies[0], studies[1]))


def _study(clients: list[ChainClient], stores: list[MemoryStore], raw: bytes) -> int:
    spec = StudySpec.from_bytes(raw)
    digest, rules = keccak256(raw), rules_of(spec, clients[0].head().timestamp + HOUR)
    opening = StudyRegistry.open(f"open {digest.hex()}", spec.key_epoch, digest, stores[0].add(raw), rules)
    study = StudyRegistry(clients[0]).opened_in(clients[0].send(opening))
    for client in clients:
        client.send(StudyRegistry.enrol(f"enrol {study}", study, digest))
    return study


def play(world: World, folder: Path) -> None:
    """Round 1 is voided, round 2 is the other study's, rounds 3 and 4 train the audited study's model."""
    study, other = world.studies
    first = RoundManager(world.clients[0]).opened_in(world.clients[0].send(RoundManager.open_round("first", study)))
    world.anvil.rpc("evm_increaseTime", 2 * HOUR)
    world.clients[1].send(RoundManager.advance("void", first))
    world.clients[0].send(RoundManager.open_round("foreign", other))

    connection = world.connection()
    frame = connection.frame(study)
    members = [_tools(world, frame, index, folder) for index in range(4)]
    moved = True
    while moved:
        moved = False
        for index, tools in enumerate(members):
            while _step(world, tools, index, study):
                moved = True
    for tools in members:
        tools.memory.journal.close()
    world.clients[3].send(KeyRegistry.retire_share("retire", frame.spec.key_epoch))
    view = connection.study_view(study)
    assert view.complete and [r.phase for r in view.rounds.values()] == [Phase.VOIDED, Phase.FINALISED, Phase.FINALISED]


def _tools(world: World, frame: StudyFrame, index: int, folder: Path) -> Tools:
    connection = world.connection(index)
    made = Tools(
        frame=frame,
        address=world.clients[index].address,
        chain=world.clients[index],
        store=world.stores[index],
        fetcher=Fetcher(frame, connection.peers, os.urandom, 1.0),
        memory=Memory(open_journal(folder / f"{index}.sqlite")),
        report=connection.report,
        dataset=dataset(index),
        share=dealt()[1][index],
    )
    made.__dict__["table"] = table()
    return made


def _step(world: World, tools: Tools, index: int, study: int) -> bool:
    """One decision and its effect. `waited` is long enough for any stagger: nobody has to be waited for in one process."""
    view = world.connection(index).study_view(study)
    now = float(world.clients[index].head().timestamp)
    action = decide(Role(tools.address, index, index + 1, QUORUM), view, facts_of(tools, view), Clock(now, 30.0))
    if action is None or isinstance(action, act.Finish):
        return False
    perform(tools, view, action)
    return True


@pytest.fixture(scope="session", autouse=True)
def done_once() -> Iterator[None]:
    """What every check of the same study does again and again: to find who signed takes Python 13 ms for each of its transactions, and
    to set a PDF seconds. Both are functions of their argument: tests/agents/audit/test_report.py sets a PDF twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof_files, "read_transaction", cache(proof_files.read_transaction))
        patch.setattr(pages, "pdf", cache(pages.pdf))
        yield


@pytest.fixture(scope="session")
def world(anvil: Anvil, deployed: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:  # noqa: F811
    snapshot = anvil.rpc("evm_snapshot")
    made = found(anvil, deployed)
    play(made, tmp_path_factory.mktemp("journals"))
    yield made
    anvil.rpc("evm_revert", snapshot)


@pytest.fixture(scope="session")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The study's bundle as a folder. Tests read it; those that change one copy it first."""
    return make_bundle(world.connection(), world.studies[0], tmp_path_factory.mktemp("bundles") / "evidence")


@pytest.fixture
def bundle(made: Made, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(made.path, tmp_path / "evidence"))
