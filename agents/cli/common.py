"""What every command shares: where things are, how to log in, how to print."""

from __future__ import annotations

import getpass
import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.chain.accounts import keystore_address, load_account
from agents.chain.client import ChainClient
from agents.chain.events import fetch_events
from agents.chain.network import Network
from agents.config import DEFAULT_HOME, DEFAULT_IPFS_API, DEFAULT_NETWORK_FILE, Home, read_json
from agents.crypto.vault import open_with_password
from agents.errors import InvalidInput, NotFound
from agents.nodes.connection import Connection
from agents.protocol.journal import Journal
from agents.protocol.report import Reporter
from agents.protocol.view import StudyView, fold
from agents.spec import StudySpec
from ipfs.kubo import KuboStore

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
TRANSPORT_LABEL = "defedbio-transport/1"
WIDTH_OF_FILES = 160
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES)


@dataclass
class Session:
    """One invocation's connection settings; connects when something asks for it."""

    home_path: Path = HOME
    network_path: Path = NETWORK
    rpc: str = ""
    ipfs: str = DEFAULT_IPFS_API
    password_file: Path | None = None

    @cached_property
    def home(self) -> Home:
        return Home(self.home_path.expanduser())

    @cached_property
    def network(self) -> Network:
        if not self.network_path.exists():
            raise NotFound(
                f"no network file at {self.network_path}", "ask the consortium for it, or run `brownie run deploy`; pass it as --network"
            )
        return Network.load(self.network_path)

    @cached_property
    def password(self) -> str:
        return read_password(self.password_file)

    @cached_property
    def store(self) -> KuboStore:
        return KuboStore(self.ipfs)

    @cached_property
    def reporter(self) -> Reporter:
        return Reporter(_quiet_sink)

    def transport_private(self) -> bytes:
        document = read_json(self.home.transport, "transport key", "run `defedbio account new` first")
        return open_with_password(document["box"], self.password, TRANSPORT_LABEL)

    def reader(self) -> Connection:
        """A connection that can read only; needs no account."""
        client = ChainClient(self.rpc or self.network.rpc, self.network)
        client.connect()
        return Connection(client, self.store, self.reporter)

    def signer(self, journal: Journal | None = None) -> Connection:
        """A connection that signs as this organisation's account. Journals transactions outside studies in the home folder."""
        if not self.home.account.exists():
            raise NotFound(f"no account at {self.home.account}", "run `defedbio account new` first")
        account = load_account(self.home.account, self.password)
        client = ChainClient(self.rpc or self.network.rpc, self.network, account, journal or Journal(self.home.transactions))
        client.connect()
        return Connection(client, self.store, self.reporter)

    def own_address(self) -> str:
        if not self.home.account.exists():
            raise NotFound(f"no account at {self.home.account}", "run `defedbio account new` first")
        return keystore_address(self.home.account)


def read_password(password_file: Path | None, confirm: bool = False) -> str:
    """From the file, else $DEFEDBIO_PASSWORD, else a prompt. Never from an argument: arguments show in process lists."""
    if password_file is not None:
        try:
            return password_file.read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            raise InvalidInput(f"the password file {password_file} cannot be read: {type(error).__name__}") from None
    from_environment = os.environ.get("DEFEDBIO_PASSWORD")
    if from_environment is not None:
        return from_environment
    if not sys.stdin.isatty():
        raise InvalidInput("no password", "pass --password-file, set DEFEDBIO_PASSWORD, or run from a terminal")
    password = getpass.getpass("Password: ")
    if confirm and getpass.getpass("Again: ") != password:
        raise InvalidInput("the two passwords differ")
    return password


def read_spec(path: Path) -> StudySpec:
    """A spec file, parsed and checked."""
    try:
        return StudySpec.from_bytes(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the spec {path} cannot be read: {type(error).__name__}") from None


def study_view(connection: Connection, study: int) -> StudyView:
    """The study as the chain tells it now."""
    client = connection.client
    head = client.head().number
    opened = fetch_events(client, client.network.deploy_block, head, study=study)
    rounds = [event.round for event in opened if hasattr(event, "round")]
    within = fetch_events(client, client.network.deploy_block, head, rounds=sorted(set(rounds))) if rounds else []
    merged = {(e.meta.block, e.meta.log_index): e for e in [*opened, *within]}
    return fold(StudyView(study), [merged[key] for key in sorted(merged)])


def emit(data: dict[str, Any] | list[Any], as_json: bool, text: str | Table) -> None:
    """Print `data` as JSON, or `text` for a reader."""
    if as_json:
        print(json.dumps(data, indent=1, sort_keys=True))
    elif isinstance(text, str):
        say(text)
    else:
        console.print(text)


def say(text: str) -> None:
    """Print text that may hold others' words, line ends kept."""
    console.print(plain(text), soft_wrap=True)


def plain(value: object) -> Text:
    """Text as it is: others' names and CIDs may neither style nor steer the terminal."""
    return Text("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(value)))


def _quiet_sink(record: dict[str, Any]) -> None:
    if record.get("status") == "note":
        print(record["message"], file=sys.stderr)
