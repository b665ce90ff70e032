"""`defedbio run`: the organisation's agent."""

from __future__ import annotations

import json as jsonlib
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from agents.cli.common import HOME, NETWORK, HomeOption, IpfsOption, NetworkOption, PasswordFileOption, RpcOption, Session
from agents.config import DEFAULT_IPFS_API
from agents.nodes.organisation import LoopOptions
from agents.nodes.participation import assemble
from agents.protocol.journal import Journal
from agents.protocol.report import Reporter, Sink


def run(
    study: Annotated[int, typer.Option("--study", min=1, help="Study number on the chain.")],
    data: Annotated[Path | None, typer.Option("--data", help="This organisation's data file; never leaves this machine.")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads for training.")] = 1,
    poll: Annotated[float, typer.Option("--poll", min=0.05, help="Seconds between looks at the chain.")] = 1.0,
    patience: Annotated[
        float, typer.Option("--patience", min=1, help="Seconds that chain or IPFS may stay away before the agent stops.")
    ] = 600.0,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON record a line instead of text.")] = False,
) -> None:
    """Follow the chain and take part until the study ends. Safe to stop and start at any time: it goes on where its journal ends."""
    from agents.learning.local import use_threads

    use_threads(threads)
    session = Session(home, network, rpc, ipfs, password_file)
    session.reporter = Reporter(json_sink if json else text_sink())
    folder = session.home.study(session.network.chain_id, session.network.contracts.round_manager, study)
    journal = Journal(folder / "journal.sqlite")
    try:
        connection = session.signer(journal)
        node = assemble(connection, session.home, study, data, session.password, journal, LoopOptions(poll_seconds=poll, patience=patience))
        _stop_on_signals(node.stop)
        node.tools.report.note(f"node {node.tools.address} follows study {study}")
        complete = node.run()
        node.tools.report.note("the study is complete" if complete else "stopped; start again to go on")
    finally:
        journal.close()


def _stop_on_signals(stop: threading.Event) -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)


def json_sink(record: dict[str, Any]) -> None:
    print(jsonlib.dumps(record, sort_keys=True), flush=True)


def text_sink() -> Sink:
    """One line a finished phase; on a terminal a bar while a long one runs."""
    live = sys.stderr.isatty()

    def sink(record: dict[str, Any]) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(record["at"]))
        where = f"round {record['round']} " if "round" in record else ""
        status = record["status"]
        if status == "progress" and live:
            width = 30
            filled = width * record["done"] // max(1, record["total"])
            sys.stderr.write(
                f"\r{clock} {where}{record['phase']:<14} [{'#' * filled}{'.' * (width - filled)}] {record['done']}/{record['total']}"
            )
            sys.stderr.flush()
        elif status in ("done", "failed") and "seconds" in record:
            extra = "".join(f" {record[k]:,} {k}" for k in ("bytes", "gas") if record.get(k))
            lead = "\r\033[K" if live else ""
            sys.stderr.write(f"{lead}{clock} {where}{record['phase']:<14} {status} {record['seconds']:.2f} s{extra}\n")
        elif record["phase"] == "round":
            sys.stderr.write(f"{clock} {where}finalised: model {record['model']}\n")
        elif status == "note":
            sys.stderr.write(f"{clock} {where}{record.get('message') or record.get('entered', '')}\n")

    return sink
