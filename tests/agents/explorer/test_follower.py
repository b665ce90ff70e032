"""The two threads: what is new on the chain is shown, and what pages lack is asked for behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from defedbio.explorer.follower import Follower
from defedbio.threads import Pauses
from tests.agents.explorer.world import World


@pytest.fixture
def follower(world: World) -> Iterator[Follower]:
    made = Follower(world.index, world.lookups, poll_seconds=0.01)
    made.start()
    yield made
    made.stop()


def until(world: World, condition: Callable[[], bool]) -> None:
    """Wait from version to version."""
    version = -1
    for _ in range(100):
        if condition():
            return
        version = world.index.wait(version, 0.2)
    raise AssertionError("it never came about")


def test_specs_and_gas_are_there_without_anybody_asking(world: World, follower: Follower) -> None:
    until(world, lambda: world.lookups.gas_of_round(1) is not None and world.lookups.known_frame(1) is not None)
    world.round(2)
    until(world, lambda: world.lookups.gas_of_round(2) is not None)


def test_a_chain_that_goes_away_and_comes_back_is_told(world: World, follower: Follower) -> None:
    world.chain.down = True
    until(world, lambda: follower.trouble == "the node does not answer")
    world.chain.down = False
    world.round(2)
    until(world, lambda: not follower.trouble and len(world.index.study(1).rounds) == 2)


def test_a_round_that_somebody_looks_at_comes_first(world: World) -> None:
    for number in range(2, 6):
        world.round(number)
    world.index.poll()
    follower = Follower(world.index, world.lookups, poll_seconds=0.01)
    follower.want([3, 99])
    order = [view.id for _, view in follower._rounds([world.index.study(1)])]
    assert order == [3, 5, 4, 3, 2, 1]


def test_threads_that_die_are_begun_again_and_pages_say_so(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poll, fill = world.index.poll, world.lookups.fill
    broken = threading.Event()
    broken.set()

    def until_mended(real: Callable[..., bool]) -> Callable[..., bool]:
        def failing(*args: object) -> bool:
            if broken.is_set():
                raise RecursionError
            return real(*args)

        return failing

    monkeypatch.setattr(world.index, "poll", until_mended(poll))
    monkeypatch.setattr(world.lookups, "fill", until_mended(fill))
    follower = Follower(world.index, world.lookups, 0.01, Pauses(0.001, 0.01))
    follower.start()
    try:
        until(world, lambda: "following the chain died of RecursionError" in follower.trouble)
        until(world, lambda: "asking ahead died of RecursionError" in caplog.text)
        broken.clear()
        world.round(2)
        until(world, lambda: not follower.trouble and world.lookups.gas_of_round(2) is not None)
    finally:
        follower.stop()
