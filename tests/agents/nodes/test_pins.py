"""Who keeps which blob: two studies of a home on one IPFS node, whatever is killed when, and whatever runs beside each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defedbio.chain import events as ev
from defedbio.chain.records import Head
from defedbio.config import JOURNAL, SEED, Home, erase, write_private
from defedbio.domain import CeremonyKind, CeremonyStatus, KeyEpochStatus
from defedbio.errors import BlobUnavailable, InvalidInput, StoreUnreachable
from defedbio.ipfs.cid import cid_of
from defedbio.nodes import pins as module
from defedbio.nodes import strays
from defedbio.nodes.pins import ClaimingStore, Pins, claims_of
from defedbio.protocol.catalogue import LET_GO
from defedbio.protocol.memory import Memory, open_journal
from defedbio.protocol.reading import Lifetime
from defedbio.protocol.retention import End
from defedbio.protocol.view import StudyView
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

NAMES = ("31337-0xc0-1", "31337-0xc0-2", "1-0xc0-1")
ME, OTHER = "0x" + "a1" * 20, "0x" + "a2" * 20


@dataclass
class Shared:
    """A home with studies, each of which has told what it keeps, on one IPFS node."""

    home: Home
    node: MemoryStore

    def folder(self, name: str) -> Path:
        return self.home.root / "studies" / name

    def store(self, name: str) -> ClaimingStore:
        return ClaimingStore(self.node, claims_of(self.home, self.folder(name)))

    def join(self, name: str, told: bool = True) -> ClaimingStore:
        self.folder(name).mkdir(parents=True, exist_ok=True)
        if told:
            claims_of(self.home, self.folder(name)).tell(())
        return self.store(name)


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(Home(tmp_path / "home"), MemoryStore(MemoryNetwork(), "own"))


def test_what_two_studies_keep_stays_until_both_let_go(shared: Shared) -> None:
    """Of equal models there is one pin."""
    one, two = shared.join(NAMES[0]), shared.join(NAMES[1])
    cid = one.add(b"the same model")
    two.add(b"the same model")
    one.unpin(cid)
    assert two.is_pinned(cid)
    one.unpin(cid)
    assert two.is_pinned(cid), "twice is once"
    two.unpin(cid)
    assert not shared.node.pins


def test_what_a_study_never_kept_it_does_not_unpin(shared: Shared) -> None:
    cid = shared.node.add(b"another program's")
    shared.join(NAMES[0]).unpin(cid)
    assert shared.node.is_pinned(cid)


def test_what_could_not_be_pinned_is_not_kept(shared: Shared) -> None:
    one, two = shared.join(NAMES[0]), shared.join(NAMES[1])
    cid = cid_of(b"nobody has it")
    with pytest.raises(BlobUnavailable):
        one.pin(cid)
    assert cid not in Pins(shared.home).claimed()
    kept = one.add(b"kept")
    shared.node.blobs.clear()
    with pytest.raises(BlobUnavailable):
        one.pin(kept)
    two.pin(two.add(b"kept"))
    two.unpin(kept)
    assert shared.node.is_pinned(kept), "that it could not be pinned again takes no older claim away"


def test_nothing_is_unpinned_while_nobody_knows_what_a_study_keeps(shared: Shared) -> None:
    """As of journals of before there were claims, and of a restored home."""
    one = shared.join(NAMES[0])
    shared.join(NAMES[2], told=False)
    cid = one.add(b"of both, perhaps")
    one.unpin(cid)
    assert shared.node.is_pinned(cid)
    assert Pins(shared.home).untold() == {NAMES[2]}
    with pytest.raises(InvalidInput, match=NAMES[2]):
        Pins(shared.home).drop_strays([cid], shared.node.unpin)
    journal = open_journal(shared.folder(NAMES[2]) / JOURNAL)
    Memory(journal).put(LET_GO, None, {"rounds": 0, "through": 0})
    journal.close()
    assert Pins(shared.home).untold() == frozenset(), "one that was let go keeps nothing"
    assert Pins(shared.home).drop_strays([cid], shared.node.unpin) == 1 and not shared.node.pins


def test_what_an_unfinished_claim_may_keep_is_kept(shared: Shared) -> None:
    """A kill between the claim and the pin, in the other study."""
    one, two = shared.join(NAMES[0]), shared.join(NAMES[1])
    cid = one.add(b"a model")
    Pins(shared.home).claim(NAMES[1], [cid])
    one.unpin(cid)
    two.pin(cid)
    assert shared.node.is_pinned(cid)


class Killed(BaseException):
    """SIGKILL here."""


def test_a_kill_while_it_is_unpinned_leaves_what_is_done_again(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    one = shared.join(NAMES[0])
    for moment in ("before", "after"):
        cid = one.add(b"blob")

        def dying(cid: str, real: Callable[[str], None] = shared.node.unpin, moment: str = moment) -> None:
            if moment == "after":
                real(cid)
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(shared.node, "unpin", dying)
            with pytest.raises(Killed):
                one.unpin(cid)
        assert cid in Pins(shared.home).claimed(), "the claim goes last"
        shared.store(NAMES[0]).unpin(cid)
        assert not shared.node.pins and not Pins(shared.home).claimed()


def test_a_pin_that_another_agent_begins_meanwhile_is_not_taken_away(shared: Shared) -> None:
    one, two = shared.join(NAMES[0]), shared.join(NAMES[1])
    cid = one.add(b"a model")
    begun, unpinning = Event(), Event()

    def adopt() -> None:
        unpinning.wait(10)
        begun.set()
        two.pin(cid)

    def slow(cid: str) -> None:
        unpinning.set()
        assert begun.wait(10)
        shared.node.pins.discard(cid)

    other = Thread(target=adopt)
    other.start()
    Pins(shared.home).release(NAMES[0], cid, slow)
    other.join(10)
    assert shared.node.is_pinned(cid) and cid in Pins(shared.home).claimed()


def test_an_agent_gets_its_turn_while_many_strays_are_unpinned(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRAYS_AT_ONCE", 1)
    one = shared.join(NAMES[0])
    listed = sorted(shared.node.add(bytes([at])) for at in range(6))
    begun = Event()
    agent = Thread(target=lambda: begun.wait() and one.pin(listed[-1]))
    agent.start()

    def slow(cid: str) -> None:
        begun.set()
        shared.node.unpin(cid)

    dropped = Pins(shared.home).drop_strays(listed, slow)
    agent.join()
    assert dropped == 5 and shared.node.pins == {listed[-1]}, "it did not wait for the whole list, and what it pinned stays"


def test_who_waits_too_long_for_another_process_is_told(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    one = shared.join(NAMES[0])
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    beside = sqlite3.connect(shared.home.pins, isolation_level=None)
    beside.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnreachable, match="another process of this home"):
        one.add(b"blob")
    beside.close()
    shared.home.pins.write_bytes(b"not a database, and longer than its header" * 100)
    with pytest.raises(InvalidInput, match="cannot be used"):
        one.add(b"blob")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.booleans(), st.sampled_from((b"a", b"b"))), max_size=8))
def test_a_blob_is_pinned_while_any_study_keeps_it(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bool, bytes]]) -> None:
    shared = Shared(Home(tmp_path_factory.mktemp("home")), MemoryStore(MemoryNetwork(), "own"))
    stores = {name: shared.join(name) for name in NAMES}
    kept: set[tuple[str, str]] = set()
    for name, add, data in steps:
        if add:
            kept.add((name, stores[name].add(data)))
        else:
            stores[name].unpin(cid_of(data))
            kept.discard((name, cid_of(data)))
    assert shared.node.pins == {cid for _, cid in kept} == set(Pins(shared.home).claimed())


# -- strays --------------------------------------------------------------------------------------------------------------------------------


def network(monkeypatch: pytest.MonkeyPatch, *emitted: Any, lives: dict[int, Lifetime] | None = None) -> Any:
    """A network whose contracts emitted these, in which the first key was refused and the first ceremony is over, and the others not."""
    monkeypatch.setattr(strays, "fetch_events", lambda client, first, last, kinds: [e for e in emitted if type(e) in kinds])
    contracts = {"RoundManager": "0xC0"}
    client = SimpleNamespace(network=SimpleNamespace(chain_id=31337, contracts=contracts, deploy_block=0), head=lambda: Head(9, b"", 0))
    status = {1: KeyEpochStatus.REJECTED}
    keys = SimpleNamespace(
        epoch_of=lambda epoch: SimpleNamespace(status=status.get(epoch, KeyEpochStatus.ACTIVE)),
        ceremony_of=lambda ceremony: SimpleNamespace(status=CeremonyStatus.FAILED if ceremony == 1 else CeremonyStatus.RUNNING),
    )
    return SimpleNamespace(client=client, keys=keys, lifetime=(lives or {}).__getitem__)


def proposed(epoch: int, proposer: str, holders: tuple[str, ...], cid: str) -> ev.KeyEpochProposed:
    where = ev.EventMeta(1, bytes(32), bytes(32), 0, "")
    return ev.KeyEpochProposed(epoch, proposer, holders, 2, CeremonyKind(0), 2048, bytes(32), bytes(32), cid, meta=where)


def opened(study: int, coordinator: str, cid: str) -> ev.StudyOpened:
    return ev.StudyOpened(study, coordinator, 1, bytes(32), cid, None, meta=ev.EventMeta(1, bytes(32), bytes(32), 0, ""))  # type: ignore[arg-type]


def test_strays_are_what_no_study_keeps_and_nobody_here_published(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    one = shared.join(NAMES[0])
    kept, stray = one.add(b"kept"), shared.node.add(b"pinned after the backup")
    names = ("spec", "ended", "theirs", "refused", "dealt", "held")
    cids = {name: shared.node.add(name.encode()) for name in names}
    goes_on = Lifetime(StudyView(1), None, 0, 30, 100)
    over = Lifetime(StudyView(2), End("it is complete", 1), 10, 0, 100)
    events = [opened(7, ME, cids["spec"]), opened(8, ME, cids["ended"]), opened(9, OTHER, cids["theirs"])]
    events += [proposed(1, ME, (ME,), cids["refused"]), proposed(2, ME, (OTHER,), cids["dealt"]), proposed(3, OTHER, (ME,), cids["held"])]
    enrolled = ev.ParticipantEnrolled(5, ME, 1, bytes(32), meta=ev.EventMeta(1, bytes(32), bytes(32), 0, ""))
    chain = network(monkeypatch, *events, enrolled, lives={7: goes_on, 8: over})
    found = strays.strays(shared.node, [chain], shared.home, ME)
    assert found.cids == tuple(sorted([stray, cids["ended"], cids["theirs"], cids["refused"]]))
    assert found.untold == () and found.elsewhere == ((31337, 5),)
    write_private(shared.home.ceremony(31337, "0x" + "1" * 40, 1) / SEED, {})
    with pytest.raises(InvalidInput, match="key ceremony is under way"):
        strays.unpin(shared.node, shared.home, found)
    erase(shared.home.ceremony(31337, "0x" + "1" * 40, 1) / SEED)
    late = one.add(b"pinned after the backup")
    assert late == stray and strays.unpin(shared.node, shared.home, found) == 3, "a study has begun to keep one meanwhile"
    assert shared.node.pins == {kept, stray, cids["spec"], cids["dealt"], cids["held"]}


def test_messages_of_an_own_ceremony_are_not_astray_while_it_runs(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ev.EventMeta(1, bytes(32), bytes(32), 0, "")
    holders = {1: (ME, OTHER), 2: (OTHER, ME), 3: (OTHER,)}
    cids = {number: shared.node.add(bytes([number])) for number in holders}
    announced = [ev.CeremonyAnnounced(number, OTHER, own, 2, 2048, 60, meta=where) for number, own in holders.items()]
    posted = [ev.CeremonyPosted(number, OTHER, 0, bytes(32), cid, meta=where) for number, cid in cids.items()]
    found = strays.strays(shared.node, [network(monkeypatch, *announced, *posted)], shared.home, ME)
    assert found.cids == tuple(sorted([cids[1], cids[3]])), "of the second the others may still have to fetch it here"


def test_what_a_deleted_study_kept_is_astray(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    cid = shared.join(NAMES[0]).add(b"of a study whose folder was deleted")
    shared.folder(NAMES[0]).rmdir()
    found = strays.strays(shared.node, [network(monkeypatch)], shared.home, ME)
    assert found.cids == (cid,) and strays.unpin(shared.node, shared.home, found) == 1 and not shared.node.pins
