"""Events saved on disk: read back as they were, added to, and passed over wherever they are not the chain's."""

from __future__ import annotations

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
from defedbio.chain.saved import EventsFile, Piece
from defedbio.chain.values import Profile, StudyRules
from defedbio.domain import TWO_THIRDS, BitSet
from defedbio.errors import InvalidInput

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
MakeFile = Callable[..., EventsFile]
DEPTH = 3


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
def file(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> MakeFile:
    """A new reader and writer of one file, to which a feed here adds every event that settles."""
    monkeypatch.setattr(feeds, "_SAVED_EVERY", 1)

    def make(rpc: str = "http://node", study: int = 1) -> EventsFile:
        return EventsFile(tmp_path / "events.json", network, rpc, study)

    return make


def pieces(file: EventsFile) -> list[Piece]:
    saved = file.load()
    return [] if saved is None else list(saved.pieces())


def at(number: int) -> Head:
    return Head(number, b"h" * 32, 1_700_000_000)


def read(feed: EventFeed) -> tuple[Event, ...]:
    """Everything that the feed tells until it is no longer behind."""
    told: tuple[Event, ...] = ()
    while True:
        state = feed.poll()
        told = state.fresh if state.anew else told + state.fresh
        if not state.behind:
            return told


def deep_feed(client: ChainClient, file: EventsFile | None = None, start: int | None = None) -> EventFeed:
    return EventFeed(client, start, depth=DEPTH, file=file)


def watched(client: ChainClient) -> list[tuple[int, int]]:
    """The ranges of blocks that the client asks its node about from now on."""
    asked: list[tuple[int, int]] = []
    genuine = client.get_logs

    def get_logs(first: int, last: int, *rest: Any) -> Any:
        asked.append((first, last))
        return genuine(first, last, *rest)

    client.get_logs = get_logs  # type: ignore[method-assign]
    return asked


def register(connect: Connect, name: str) -> None:
    connect(4).send(ParticipantRegistry.register(name, Profile(name, "", b"\x07" * 32, "")))


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_is_read_as_it_was_written(kind: type[Event], file: MakeFile) -> None:
    piece = Piece(at(9), (sample(kind),))
    file().add(piece)
    assert pieces(file()) == [piece]


def test_pieces_are_added_behind_what_is_there(file: MakeFile, tmp_path: Path) -> None:
    first, second, third = (Piece(at(number), (replace(sample(RoundOpened), round=number),)) for number in (7, 8, 9))
    writer = file()
    writer.add(first)
    before = (tmp_path / "events.json").read_bytes()
    writer.add(second)
    again = file()
    assert pieces(again) == [first, second]
    again.add(third)
    saved = file().load()
    assert saved is not None and list(saved.pieces()) == [first, second, third]
    assert (saved.head, saved.events, saved.rounds) == (at(9), 3, {7, 8, 9})
    after = (tmp_path / "events.json").read_bytes()
    assert after.startswith(before) and (tmp_path / "events.json").stat().st_mode & 0o777 == 0o600


def test_what_is_of_something_else_is_passed_over_and_replaced(file: MakeFile, tmp_path: Path, network: Network) -> None:
    file().add(Piece(at(9), ()))
    assert file(rpc="http://another").load() is None, "what one node told is not taken for another's word"
    assert file(study=2).load() is None
    assert EventsFile(tmp_path / "events.json", replace(network, chain_id=5), "http://node", 1).load() is None
    assert EventsFile(tmp_path / "none.json", network, "http://node", 1).load() is None
    assert file().load() is not None
    other = file(study=2)
    assert other.load() is None
    other.add(Piece(at(3), ()))
    assert file().load() is None and pieces(file(study=2)) == [Piece(at(3), ())]


def test_of_a_file_that_is_not_whole_the_whole_pieces_count(file: MakeFile, tmp_path: Path) -> None:
    """Cut off or changed anywhere: what is whole before it counts, and the next piece goes behind that."""
    path, writer = tmp_path / "events.json", file()
    whole = [Piece(at(number), (sample(RoundOpened),)) for number in (1, 2, 3)]
    ends = []
    for piece in whole:
        writer.add(piece)
        ends.append(path.stat().st_size)
    raw = path.read_bytes()
    for size in range(0, len(raw), 23):
        known = whole[: sum(end <= size for end in ends)]
        path.write_bytes(raw[:size])
        assert pieces(file()) == known
        path.write_bytes(raw[:size] + bytes((raw[size] ^ 1,)) + raw[size + 1 :])
        torn = file()
        assert pieces(torn) == known
        torn.add(Piece(at(5), ()))
        assert pieces(file()) == [*known, Piece(at(5), ())]


def test_a_file_that_changes_while_it_is_read_is_not_read_on_and_not_added_to(
    connect: Connect, file: MakeFile, anvil: Anvil, tmp_path: Path
) -> None:
    anvil.mine(20)
    register(connect, "one")
    anvil.mine(20)
    events = read(deep_feed(connect(), file()))
    feed = deep_feed(connect(), file())
    first = feed.poll()
    assert first.behind and first.settled
    (tmp_path / "events.json").write_bytes(b"")
    assert first.fresh + read(feed) == events
    register(connect, "two")
    anvil.mine(DEPTH)
    read(feed)
    assert file().load() is None, "behind a gap nothing is saved"
    assert [e.name for e in read(deep_feed(connect(), file())) if isinstance(e, ParticipantRegistered)] == ["one", "two"]


def test_a_feed_goes_on_where_another_ended(connect: Connect, file: MakeFile, anvil: Anvil) -> None:
    anvil.mine(600)
    before = read(deep_feed(connect(), file()))
    saved = file().load()
    assert saved is not None and saved.events == len(before) == 4
    register(connect, "new")
    client = connect()
    asked = watched(client)
    feed = deep_feed(client, file())
    events = read(feed)
    assert events[:-1] == before and isinstance(events[-1], ParticipantRegistered)
    assert asked[0][1] <= saved.head.number < asked[1][0] == saved.head.number + 1, "some is looked at again, and the rest read"
    assert feed.poll().fresh == ()


def test_events_that_are_not_the_chain_s_are_read_again(
    connect: Connect, file: MakeFile, anvil: Anvil, caplog: pytest.LogCaptureFixture
) -> None:
    """One invented, one left out: the whole chain is short enough to be among the blocks that are looked at."""
    anvil.mine(DEPTH)
    events, head = read(deep_feed(connect())), connect().head()
    for lie in ((*events, MemberAdmitted("0x" + "A1" * 20, 5, meta=events[-1].meta)), events[:-1]):
        file().remove()
        file().add(Piece(head, lie))
        assert read(deep_feed(connect(), file())) == events
        assert "not the chain's" in caplog.text
        caplog.clear()
        assert [event for piece in pieces(file()) for event in piece.events] == list(events), "and saved anew"


@pytest.mark.parametrize("late", [0, -1], ids=["first", "last"])
def test_every_block_may_be_looked_at(connect: Connect, file: MakeFile, anvil: Anvil, monkeypatch: pytest.MonkeyPatch, late: int) -> None:
    """An event left out of the first block with one, or of the block that the saved events end at."""
    start = EventFeed(connect()).poll().events[0].meta.block
    anvil.mine(200)
    register(connect, "late")
    state = EventFeed(connect(), start).poll()
    assert state.events[-1].meta.block == state.head.number
    file().add(Piece(state.head, tuple(event for event in state.events if event != state.events[late])))
    monkeypatch.setattr(feeds, "_MOST_LOOKED_AT", 64)
    monkeypatch.setattr(feeds.secrets, "randbelow", lambda bound: late % bound)
    assert read(deep_feed(connect(), file(), start)) == state.events


def test_what_is_forgotten_is_read_again(
    connect: Connect, file: MakeFile, anvil: Anvil, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    anvil.mine(DEPTH)
    feed = deep_feed(connect(), file())
    feed.poll()
    assert file().load() is not None
    feed.forget()
    feed.forget()
    assert file().load() is None and not caplog.text
    (tmp_path / "events.json").mkdir()
    feed.forget()
    assert "cannot be removed" in caplog.text
    EventFeed(connect()).forget()


def test_only_what_is_final_is_saved(connect: Connect, file: MakeFile, anvil: Anvil) -> None:
    """C1"""
    feed = deep_feed(connect(), file())
    for blocks in range(DEPTH + 1):
        register(connect, f"{blocks}")
        feed.poll()
    kept = [event for piece in pieces(file()) for event in piece.events]
    assert [e.name for e in kept if isinstance(e, ParticipantRegistered)] == ["0"]


def test_a_block_that_was_reorganised_away_does_not_count(connect: Connect, file: MakeFile, anvil: Anvil) -> None:
    """C1: not even one that was final, should a chain do that."""
    snapshot = anvil.rpc("evm_snapshot")
    register(connect, "gone")
    anvil.mine(DEPTH)
    assert len(read(deep_feed(connect(), file()))) == 5
    anvil.rpc("evm_revert", snapshot)
    anvil.mine(DEPTH + 2)
    assert len(read(deep_feed(connect(), file()))) == 4
    assert sum(len(piece.events) for piece in pieces(file())) == 4


def test_a_disk_that_refuses_does_not_stop_the_feed(
    connect: Connect, file: MakeFile, anvil: Anvil, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "events.json").mkdir()
    anvil.mine(DEPTH)
    feed = deep_feed(connect(), file())
    assert len(read(feed)) == 4
    assert "not saved any more" in caplog.text
    with pytest.raises(InvalidInput, match="cannot be written"):
        file().add(Piece(at(1), ()))
