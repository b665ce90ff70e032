"""Whom a node dials, asks and keeps places for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from defedbio.chain.values import Profile
from defedbio.errors import BlobUnavailable, ChainUnreachable, NotFound
from defedbio.ipfs.cid import cid_of
from defedbio.network.peers import MOST_SOURCES, Peers, peer_id_of
from defedbio.report import Reporter
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

BLOB = b"an update"


class World:
    """Organisations a to d, each with a node; d has registered nothing."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.stores = {name: MemoryStore(self.network, name) for name in "abcd"}
        self.notes: list[dict[str, Any]] = []
        self.asked = 0
        self.away = False
        self.peers = Peers(self, self.stores["a"], Reporter(self.notes.append))  # type: ignore[arg-type]

    def members(self) -> tuple[str, ...]:
        self.asked += 1
        if self.away:
            raise ChainUnreachable("the chain is away")
        return tuple(self.stores)

    def profile_of(self, account: str) -> Profile:
        if account == "d":
            raise NotFound("no profile")
        return Profile(account, "", bytes(32), self.stores[account].identity().multiaddrs[0])

    def fetch(self, others: tuple[str, ...] = ()) -> bytes:
        return self.peers.fetch(cid_of(BLOB), "b", 100, 1.0, others)


@pytest.fixture
def world() -> World:
    return World()


def test_a_blob_comes_from_another_that_has_it_when_its_owner_is_gone(world: World) -> None:
    world.stores["c"].add(BLOB)
    with pytest.raises(BlobUnavailable):
        world.fetch()
    assert world.fetch(("d", "c")) == BLOB
    assert any("cannot dial the node of d" in note["message"] for note in world.notes)


def test_the_owner_is_asked_first_and_then_the_others_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stores["b"].add(BLOB)
    asked: list[list[str]] = []
    get = world.stores["a"].get

    def listening(cid: str, most: int, timeout: float, sources: list[str]) -> bytes:
        asked.append(sources)
        return get(cid, most, timeout, sources)

    monkeypatch.setattr(world.stores["a"], "get", listening)
    world.fetch(("c", "b", "d", "c"))
    assert asked == [[world.stores[name].peer_id for name in "bc"]]


@pytest.mark.parametrize("lie", ["," * 240, "a,b", "é" * 100, "%" * 240, "x" * 65, "", "a/b"])
def test_what_cannot_be_a_peer_id_is_none(lie: str) -> None:
    assert peer_id_of(f"/ip4/127.0.0.1/tcp/1/p2p/{lie}") == ""
    assert peer_id_of(lie) == ""


def test_no_number_of_members_makes_the_own_node_refuse_a_question(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their ids go to the own node in one line, of which an HTTP server takes so much."""
    world.stores["b"].add(BLOB)
    named: list[int] = []
    get = world.stores["a"].get

    def listening(cid: str, most: int, timeout: float, sources: list[str]) -> bytes:
        named.append(len(sources))
        return get(cid, most, timeout, sources)

    monkeypatch.setattr(world.stores["a"], "get", listening)
    others = tuple(f"m{i}" for i in range(256))
    world.stores |= {name: MemoryStore(world.network, name) for name in others}
    assert world.fetch(others) == BLOB
    assert named == [MOST_SOURCES]


def test_a_dial_that_hangs_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stores["c"].add(BLOB)
    answered, connect = threading.Event(), world.stores["a"].connect

    def slow(multiaddr: str) -> None:
        if peer_id_of(multiaddr) == world.stores["b"].peer_id:
            answered.wait(30)
        connect(multiaddr)

    monkeypatch.setattr(world.stores["a"], "connect", slow)
    monkeypatch.setattr("defedbio.network.peers.DIAL_PATIENCE", 0.05)
    assert world.fetch(("c",)) == BLOB
    assert not answered.is_set()
    answered.set()


def test_a_dial_that_another_fetch_began_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stores["b"].add(BLOB)
    dialling, go_on, connect = threading.Event(), threading.Event(), world.stores["a"].connect

    def slow(multiaddr: str) -> None:
        dialling.set()
        go_on.wait(30)
        connect(multiaddr)

    monkeypatch.setattr(world.stores["a"], "connect", slow)
    monkeypatch.setattr("defedbio.network.peers.DIAL_PATIENCE", 30.0)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(world.fetch)
        assert dialling.wait(30)
        second = pool.submit(world.fetch)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        go_on.set()
        assert first.result(30) == second.result(30) == BLOB


def test_the_own_node_is_told_of_the_members_once_in_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stores["b"].add(BLOB)
    world.fetch()
    world.fetch()
    assert world.asked == 1
    assert world.stores["a"].reserved == {world.stores[name].peer_id for name in "bc"}
    monkeypatch.setattr("defedbio.network.peers.MEMBERS_SECONDS", 0.0)
    world.peers._introduce_after = 0.0
    world.away = True
    assert world.fetch() == BLOB
    assert "not told of every member" in world.notes[-1]["message"]
