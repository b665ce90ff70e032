"""The networks that a home's account and transport key are used on: one account, and one transport key, may serve several."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing

from defedbio.chain.accounts import chain_of
from defedbio.chain.network import Network
from defedbio.config import Home, write_private
from defedbio.errors import InvalidInput

# Entries of the home's transactions that publish its transport key.
_REGISTERING = ("register/", "transport/")


def remember(home: Home, network: Network) -> None:
    """Keep the network's file in the home, before anything is sent there.

    Raises:
        InvalidInput: if it cannot be written.
    """
    path = home.networks / f"{network.chain_id}-{network.contracts['KeyRegistry'].lower()}.json"
    document = network.to_json()
    if not path.exists() or path.read_text("utf-8") != json.dumps(json.loads(document), indent=1, sort_keys=True):
        write_private(path, json.loads(document), replace=True)


def others(home: Home, here: Network) -> list[Network]:
    """The networks that the home remembers, but for this one.

    Raises:
        InvalidInput: if one of their files cannot be read.
    """
    found = [Network.load(path) for path in sorted(home.networks.glob("*.json"))]
    return [network for network in found if _where(network) != _where(here)]


def unknown(home: Home, networks: Collection[Network]) -> list[str]:
    """What else the home holds traces of, in words: contracts of no network among these, used before the home remembered any."""
    covered = {(network.chain_id, address.lower()) for network in networks for address in network.contracts.addresses().values()}
    return [f"contract {address} on chain {chain}" for chain, address in sorted({*_named(home), *_registered(home)} - covered)]


def _where(network: Network) -> tuple[int, str]:
    return network.chain_id, network.contracts["KeyRegistry"]


def _named(home: Home) -> Iterator[tuple[int, str]]:
    """Chain and contract of each share and study that is here."""
    for path in (*(home.root / "shares").glob("*-*-*.json"), *home.study_folders().values()):
        chain, address, _ = path.stem.split("-", 2)
        if chain.isdecimal():
            yield int(chain), address


def _registered(home: Home) -> Iterator[tuple[int, str]]:
    """Chain and contract of each profile that was published from here."""
    if not home.transactions.exists():
        return
    try:
        with closing(sqlite3.connect(f"{home.transactions.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT key, value FROM record").fetchall()
    except sqlite3.Error as error:
        raise InvalidInput(
            f"{home.transactions} cannot be read: {error}", "is another command of this home at it? then try again"
        ) from None
    for key, value in rows:
        if key.startswith(_REGISTERING):
            entry = json.loads(bytes(value))
            yield chain_of(bytes.fromhex(entry["raw"][0].removeprefix("0x"))), str(entry["to"]).lower()
