"""The demo's live display: one line an organisation with its present phase, and a bar on long work."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

BAR = 18
QUIET = {"note", "chain"}


class Screen:
    """A live table on a terminal; elsewhere one line an organisation and finished phase."""

    def __init__(self, console: Console, names: list[str], rounds: int) -> None:
        self._console, self._rounds = console, rounds
        self._rows = {name: {"where": "", "phase": "starting", "bar": ""} for name in names}
        self._live = Live(self._table(), console=console, refresh_per_second=5, transient=True) if console.is_terminal else None

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def take(self, name: str, record: dict[str, Any]) -> None:
        row, phase, status = self._rows[name], record["phase"], record["status"]
        if "round" in record:
            row["where"] = f"round {record['round']}"
        if status == "note" and "message" in record:
            self._say(name, row["where"], record["message"])
        elif phase == "round":
            row["phase"], row["bar"] = "finalised", ""
            self._say(name, row["where"], f"finalised, model {record['model']}")
        elif phase not in QUIET and status == "start":
            row["phase"], row["bar"] = phase, ""
        elif phase not in QUIET and status == "progress":
            filled = BAR * record["done"] // max(1, record["total"])
            row["bar"] = f"{'█' * filled}{'░' * (BAR - filled)} {record['done']}/{record['total']}"
        elif phase not in QUIET and status == "done":
            row["phase"], row["bar"] = "waiting", ""
            if self._live is None:
                self._say(name, row["where"], f"{phase:<14} {record['seconds']:6.2f} s")

    def refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._table())

    def _say(self, name: str, where: str, text: str) -> None:
        self._console.print(f"  {name:<5} {where:<9} {text}", markup=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2))
        for name, row in self._rows.items():
            table.add_row(f"[bold]{name}[/]", row["where"], row["phase"], row["bar"])
        return table
