"""`defedbio top`: the organisation's own state in a study, live."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from defedbio.cli.common import (
    HOME,
    NETWORK,
    HomeOption,
    IpfsOption,
    JsonOption,
    NetworkOption,
    RpcOption,
    amount,
    connect,
    console,
    emit,
    plain,
)
from defedbio.config import DEFAULT_IPFS_API
from defedbio.domain import Phase
from defedbio.errors import ChainUnreachable
from defedbio.text import moment

if TYPE_CHECKING:
    from defedbio.client.status import Status

BAR = 24
LARGEST = 4
ENDED = {Phase.FINALISED.name.lower(), Phase.VOIDED.name.lower()}
# What an organisation has done once it did its part of the phase, in the order of the phases.
PARTS = ("committed", "revealed", "checked", "in_set", "released", "attested")


def top(
    study: Annotated[int, typer.Option("--study", min=1, help="Study number on the chain.")],
    every: Annotated[float, typer.Option("--every", min=0.5, help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end; so does output that is no terminal.")] = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show the organisation's own state in a study: round, own part, work, gas money, privacy budget, peers. Ctrl-C ends it."""
    client = connect(home, network, rpc, ipfs)
    if once or json or not console.is_terminal:
        status = client.top(study)
        emit(status.to_json(), json, frame(status, time.time()))
        return
    _watch(lambda: client.top(study), every)


def _watch(look: Callable[[], Status], every: float) -> None:
    status = look()
    note = ""
    with suppress(KeyboardInterrupt), Live(frame(status, time.time()), console=console, auto_refresh=False, screen=True) as live:
        read_at = time.monotonic()
        while True:
            time.sleep(0.5)
            if time.monotonic() - read_at >= every:
                try:
                    status, note = look(), ""
                except ChainUnreachable as error:
                    note = error.message
                read_at = time.monotonic()
            live.update(frame(status, time.time(), note), refresh=True)


def frame(status: Status, now: float, note: str = "") -> Table:
    """One picture of the state at unix time `now`."""
    table = Table(box=None, show_header=False, padding=(0, 2), title=f"study {status.study} · {now_text(now)}", title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, shown in _rows(status, now):
        table.add_row(name, shown)
    for problem in (*status.problems, *([note] if note else [])):
        table.add_row("unknown", Text("! ", style="red") + plain(problem))
    return table


def _rows(status: Status, now: float) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [
        ("study", plain(status.name or "-")),
        ("organisation", plain(status.organisation)),
        ("agent", _agent(status, now)),
        ("rounds", _rounds(status)),
    ]
    current = status.round
    if current is not None:
        rows += [
            ("round", f"{current.id}, step {current.step + 1} of {status.steps}: {current.phase}"),
            ("deadline", _deadline(status, now)),
        ]
        rows += [("own part", _own(status)), ("all", _all(status))]
        if current.missing:
            rows.append(("waits for", plain(", ".join(current.missing))))
    rows += [
        ("work", _work(status)),
        ("transactions", "?" if status.transactions_pending is None else f"{status.transactions_pending} not mined"),
        ("gas money", _gas_money(status)),
        ("privacy", _privacy(status)),
        ("journal", stored(status.journal)),
        ("IPFS peers", "?" if status.peers is None else str(status.peers)),
    ]
    if status.phases:
        rows.append(("last work", _phases(status)))
    if status.notes:
        rows.append(("notes", Group(*(_note(record) for record in status.notes))))
    return rows


def now_text(at: float) -> str:
    return moment(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _agent(status: Status, now: float) -> Text:
    if not status.running or status.started is None:
        return Text("complete" if status.complete else f"not running: `defedbio run --study {status.study}` starts it", style="yellow")
    metrics = f", metrics at {status.metrics}" if status.metrics else ", without metrics"
    return Text(f"running for {span(now - status.started)}{metrics}", style="green")


def _rounds(status: Status) -> Table:
    done = Table.grid(padding=(0, 1))
    voided = f", {status.voided} voided" if status.voided else ""
    text = f"{status.finalised} of {status.steps} finalised{voided}; {status.enrolled} of {status.seats} organisations enrolled"
    done.add_row(ProgressBar(total=max(1, status.steps), completed=status.finalised, width=BAR), text)
    return done


def _deadline(status: Status, now: float) -> Table | str:
    current = status.round
    if current is None or current.phase in ENDED or not current.window:
        return "-"
    left = current.deadline - now
    text = f"{span(left)} left" if left >= 0 else f"{span(-left)} over: anyone may advance the round"
    done = Table.grid(padding=(0, 1))
    done.add_row(ProgressBar(total=current.window, completed=min(current.window, max(0, current.window - left)), width=BAR), text)
    return done


def _own(status: Status) -> Text:
    marks = {True: ("✓", "green"), False: ("·", "dim"), None: ("-", "dim")}
    text = Text()
    for part in PARTS:
        mark, style = marks[getattr(status.own, part)]
        text.append(f"{mark} ", style).append(f"{part.replace('_', ' ')}  ")
    return text


def _all(status: Status) -> str:
    counts = status.round.organisations if status.round else {}
    return ", ".join(f"{counts.get(part, 0)} {part.replace('_', ' ')}" for part in PARTS) + f" of {status.enrolled}"


def _work(status: Status) -> Table | str:
    if not status.running:
        return "-"
    if not status.work:
        return "waits" if status.metrics else "?"
    if not status.progress:
        return status.work
    done = Table.grid(padding=(0, 1))
    done.add_row(ProgressBar(total=1.0, completed=status.progress, width=BAR), f"{status.work} {status.progress:.0%}")
    return done


def _gas_money(status: Status) -> str:
    if status.balance is None:
        return "?"
    lasts = f", about {status.rounds_paid:,} rounds at {status.cost_per_round / 1e18:.3g} a round" if status.cost_per_round else ""
    return f"{status.balance / 1e18:.6g}{lasts}"


def _privacy(status: Status) -> str:
    if status.epsilon_budget is None:
        return "encryption only" if status.name else "?"
    spent = status.epsilon_spent or 0.0
    return f"epsilon {spent:.4g} of {status.epsilon_budget:g} declared, {max(0.0, status.epsilon_budget - spent):.4g} left"


def stored(sizes: dict[str, int] | None) -> str:
    """What takes room in a journal, the largest first."""
    if sizes is None:
        return "?"
    largest = sorted(sizes.items(), key=lambda entry: -entry[1])[:LARGEST]
    return f"{amount(sum(sizes.values()))}" + (f": {', '.join(f'{kind} {amount(size)}' for kind, size in largest)}" if largest else "")


def _phases(status: Status) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("at", "round", "phase"):
        table.add_column(name)
    for name in ("seconds", "bytes", "gas"):
        table.add_column(name, justify="right")
    for record in status.phases:
        failed = " (failed)" if record["status"] == "failed" else ""
        amounts = (f"{record['seconds']:,.2f}", *(f"{record.get(key, 0):,}" for key in ("bytes", "gas")))
        table.add_row(_clock(record), str(record.get("round", "")), plain(f"{record['phase']}{failed}"), *amounts)
    return table


def _note(record: dict[str, Any]) -> Text:
    style = {"warning": "yellow", "error": "red"}.get(str(record.get("level")), "")
    where = f"round {record['round']} " if "round" in record else ""
    said = plain(record.get("message") or f"{record['phase']} {record['status']}")
    return Text(f"{_clock(record)} {where}", style="dim").append_text(Text(said.plain, style=style))


def _clock(record: dict[str, Any]) -> str:
    return moment(float(record["at"])).astimezone().strftime("%H:%M:%S")


def span(seconds: float) -> str:
    """A length of time for a reader: 45 s, 3 min 20 s, 5 h 2 min, 2 d 3 h."""
    whole = int(seconds)
    for unit, size, below, smaller in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {below}"
    return f"{whole} s"
