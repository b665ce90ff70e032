"""Attacks on the embedded nodes from the network: real nodes, real sockets, strangers with ways of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from defedbio.errors import BlobUnavailable, InvalidInput, Unreachable
from defedbio.ipfs.cid import cid_of
from defedbio.ipfs.kubo import KuboStore
from defedbio.ipfs.node import EmbeddedNode, find_node_binary
from tests.adversary.frame import Attack

STRANGER = Path(__file__).with_name("stranger.mjs")
BLOCK = 262144
SECONDS = 60.0
HALF_OPEN = 300
CROWD = 40


@dataclass
class Site:
    node: EmbeddedNode
    store: KuboStore

    @property
    def address(self) -> str:
        return self.node.ready.multiaddrs[0]

    @property
    def peer_id(self) -> str:
        return self.node.ready.peer_id


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    with ExitStack() as stack:

        def make(name: str) -> Site:
            node = stack.enter_context(EmbeddedNode(tmp_path / name))
            return Site(node, stack.enter_context(node.open_store()))

        yield make


@dataclass
class Stranger:
    """tests/adversary/stranger.mjs as a process; `asked` are the kinds of wants that it heard."""

    process: subprocess.Popen[str]
    address: str
    asked: list[str] = field(default_factory=list)

    @property
    def peer_id(self) -> str:
        return self.address.rpartition("/p2p/")[2]

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.asked.append(json.loads(line)["asked"])


@contextmanager
def stranger(victim: Site, *arguments: str) -> Iterator[Stranger]:
    command = [str(find_node_binary()), str(STRANGER), "--dial", victim.address, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        found = Stranger(process, (first["listen"] or [""])[0])
        listener = threading.Thread(target=found.listen)
        listener.start()
        yield found
    finally:
        process.kill()
        process.wait()
        listener.join()


def half_open(victim: Site, count: int) -> list[socket.socket]:
    """Connections that say nothing, from the members' own address and from twenty others."""
    port = int(victim.address.split("/")[4])
    return [
        socket.create_connection(("127.0.0.1", port), 10, ("127.0.0.1" if index % 2 else f"127.9.0.{index // 2 % 20 + 1}", 0))
        for index in range(count)
    ]


@contextmanager
def slow_to_answer(site: Site, seconds: float) -> Iterator[None]:
    """A node that does nothing for a moment, so that everybody else answers before it does."""
    pid = site.node.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    wake = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    wake.start()
    try:
        yield
    finally:
        wake.join()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def test_strangers_take_every_connection(attack: Attack, make_site: Callable[[str], Site]) -> None:
    attack.by("strangers at the members' own address and at twenty others, without any right")
    victim, early, late = make_site("victim"), make_site("early"), make_site("late")
    victim.store.reserve([early.address, late.address])
    early.store.connect(victim.address)
    blob = os.urandom(3_000_000)
    cid = victim.store.add(blob)
    with ExitStack() as stack:
        with attack.sends("300 connections that never finish their handshake, and 40 that do and come again when they are sent off"):
            quiet = [stack.enter_context(each) for each in half_open(victim, HALF_OPEN)]
            stack.enter_context(stranger(victim, "--crowd", str(CROWD)))
        with attack.seen("by the attacked node, which gives guests of one address half of the guests' 32 places and no more"):
            until(lambda: len(victim.store.peers()) > 8)
            strangers = set(victim.store.peers()) - {early.peer_id, late.peer_id}
            assert len(strangers) <= 16
        with attack.works("a member that comes during the attack connects and fetches, and one that was connected stays so"):
            began = time.monotonic()
            late.store.connect(victim.address)
            assert late.store.get(cid, len(blob), SECONDS, [victim.peer_id]) == blob
            assert time.monotonic() - began < 15
            assert {early.peer_id, late.peer_id} <= set(victim.store.peers())
        with attack.unlearnt("anything by those who keep silent: the node names a protocol to them, and closes after five seconds"):
            for connection in quiet:
                connection.settimeout(15)
                heard = b""
                with suppress(ConnectionResetError):
                    while piece := connection.recv(1000):
                        heard += piece
                assert heard in {b"", b"\x13/multistream/1.0.0\n"}


def test_strangers_say_first_that_they_have_a_blob(attack: Attack, make_site: Callable[[str], Site]) -> None:
    attack.by("three strangers that hold the blob, each connected to the member that fetches it")
    owner, fetcher = make_site("owner"), make_site("fetcher")
    blob = os.urandom(6_000_000)
    blocks = len(blob) // BLOCK
    cid = owner.store.add(blob)
    fetcher.store.connect(owner.address)
    fetcher.store.reserve([owner.address])
    pause = 0.5
    with ExitStack() as stack:
        arguments = ("--blocks", str(owner.node.repo / "blocks"), "--pause", str(int(pause * 1000)))
        crowd = [stack.enter_context(stranger(fetcher, *arguments)) for _ in range(3)]
        until(lambda: {each.peer_id for each in crowd} <= set(fetcher.store.peers()))
        with attack.sends("that they have it, before its owner can answer, and then its blocks two a second"):
            began = time.monotonic()
            with slow_to_answer(owner, 0.3):
                fetched = fetcher.store.get(cid, len(blob), SECONDS, [owner.peer_id])
            took = time.monotonic() - began
        with attack.seen("by the fetching node, which asks the blob's owner, known from the chain, and no stranger while that answers"):
            assert [each.asked for each in crowd] == [[], [], []]
        with attack.works("the blob comes at the owner's pace"):
            assert fetched == blob
            assert took < blocks * pause / 2
        with attack.unlearnt("which blobs the members fetch from each other, by strangers"):
            assert not any(each.asked for each in crowd)


def test_an_organisation_that_pinned_a_blob_sends_it_in_drops(attack: Attack, make_site: Callable[[str], Site]) -> None:
    attack.by("a participant that pinned the blob, whose publisher is gone")
    honest, fetcher = make_site("honest"), make_site("fetcher")
    blob = os.urandom(6_000_000)
    blocks = len(blob) // BLOCK
    cid = honest.store.add(blob)
    pause = 1.0
    with stranger(fetcher, "--blocks", str(honest.node.repo / "blocks"), "--pause", str(int(pause * 1000))) as slow:
        fetcher.store.connect(honest.address)
        fetcher.store.reserve([slow.address, honest.address])
        until(lambda: slow.peer_id in fetcher.store.peers())
        with attack.sends("that it has the blob, first of all, and then a block a second"):
            began = time.monotonic()
            with slow_to_answer(honest, 0.3):
                fetched = fetcher.store.get(cid, len(blob), SECONDS, [slow.peer_id, honest.peer_id])
            took = time.monotonic() - began
        with attack.seen("by the fetching node: below the least rate it asks the next that has the blob as well"):
            assert "WantBlock" in slow.asked
        with attack.works("the blob comes in a fraction of the time that the slow one would take"):
            assert fetched == blob
            assert took < blocks * pause / 2
        with attack.unlearnt("that all of it was fetched: once found slow, it is asked for no more"):
            assert slow.asked.count("WantBlock") < blocks


@pytest.mark.long
def test_a_stranger_asks_for_everything(attack: Attack, make_site: Callable[[str], Site]) -> None:
    attack.by("a stranger that has read the CIDs of every blob on the chain")
    victim, member, outsider = make_site("victim"), make_site("member"), make_site("outsider")
    victim.store.reserve([member.address])
    blobs = [os.urandom(12_000_000) for _ in range(3)]
    cids = [victim.store.add(blob) for blob in blobs]
    outsider.store.connect(victim.address)
    member.store.connect(victim.address)
    done = threading.Event()

    def greedy() -> None:
        while not done.is_set():
            with suppress(Unreachable):
                outsider.store.get(cids[0], len(blobs[0]), 5.0)
            outsider.store.collect_garbage()

    thread = threading.Thread(target=greedy)
    with attack.sends("wants for blob after blob, as fast as they come"):
        began = time.monotonic()
        thread.start()
    try:
        with attack.works("a member fetches as much as the stranger asks for, meanwhile"):
            assert member.store.get(cids[1], len(blobs[1]), SECONDS, [victim.peer_id]) == blobs[1]
            assert time.monotonic() - began < SECONDS / 2
    finally:
        done.set()
        thread.join()
    with attack.seen("by the attacked node, which serves all guests together four MiB a second"):
        began = time.monotonic()
        assert outsider.store.get(cids[2], len(blobs[2]), SECONDS) == blobs[2]
        assert time.monotonic() - began > 1
    with attack.unlearnt("where the members' other nodes are: the attacked one introduces nobody"):
        assert outsider.store.peers() == [victim.peer_id]


def test_a_stranger_is_somebody_else_each_time(attack: Attack, make_site: Callable[[str], Site]) -> None:
    attack.by("a stranger that makes a new peer id for every connection")
    victim, member = make_site("victim"), make_site("member")
    victim.store.reserve([member.address])
    cids = [victim.store.add(os.urandom(BLOCK)) for _ in range(16)]
    member.store.connect(victim.address)
    seconds = 6
    command = [str(find_node_binary()), str(STRANGER), "--dial", victim.address, "--take", ",".join(cids), "--for", str(seconds * 1000)]
    with attack.sends("wants for four MiB at once, and then the same again under another name"):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline()
    try:
        with attack.works("a member fetches meanwhile"):
            assert all(member.store.get(cid, BLOCK, SECONDS, [victim.peer_id]) for cid in cids)
        with attack.seen("by the attacked node, whose four MiB a second are for all guests together, whoever they say they are"):
            taken = json.loads(process.stdout.readline())["taken"]
            assert 0 < taken < 1.5 * seconds * 4 * 1024 * 1024
        with attack.unlearnt("more of the blobs than a stranger with one name: they are public, and come no faster"):
            assert taken < 1.5 * seconds * 4 * 1024 * 1024
    finally:
        process.kill()
        process.wait()


def test_a_member_that_has_a_blob_and_has_it_not(attack: Attack, make_site: Callable[[str], Site]) -> None:
    attack.by("a participant that revealed the CID of a blob which nobody has")
    fetcher, other = make_site("fetcher"), make_site("other")
    blob = os.urandom(100)
    seconds = 4
    with stranger(fetcher, "--blocks", str(other.node.repo / "blocks"), "--pause", "1000", "--fickle", "1") as fickle:
        fetcher.store.connect(other.address)
        fetcher.store.reserve([fickle.address, other.address])
        until(lambda: fickle.peer_id in fetcher.store.peers())
        with attack.sends("to whoever asks, that it has it, and to whoever then wants it, that it has not"), pytest.raises(BlobUnavailable):
            fetcher.store.get(cid_of(blob), len(blob), float(seconds), [fickle.peer_id])
        with attack.seen("by the fetching node, which asks nobody the same thing more than twice a second"):
            assert 2 <= fickle.asked.count("WantHave") <= 2 * seconds + 1
        with attack.works("the fetch, as soon as somebody has the blob"):
            cid = other.store.add(blob)
            assert fetcher.store.get(cid, len(blob), SECONDS, [fickle.peer_id]) == blob
        with attack.unlearnt("anything by asking: the same few questions go to everyone"):
            assert len(fickle.asked) < 8 * seconds


def places(site: Site) -> set[str]:
    """Peer ids for which a node keeps places."""
    (answer,) = site.store._client._client.request("/swarm/peering/ls", decoder="json")
    return {peer["ID"] for peer in answer["Peers"]}


def test_an_address_that_is_none(attack: Attack, make_site: Callable[[str], Site]) -> None:
    attack.by("a member, which registers whatever it likes as the multiaddress of its node")
    victim, member, gone, liar = (make_site(name) for name in ("victim", "member", "gone", "liar"))
    victim.store.reserve([gone.address])
    with attack.sends("an address that reads like one until somebody asks where it is"):
        nowhere = f"/ipcidr/1_0/p2p/{liar.peer_id}"
    with attack.seen("by every node that is told of it, which names the address and keeps no place for it"):
        with pytest.raises(InvalidInput, match="/ipcidr/1_0"):
            victim.store.reserve([nowhere, member.address])
        assert liar.peer_id not in places(victim)
    with attack.works("the other members get their places, and who is none any more loses its own, after a restart too"):
        assert places(victim) == {member.peer_id}
        victim.node.stop()
        victim.node.start()
        with victim.node.open_store() as again:
            kept = places(Site(victim.node, again))
        assert kept == {member.peer_id}
    with attack.unlearnt("a way to a place for a node that nobody finds"):
        assert liar.peer_id not in kept
