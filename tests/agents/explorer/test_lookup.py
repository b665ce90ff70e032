"""What somebody else is asked for: once at a time, remembered for as long as agreed, and never waited for longer than said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from defedbio.errors import InternalFault, Unreachable
from defedbio.explorer.lookup import Lookup


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_many_who_ask_at_once_are_one_question(pool: ThreadPoolExecutor) -> None:
    gate, asked = threading.Event(), []

    def slow(key: int) -> int:
        asked.append(key)
        assert gate.wait(10)
        return 10 * key

    lookup: Lookup[int, int] = Lookup(slow, pool, 10)
    assert lookup.known(1) is None
    assert lookup.get(1, 0.01) is None, "the page does not wait any longer"
    waiting = [lookup.ask(1) for _ in range(3)]
    gate.set()
    assert [future.result(10) for future in waiting] == [10, 10, 10]
    assert lookup.get(1, 0.0) == lookup.known(1) == 10
    assert asked == [1]


def test_a_refusal_is_remembered_for_a_while_and_not_a_value(pool: ThreadPoolExecutor) -> None:
    clock, asked = Clock(), []

    def failing(key: str) -> str:
        asked.append(key)
        raise Unreachable(f"{key} does not answer")

    lookup: Lookup[str, str] = Lookup(failing, pool, 10, patience=20.0, clock=clock)
    for _ in range(3):
        with pytest.raises(Unreachable, match="it does not answer"):
            lookup.get("it", 5.0)
    assert lookup.known("it") is None
    assert asked == ["it"]
    clock.now = 21.0
    with pytest.raises(Unreachable):
        lookup.get("it", 5.0)
    assert asked == ["it", "it"]


def test_answers_age_and_the_oldest_go(pool: ThreadPoolExecutor) -> None:
    clock, asked = Clock(), []
    lookup: Lookup[int, int] = Lookup(lambda key: asked.append(key) or key, pool, 2, keep=5.0, clock=clock)
    for key in (1, 2, 3):
        assert lookup.get(key, 5.0) == key
    assert [lookup.known(key) for key in (1, 2, 3)] == [None, 2, 3]
    clock.now = 6.0
    assert lookup.known(3) is None
    assert lookup.get(3, 5.0) == 3
    assert asked == [1, 2, 3, 3]


def test_after_the_end_nobody_is_asked(pool: ThreadPoolExecutor) -> None:
    lookup: Lookup[int, int] = Lookup(lambda key: key, pool, 2)
    pool.shutdown()
    with pytest.raises(Unreachable, match="being stopped"):
        lookup.get(1, 1.0)


def test_what_nobody_foresaw_is_a_refusal_too(pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    def broken(key: int) -> int:
        raise RecursionError("deep")

    lookup: Lookup[int, int] = Lookup(broken, pool, 10)
    with pytest.raises(InternalFault, match="RecursionError"):
        lookup.get(7, 5.0)
    assert "asking for 7 failed with RecursionError" in caplog.text
