"""C1: events in chain order, folded again from the fork point; and reports over them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.events import Event, MemberAdmitted, ParticipantRegistered, VoteCast, block_time, fetch_events
from defedbio.chain.feed import EventFeed
from defedbio.chain.network import Network
from defedbio.chain.rpc import RpcError
from defedbio.chain.values import Profile
from defedbio.errors import ChainUnreachable

from .conftest import Anvil, Connect, account, vote


def profile(name: str) -> Profile:
    return Profile(name, "", b"\x07" * 32, "")


def names(events: tuple[Event, ...]) -> list[str]:
    return [event.name for event in events if isinstance(event, ParticipantRegistered)]


def test_polls_add_up(connect: Connect) -> None:
    feed = EventFeed(connect())
    first = feed.poll()
    assert [type(event) for event in first.events] == [MemberAdmitted] * 4
    assert first.forked_at is None
    connect(4).send(ParticipantRegistry.register("r", profile("one")))
    second = feed.poll()
    assert names(second.fresh) == ["one"]
    assert second.events == first.events + second.fresh == feed.events
    assert feed.poll().fresh == ()


def test_a_quiet_chain_costs_one_request(connect: Connect, anvil: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its depth; and the next block is read as ever."""
    for confirmations in (0, 2):
        client = connect(confirmations=confirmations)
        feed = EventFeed(client)
        before, asked = feed.poll(), []
        answer = client._rpc._answer
        monkeypatch.setattr(client._rpc, "_answer", lambda *given, to=answer, asked=asked: (asked.append(given[0]), to(*given))[1])
        assert feed.poll() == replace(before, fresh=()) and asked == ["eth_getBlockByNumber"]
        anvil.mine()
        assert feed.poll().latest.number == before.latest.number + 1


def test_events_wait_for_their_confirmations(connect: Connect, anvil: Anvil) -> None:
    """C1: an event counts once `confirmations` blocks follow its own."""
    feed = EventFeed(connect(confirmations=2))
    connect(4).send(ParticipantRegistry.register("r", profile("young")))
    assert names(feed.poll().events) == []
    anvil.mine()
    assert names(feed.poll().events) == []
    anvil.mine()
    state = feed.poll()
    assert names(state.events) == ["young"]
    assert state.latest.number == state.head.number + 2


def test_a_reorganisation_is_folded_again_from_the_fork(connect: Connect, anvil: Anvil) -> None:
    """C1"""
    feed = EventFeed(connect())
    before = feed.poll()
    snapshot = anvil.rpc("evm_snapshot")
    connect(4).send(ParticipantRegistry.register("a", profile("gone")))
    assert names(feed.poll().events) == ["gone"]
    anvil.rpc("evm_revert", snapshot)
    connect(5).send(ParticipantRegistry.register("b", profile("stays")))
    state = feed.poll()
    assert state.forked_at == before.head.number + 1
    assert names(state.events) == names(state.fresh) == ["stays"]
    assert state.events[:4] == before.events
    assert feed.poll().forked_at is None


def test_a_reorganisation_to_a_shorter_chain(connect: Connect, anvil: Anvil) -> None:
    """C1: blocks that are simply gone take their events with them."""
    feed = EventFeed(connect())
    before = feed.poll()
    snapshot = anvil.rpc("evm_snapshot")
    connect(4).send(ParticipantRegistry.register("a", profile("gone")))
    anvil.mine(3)
    feed.poll()
    anvil.rpc("evm_revert", snapshot)
    state = feed.poll()
    assert state.forked_at is not None
    assert state.events == before.events


def test_a_deep_reorganisation_by_the_node(connect: Connect, anvil: Anvil) -> None:
    feed = EventFeed(connect())
    anvil.mine(3)
    feed.poll()
    connect(4).send(ParticipantRegistry.register("a", profile("gone")))
    anvil.mine()
    assert names(feed.poll().events) == ["gone"]
    anvil.rpc("anvil_reorg", 3, [])
    state = feed.poll()
    assert names(state.events) == []
    assert state.forked_at is not None


def test_logs_are_fetched_in_smaller_pieces_when_the_node_refuses(connect: Connect, network: Network, anvil: Anvil) -> None:
    client = connect()
    anvil.mine(40)
    connect(4).send(ParticipantRegistry.register("a", profile("found")))
    genuine = client._rpc

    class Stingy:
        """The real node behind a limit of 7 blocks a request."""

        shown = genuine.shown
        ask = genuine.ask

        def __init__(self, most: int) -> None:
            self.most = most

        def __call__(self, method: str, *params: Any, read: Any) -> Any:
            if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= self.most:
                raise RpcError(-32005, "query exceeds max block range")
            return genuine(method, *params, read=read)

    client._rpc = Stingy(7)  # type: ignore[assignment]
    events = fetch_events(client, network.deploy_block, client.head().number)
    assert [type(event) for event in events] == [MemberAdmitted] * 4 + [ParticipantRegistered]
    assert [(e.meta.block, e.meta.log_index) for e in events] == sorted((e.meta.block, e.meta.log_index) for e in events)
    client._rpc = Stingy(0)  # type: ignore[assignment]
    with pytest.raises(ChainUnreachable, match="refuses logs of block"):
        fetch_events(client, network.deploy_block, client.head().number)


def test_kinds_narrow(connect: Connect, network: Network) -> None:
    connect(5).send(ParticipantRegistry.register("r", profile("new")))
    connect(0).send(vote("v", account(5).address))
    client = connect()
    (cast,) = fetch_events(client, network.deploy_block, client.head().number, kinds=[VoteCast])
    assert isinstance(cast, VoteCast)
    assert (cast.subject, cast.voter, cast.admit, cast.votes, cast.needed) == (account(5).address, account(0).address, True, 1, 3)


def test_an_event_s_time_is_its_block_s(connect: Connect) -> None:
    receipt = connect(5).send(ParticipantRegistry.register("r", profile("new")))
    client = connect()
    (event,) = fetch_events(client, receipt.block, receipt.block)
    block = client.block(receipt.block)
    assert block is not None
    assert block_time(client, event) == block.timestamp


# -- with a depth --------------------------------------------------------------------------------------------------------------------------


def caught_up(feed: EventFeed) -> EventFeed:
    while feed.poll().behind:
        pass
    return feed


def test_what_is_final_leaves_memory_and_is_told_once(connect: Connect, anvil: Anvil) -> None:
    """C1"""
    feed = caught_up(EventFeed(connect(), depth=3))
    for name in ("one", "two", "three"):
        connect(4).send(ParticipantRegistry.register(name, profile(name)))
        told = feed.poll()
    assert names(feed.events) == names(told.events) == ["one", "two", "three"] and not told.settled
    anvil.mine(2)
    state = feed.poll()
    assert names(state.settled) == ["one", "two"] and names(state.events) == ["three"] and state.fresh == ()
    anvil.mine(3)
    assert names(feed.poll().settled) == ["three"]
    assert feed.events == () and feed.poll().settled == ()


def test_a_reorganisation_above_what_is_final_leaves_that_alone(connect: Connect, anvil: Anvil) -> None:
    """C1"""
    feed = EventFeed(connect(), depth=3)
    anvil.mine(3)
    assert len(feed.poll().settled) == 4
    caught_up(feed)
    snapshot = anvil.rpc("evm_snapshot")
    connect(4).send(ParticipantRegistry.register("a", profile("gone")))
    assert names(feed.poll().events) == ["gone"]
    anvil.rpc("evm_revert", snapshot)
    connect(5).send(ParticipantRegistry.register("b", profile("stays")))
    state = feed.poll()
    assert state.forked_at is not None and not state.anew
    assert names(state.events) == ["stays"] and len(state.events) == 1 and state.settled == ()


def test_a_reorganisation_of_what_was_final_starts_anew(connect: Connect, anvil: Anvil, caplog: pytest.LogCaptureFixture) -> None:
    """A development chain may do it; an honest public chain does not."""
    snapshot = anvil.rpc("evm_snapshot")
    connect(4).send(ParticipantRegistry.register("a", profile("gone")))
    feed = EventFeed(connect(), depth=3)
    anvil.mine(3)
    assert names(feed.poll().settled) == ["gone"]
    anvil.rpc("evm_revert", snapshot)
    anvil.mine(5)
    state = feed.poll()
    assert state.anew and state.forked_at is not None and "counted as final" in caplog.text
    assert len(state.settled + state.events) == 4 and names(state.settled + state.events) == []
    assert not feed.poll().anew


def test_a_node_that_is_behind_what_was_final_is_waited_for(connect: Connect, anvil: Anvil) -> None:
    """It may be reading the chain anew: what was final is not given up for that."""
    snapshot = anvil.rpc("evm_snapshot")
    anvil.mine(9)
    feed = EventFeed(connect(), depth=3)
    settled = feed.poll().settled
    anvil.rpc("evm_revert", snapshot)
    for _ in range(2):
        with pytest.raises(ChainUnreachable, match="was final before"):
            feed.poll()
    anvil.mine(7)
    state = feed.poll()
    assert state.settled + state.events == (settled if state.anew else ())


def test_what_is_far_back_is_read_in_pieces(connect: Connect, anvil: Anvil) -> None:
    anvil.mine(100)
    connect(4).send(ParticipantRegistry.register("r", profile("late")))
    feed, states = EventFeed(connect(), depth=3), []
    while not states or states[-1].behind:
        states.append(feed.poll())
    assert len(states) > 3 and [state.behind for state in states[-2:]] == [True, False]
    whole = EventFeed(connect()).poll().events
    assert tuple(event for state in states for event in state.fresh) == whole
    assert tuple(event for state in states for event in state.settled) + states[-1].events == whole
    assert all(state.events == () for state in states[:-1]), "of what is final nothing stays in memory"
