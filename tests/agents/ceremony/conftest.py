"""Three organisations on the session's Anvil, with IPFS nodes in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from defedbio.ceremony.machine import Machine, Terms
from defedbio.ceremony.taking_part import Ended, Pace, take_part
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.values import Profile
from defedbio.crypto.vault import seal_with_password
from tests.agents.ceremony.fakes import FakeMachine, MemoryNetwork, Party
from tests.agents.chain.conftest import Connect, connect, deployed, network
from tests.agents.crypto.keygen.runs import ran
from tests.ipfs.memory_store import MemoryStore

__all__ = ["connect", "deployed", "network"]

SECONDS = 600
QUICKLY = Pace(poll_seconds=0.02, patience=5.0)
MOST_SECONDS = 60.0
STEPS_MOST = 40


@pytest.fixture(autouse=True)
def quick_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that is cheap to guess, in little time."""
    for user in ("defedbio.network.shares", "defedbio.ceremony.consent"):
        monkeypatch.setattr(f"{user}.seal_with_password", partial(seal_with_password, n=2))


@pytest.fixture
def parties(connect: Connect, tmp_path: Path) -> list[Party]:
    nodes = MemoryNetwork()
    found = []
    for position in range(3):
        client, store = connect(position), MemoryStore(nodes, f"node {position}")
        client.send(
            ParticipantRegistry.register("register", Profile("lab", "", bytes([position + 1]) * 32, store.identity().multiaddrs[0]))
        )
        found.append(Party(client, store, tmp_path / f"home-{position}"))
    return found


@pytest.fixture
def ceremony(parties: list[Party]) -> int:
    """A ceremony of all three, two of which are contributors."""
    client, holders = parties[0].client, [party.client.address for party in parties]
    receipt = client.send(KeyRegistry.announce("announce", holders, 2, 2048, SECONDS))
    return KeyRegistry(client).announced_in(receipt)


@pytest.fixture
def together() -> Callable[..., list[Ended]]:
    """Run what each of some holders does, all at once, to their ends."""

    def run(*runs: Callable[[threading.Event], Ended | None]) -> list[Ended]:
        stop, ended, faults = threading.Event(), [None] * len(runs), []

        def one(index: int, act: Callable[[threading.Event], Any]) -> None:
            try:
                ended[index] = act(stop)
            except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
                faults.append(error)
                stop.set()

        threads = [threading.Thread(target=one, args=(i, act)) for i, act in enumerate(runs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(MOST_SECONDS)
        stop.set()
        if faults:
            raise faults[0]
        assert all(end is not None for end in ended), "a holder waits for ever"
        return [end for end in ended if end is not None]

    return run


@pytest.fixture
def taking_part(ceremony: int) -> Callable[..., Callable[[threading.Event], Ended | None]]:
    """What a party does in the ceremony, with a machine of its own."""

    def make(party: Party, machine: Callable[..., Any] = FakeMachine) -> Callable[[threading.Event], Ended | None]:
        def run(stop: threading.Event) -> Ended | None:
            holder = party.holder(ceremony, machine)
            try:
                return take_part(holder, stop, QUICKLY)
            finally:
                holder.journal.close()

        return run

    return make


@dataclass(frozen=True)
class Made:
    """A ceremony that went through."""

    make: Callable[[Terms, int, bytes], Machine]
    terms: Terms
    seeds: list[bytes]
    posts: list[list[bytes]]

    def machine(self, position: int) -> Machine:
        return self.make(self.terms, position, self.seeds[position])


@pytest.fixture(scope="module", params=["fake", "mill"])
def made(request: pytest.FixtureRequest) -> Made:
    known = ran(448, 2, 3, 22)
    terms = known.announced
    make: Any = FakeMachine if request.param == "fake" else known.make
    machines = [make(terms, i, seed) for i, seed in enumerate(known.seeds)]
    posts: list[list[bytes]] = []
    while sizes := machines[0].awaited(posts).sizes:
        step = [machines[i].message(posts) for i in range(len(sizes))]
        assert tuple(map(len, step)) == sizes, "the bytes that are fetched at most"
        posts.append(step)
        assert len(posts) < STEPS_MOST
    return Made(make, terms, known.seeds, posts)
