"""C1: events in chain order, folded again from the fork point; and reports over them."""

from __future__ import annotations

from typing import Any

import pytest

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.events import Event, MemberAdmitted, ParticipantRegistered, VoteCast, fetch_events
from defedbio.chain.feed import EventFeed
from defedbio.chain.network import Network
from defedbio.chain.reports import block_time, gas_by_transaction
from defedbio.chain.rpc import RpcError
from defedbio.chain.values import Profile
from defedbio.errors import ChainUnreachable

from .conftest import Anvil, Connect, account


def profile(name: str) -> Profile:
    return Profile(name, "", b"\x07" * 32, "")


def names(events: tuple[Event, ...]) -> list[str]:
    return [event.name for event in events if isinstance(event, ParticipantRegistered)]


def test_polls_add_up(connect: Connect) -> None:
    feed = EventFeed(connect())
    first = feed.poll()
    assert [type(event) for event in first.events] == [MemberAdmitted] * 4
    assert first.forked_at is None
    ParticipantRegistry(connect(4)).register("r", profile("one"))
    second = feed.poll()
    assert names(second.fresh) == ["one"]
    assert second.events == first.events + second.fresh == feed.events
    assert feed.poll().fresh == ()


def test_events_wait_for_their_confirmations(connect: Connect, anvil: Anvil) -> None:
    """C1: an event counts once `confirmations` blocks follow its own."""
    feed = EventFeed(connect(confirmations=2))
    ParticipantRegistry(connect(4)).register("r", profile("young"))
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
    ParticipantRegistry(connect(4)).register("a", profile("gone"))
    assert names(feed.poll().events) == ["gone"]
    anvil.rpc("evm_revert", snapshot)
    ParticipantRegistry(connect(5)).register("b", profile("stays"))
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
    ParticipantRegistry(connect(4)).register("a", profile("gone"))
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
    ParticipantRegistry(connect(4)).register("a", profile("gone"))
    anvil.mine()
    assert names(feed.poll().events) == ["gone"]
    anvil.rpc("anvil_reorg", 3, [])
    state = feed.poll()
    assert names(state.events) == []
    assert state.forked_at is not None


def test_logs_are_fetched_in_smaller_pieces_when_the_node_refuses(connect: Connect, network: Network, anvil: Anvil) -> None:
    client = connect()
    anvil.mine(40)
    ParticipantRegistry(connect(4)).register("a", profile("found"))
    genuine = client._rpc

    class Stingy:
        """The real node behind a limit of 7 blocks a request."""

        shown = genuine.shown
        ask = genuine.ask

        def __init__(self, most: int) -> None:
            self.most = most

        def __call__(self, method: str, *params: Any) -> Any:
            if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= self.most:
                raise RpcError(-32005, "query exceeds max block range")
            return genuine(method, *params)

    client._rpc = Stingy(7)  # type: ignore[assignment]
    events = fetch_events(client, network.deploy_block, client.head().number)
    assert [type(event) for event in events] == [MemberAdmitted] * 4 + [ParticipantRegistered]
    assert [(e.meta.block, e.meta.log_index) for e in events] == sorted((e.meta.block, e.meta.log_index) for e in events)
    client._rpc = Stingy(0)  # type: ignore[assignment]
    with pytest.raises(ChainUnreachable, match="refuses logs of block"):
        fetch_events(client, network.deploy_block, client.head().number)


def test_kinds_narrow(connect: Connect, network: Network) -> None:
    ParticipantRegistry(connect(5)).register("r", profile("new"))
    ParticipantRegistry(connect(0)).vote_to_admit("v", account(5).address)
    client = connect()
    (vote,) = fetch_events(client, network.deploy_block, client.head().number, kinds=[VoteCast])
    assert isinstance(vote, VoteCast)
    assert (vote.subject, vote.voter, vote.admit, vote.votes, vote.needed) == (account(5).address, account(0).address, True, 1, 3)


def test_reports(connect: Connect) -> None:
    receipt = ParticipantRegistry(connect(5)).register("r", profile("new"))
    client: ChainClient = connect()
    events = fetch_events(client, receipt.block, receipt.block)
    (cost,) = gas_by_transaction(client, events)
    assert (cost.tx_hash, cost.gas_used, cost.cost, cost.sender) == (receipt.tx_hash, receipt.gas_used, receipt.cost, account(5).address)
    assert (cost.contract, cost.events) == ("ParticipantRegistry", ("ParticipantRegistered",))
    block = client.block(receipt.block)
    assert block is not None
    assert block_time(client, events[0]) == cost.timestamp == block.timestamp
