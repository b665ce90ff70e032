"""What every command shares: the options that say where things are, the client, how to print."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from defedbio.config import DEFAULT_HOME, DEFAULT_IPFS_API, DEFAULT_NETWORK_FILE
from defedbio.text import printable

if TYPE_CHECKING:
    from defedbio.client import Client

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="DEFEDBIO_HOME", help="This organisation's folder: keys, journal, IPFS repository.")
]
NetworkOption = Annotated[Path, typer.Option("--network", envvar="DEFEDBIO_NETWORK", help="Network file that `brownie run deploy` wrote.")]
RpcOption = Annotated[str, typer.Option("--rpc", envvar="DEFEDBIO_RPC", help="Ethereum RPC endpoint; the network file's when absent.")]
IpfsOption = Annotated[
    str, typer.Option("--ipfs", envvar="DEFEDBIO_IPFS", help="Multiaddress of the own IPFS node's RPC (Kubo or embedded).")
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file", envvar="DEFEDBIO_PASSWORD_FILE", help="File that holds the password; else $DEFEDBIO_PASSWORD, else asked."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

HOME, NETWORK = DEFAULT_HOME, DEFAULT_NETWORK_FILE
WIDTH_OF_FILES = 160
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES)


def connect(
    home: Path = HOME,
    network: Path = NETWORK,
    rpc: str = "",
    ipfs: str = DEFAULT_IPFS_API,
    password_file: Path | None = None,
) -> Client:
    """The client of these options; what it notes goes to standard error."""
    from defedbio.client import Client

    return Client(home, network, rpc, ipfs, password_file=password_file, on_record=notes)


def notes(record: dict[str, Any]) -> None:
    """A sink that shows notes only."""
    if record.get("status") == "note":
        print(printable(record["message"]), file=sys.stderr)


def emit(data: dict[str, Any] | list[Any], as_json: bool, shown: str | Sequence[str] | Table) -> None:
    """Print `data` as JSON, or what is `shown` to a reader: a line, lines or a table."""
    if as_json:
        print(json.dumps(data, indent=1, sort_keys=True))
    elif isinstance(shown, Table):
        console.print(shown)
    else:
        say(*([shown] if isinstance(shown, str) else shown))


def say(*lines: str) -> None:
    """Print lines that may hold others' words: a line end in these is shown and makes no line of its own, which would pass for ours."""
    for line in lines:
        console.print(plain(line), soft_wrap=True)


def amount(size: int) -> str:
    """A number of bytes for a reader: 512 B, 2.5 kB, 31 MB."""
    shown = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if shown < 1000 or unit == "GB":
            return f"{shown:.3g} {unit}" if shown < 1000 else f"{shown:,.0f} {unit}"
        shown /= 1000
    raise AssertionError


def plain(value: object) -> Text:
    """Text as it is: others' names and CIDs may neither style nor steer the terminal."""
    return Text(printable(str(value)))
