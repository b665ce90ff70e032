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
