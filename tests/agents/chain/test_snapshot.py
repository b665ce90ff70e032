"""Events saved on disk: read back as they were, and passed over wherever they are not the chain's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from defedbio.chain import feed as feeds
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.events import EVENTS, Event, EventMeta, MemberAdmitted, ParticipantRegistered, RoundOpened
from defedbio.chain.feed import EventFeed
from defedbio.chain.network import Network
from defedbio.chain.records import Head
from defedbio.chain.snapshot import Snapshot, SnapshotFile
from defedbio.chain.values import Profile, StudyRules
from defedbio.domain import TWO_THIRDS, BitSet

from .conftest import Anvil, Connect

META = EventMeta(7, b"b" * 32, b"t" * 32, 3, "0x" + "A1" * 20)
SAMPLES: dict[Any, Any] = {
    bytes: b"\x00\xff" * 16,
    int: 2**64 - 1,
    bool: True,
    str: "náme \x07",
    BitSet: BitSet(1 << 255),
    StudyRules: StudyRules(9, 3, 5, 0, 60, 60, 60, 60, 60, 60, TWO_THIRDS),
    tuple[str, ...]: ("0x1", "0x2"),
}
Saved = Callable[..., SnapshotFile]


def sample(kind: type[Event]) -> Event:
    hints = get_type_hints(kind)
    values = {
        f.name: list(hints[f.name])[1]
        if issubclass(hints[f.name] if isinstance(hints[f.name], type) else object, IntEnum)
        else SAMPLES[hints[f.name]]
        for f in fields(kind)
        if f.name != "meta"
    }
    return kind(**values, meta=META)


@pytest.fixture
def saved(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> Saved:
    """A new reader and writer of one file, into which a feed here saves every event."""
    monkeypatch.setattr(feeds, "_SAVED_EVERY", 1)

    def make(rpc: str = "http://node", study: int = 1) -> SnapshotFile:
        return SnapshotFile(tmp_path / "events.json", network, rpc, study)

    return make


def admitted(client: ChainClient, saved: SnapshotFile) -> tuple[EventFeed, list[tuple[int, int]]]:
    """A feed of all events, and the ranges of blocks that it asks the node about."""
    asked: list[tuple[int, int]] = []
    genuine = client.get_logs

    def get_logs(first: int, last: int, *rest: Any) -> Any:
        asked.append((first, last))
        return genuine(first, last, *rest)

    client.get_logs = get_logs  # type: ignore[method-assign]
    return EventFeed(client, saved=saved), asked


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_is_read_as_it_was_written(kind: type[Event], saved: Saved) -> None:
    snapshot = Snapshot(Head(9, b"h" * 32, 1_700_000_000), (sample(kind),))
    saved().save(snapshot)
    assert saved().load() == snapshot


def test_what_is_of_something_else_is_passed_over(saved: Saved, tmp_path: Path, network: Network) -> None:
    saved().save(Snapshot(Head(9, b"h" * 32, 1), ()))
    assert saved(rpc="http://another").load() is None, "what one node told is not taken for another's word"
    assert saved(study=2).load() is None
    assert SnapshotFile(tmp_path / "events.json", replace(network, chain_id=5), "http://node", 1).load() is None
    assert SnapshotFile(tmp_path / "none.json", network, "http://node", 1).load() is None
    assert saved().load() is not None


def test_what_is_not_whole_is_passed_over(saved: Saved, tmp_path: Path) -> None:
    saved().save(Snapshot(Head(9, b"h" * 32, 1), (sample(RoundOpened),)))
    path = tmp_path / "events.json"
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        assert saved().load() is None
    document = json.loads(whole.partition(b"\n")[2])
    for field, value in {"head": [9, "zz", 1], "events": [["Nothing", 1]], "format": "another/1"}.items():
        body = json.dumps(document | {field: value}).encode()
        path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        assert saved().load() is None, field


def test_a_feed_goes_on_where_another_ended(connect: Connect, saved: Saved, anvil: Anvil) -> None:
    before = EventFeed(connect(), saved=saved()).poll()
    anvil.mine(600)
    EventFeed(connect(), saved=saved()).poll()
    connect(4).send(ParticipantRegistry.register("r", Profile("new", "", b"\x07" * 32, "")))
    feed, asked = admitted(connect(), saved())
    state = feed.poll()
    assert state.events == state.fresh == (*before.events, state.events[-1])
    assert isinstance(state.events[-1], ParticipantRegistered)
    assert asked[-1][0] > before.head.number and all(last - first < 2000 or first > before.head.number for first, last in asked)
    assert feed.poll().fresh == ()


def test_events_that_are_not_the_chain_s_are_read_again(connect: Connect, saved: Saved, caplog: pytest.LogCaptureFixture) -> None:
    """One invented, one left out: the whole chain is short enough to be among the blocks that are looked at."""
    state = EventFeed(connect(), saved=saved()).poll()
    for lie in ((*state.events, MemberAdmitted("0x" + "A1" * 20, 5, meta=state.events[-1].meta)), state.events[:-1]):
        saved().save(Snapshot(state.head, lie))
        feed = EventFeed(connect(), saved=saved())
        assert feed.poll().events == state.events
        assert "not the chain's" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("late", [0, -1], ids=["first", "last"])
def test_every_block_may_be_looked_at(connect: Connect, saved: Saved, anvil: Anvil, monkeypatch: pytest.MonkeyPatch, late: int) -> None:
    """An event left out of the first block with one, or of the block that the saved events end at."""
    start = EventFeed(connect()).poll().events[0].meta.block
    anvil.mine(200)
    connect(4).send(ParticipantRegistry.register("late", Profile("late", "", b"\x07" * 32, "")))
    state = EventFeed(connect(), start).poll()
    assert state.events[-1].meta.block == state.head.number
    saved().save(Snapshot(state.head, tuple(event for event in state.events if event != state.events[late])))
    monkeypatch.setattr(feeds, "_MOST_LOOKED_AT", 64)
    monkeypatch.setattr(feeds.secrets, "randbelow", lambda bound: late % bound)
    assert EventFeed(connect(), start, saved=saved()).poll().events == state.events


def test_what_is_forgotten_is_read_again(connect: Connect, saved: Saved, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    feed = EventFeed(connect(), saved=saved())
    feed.poll()
    feed.forget()
    feed.forget()
    assert saved().load() is None and not caplog.text
    (tmp_path / "events.json").mkdir()
    feed.forget()
    assert "cannot be removed" in caplog.text
    EventFeed(connect()).forget()


def test_a_block_that_was_reorganised_away_or_is_too_young_does_not_count(connect: Connect, saved: Saved, anvil: Anvil) -> None:
    """C1"""
    snapshot = anvil.rpc("evm_snapshot")
    connect(4).send(ParticipantRegistry.register("a", Profile("gone", "", b"\x07" * 32, "")))
    assert len(EventFeed(connect(), saved=saved()).poll().events) == 5
    young = EventFeed(connect(confirmations=3), saved=saved()).poll()
    assert len(young.events) == 4
    assert len(EventFeed(connect(), saved=saved()).poll().events) == 5
    anvil.rpc("evm_revert", snapshot)
    anvil.mine(2)
    assert len(EventFeed(connect(), saved=saved()).poll().events) == 4


def test_a_reorganisation_while_it_runs_is_saved_too(connect: Connect, saved: Saved, anvil: Anvil) -> None:
    """C1"""
    feed = EventFeed(connect(), saved=saved())
    feed.poll()
    snapshot = anvil.rpc("evm_snapshot")
    connect(4).send(ParticipantRegistry.register("a", Profile("gone", "", b"\x07" * 32, "")))
    feed.poll()
    anvil.rpc("evm_revert", snapshot)
    feed.poll()
    kept = saved().load()
    assert kept is not None and len(kept.events) == 4


def test_a_disk_that_refuses_does_not_stop_the_feed(
    connect: Connect, saved: Saved, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "events.json").mkdir()
    assert len(EventFeed(connect(), saved=saved()).poll().events) == 4
    assert "not saved" in caplog.text
