"""`defedbio run`: the organisation's agent."""

from __future__ import annotations

import json as jsonlib
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from defedbio import RunOptions
from defedbio.cli.common import HOME, NETWORK, HomeOption, IpfsOption, NetworkOption, PasswordFileOption, RpcOption, connect, plain
from defedbio.config import DEFAULT_IPFS_API

if TYPE_CHECKING:
    from defedbio.report import Sink

DEFAULT = RunOptions()
_printing = threading.Lock()


def run(
    study: Annotated[int, typer.Option("--study", min=1, help="Study number on the chain.")],
    data: Annotated[Path | None, typer.Option("--data", help="This organisation's data file; never leaves this machine.")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads for training, and for cryptography.")] = DEFAULT.threads,
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            help="What computes powers: threads, or this organisation's own Dask cluster, dask+tls://HOST:PORT. The cluster gets the key "
            "share and what hides updates, so trust it like this machine. dask:// is for loopback; docs/cluster.md has the rest.",
        ),
    ] = DEFAULT.executor,
    poll: Annotated[
        float, typer.Option("--poll", min=0.05, help="Seconds between looks at a quiet chain; after news the next ones are sooner.")
    ] = DEFAULT.poll,
    patience: Annotated[
        float, typer.Option("--patience", min=1, help="Seconds that chain or IPFS may stay away before the agent stops.")
    ] = DEFAULT.patience,
    metrics: Annotated[bool, typer.Option("--metrics/--no-metrics", help="Serve Prometheus metrics.")] = DEFAULT.metrics,
    metrics_host: Annotated[
        str, typer.Option("--metrics-host", help="Address of the metrics; anyone who reaches it can read them.")
    ] = DEFAULT.metrics_host,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=0, max=65535, help="Port of the metrics; 0 a free one. 9460, or a free one.")
    ] = None,
    metrics_allow_host: Annotated[
        list[str] | None,
        typer.Option("--metrics-allow-host", help="Another host name under which the metrics may be asked for. Repeatable."),
    ] = None,
    log_file: Annotated[
        Path | None, typer.Option("--log-file", help="JSON records, at most four files of 10 MB. agent.log in the study's folder.")
    ] = None,
    hook_command: Annotated[
        list[str] | None,
        typer.Option("--hook-command", help="Program to run on every event, which is JSON on its input; no shell. Repeatable."),
    ] = None,
    hook_url: Annotated[
        list[str] | None,
        typer.Option("--hook-url", envvar="DEFEDBIO_HOOK_URL", help="Address that gets every event as signed JSON. Repeatable."),
    ] = None,
    hook_secret_file: Annotated[
        Path | None,
        typer.Option("--hook-secret-file", envvar="DEFEDBIO_HOOK_SECRET_FILE", help="File with the secret that web hooks are signed with."),
    ] = None,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON record a line instead of text.")] = False,
) -> None:
    """Follow the chain and take part until the study ends. Safe to stop and start at any time: it goes on where its journal ends."""
    options = RunOptions(
        threads=threads,
        executor=executor,
        poll=poll,
        patience=patience,
        metrics=metrics,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        metrics_allow_host=metrics_allow_host or (),
        log_file=log_file,
        hook_command=hook_command or (),
        hook_url=hook_url or (),
        hook_secret_file=hook_secret_file,
    )
    stop = threading.Event()
    _stop_on_signals(stop)
    sink = json_sink if json else text_sink()
    connect(home, network, rpc, ipfs, password_file).run(study, data, options, on_record=sink, stop=stop)


def _stop_on_signals(stop: threading.Event) -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)


def json_sink(record: dict[str, Any]) -> None:
    if record["status"] != "state":
        # Threads report side by side, and print() writes a line and its end apart.
        with _printing:
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
            sys.stderr.write(f"{clock} {where}finalised: model {plain(record['model'])}\n")
        elif status == "note" and not record.get("fatal"):  # what ends the node is the command's error, with what to do
            sys.stderr.write(f"{clock} {where}{plain(record.get('message') or record.get('entered', ''))}\n")

    return sink
