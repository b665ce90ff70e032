"""`defedbio top` while it is open: it goes on when the chain does not answer, and ends with Ctrl-C."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from defedbio.cli import top
from defedbio.errors import ChainUnreachable
from defedbio.nodes.watching.status import OwnRecord, Status


def status(name: str) -> Status:
    own = OwnRecord(None, None, None, None, None, None)
    unknown: dict[str, Any] = dict.fromkeys(
        ("started", "round", "transactions_pending", "balance", "cost_per_round", "rounds_paid", "peers")
    )
    return Status(
        at=0, study=1, name=name, organisation="0xA1", running=False, metrics="", enrolled=4, seats=4, steps=2, finalised=0, voided=0,
        complete=False, own=own, work="", progress=0, epsilon_spent=None, epsilon_budget=None, **unknown,
    )  # fmt: skip


def test_it_goes_on_without_the_chain_and_ends_with_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [status("first look"), ChainUnreachable("the chain is away"), status("second look")]

    def look() -> Status:
        answer = answers.pop(0) if answers else KeyboardInterrupt()
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Status)
        return answer

    screen = io.StringIO()
    monkeypatch.setattr(top, "console", Console(file=screen, force_terminal=True, width=100, height=30))
    monkeypatch.setattr(top.time, "sleep", lambda seconds: None)
    top._watch(look, every=0.0)
    shown = screen.getvalue()
    assert shown.index("first look") < shown.index("the chain is away") < shown.index("second look")
