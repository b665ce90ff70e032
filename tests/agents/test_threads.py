"""Threads that die: each says so, and what must go on does, at a bounded pace."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from defedbio.threads import Pauses, kept_up, started

QUICK = Pauses(0.001, 0.004)


@pytest.fixture
def stopped() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


def test_work_that_dies_is_begun_again_and_says_so(stopped: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    lives: list[int] = []
    told: list[str] = []

    def work() -> None:
        lives.append(1)
        if len(lives) < 4:
            raise RecursionError("a value that must not be logged")

    kept_up(work, "the worker", stopped, QUICK, told.append).join(10)
    assert len(lives) == 4, "it ended when the work did"
    assert len(told) == 3 and told[0].startswith("the worker died of RecursionError at test_threads.py:")
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [line.rpartition(" in ")[2] for line in said if "begun again" in line] == ["0.001 s", "0.002 s", "0.004 s"]
    assert not any("must not be logged" in line for line in said)


def test_the_pause_has_an_end_and_a_stop_ends_it(stopped: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    enough = threading.Event()

    def work() -> None:
        if sum("begun again" in r.getMessage() for r in caplog.records) >= 6:
            enough.set()
        raise OSError

    thread = kept_up(work, "the worker", stopped, QUICK)
    assert enough.wait(10)
    stopped.set()
    thread.join(10)
    assert not thread.is_alive()
    pauses = {r.getMessage().rpartition(" in ")[2] for r in caplog.records if "begun again" in r.getMessage()}
    assert pauses == {"0.001 s", "0.002 s", "0.004 s"}


def test_whoever_is_told_cannot_end_it(stopped: threading.Event) -> None:
    lives: list[int] = []

    def work() -> None:
        lives.append(1)
        if len(lives) < 3:
            raise OSError

    def deaf(why: str) -> None:
        raise ValueError(why)

    kept_up(work, "the worker", stopped, QUICK, deaf).join(10)
    assert len(lives) == 3


def test_what_is_done_once_dies_with_a_word_and_no_traceback(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise KeyError("x")

    started(work, "a helper").join(10)
    assert "a helper died of KeyError" in caplog.text and capsys.readouterr().err == ""
