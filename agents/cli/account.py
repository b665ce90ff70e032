"""`defedbio account`: the organisation's Ethereum account and transport key."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from agents.chain.accounts import create_keystore, keystore_address
from agents.cli.common import HOME, TRANSPORT_LABEL, HomeOption, JsonOption, PasswordFileOption, emit, read_password
from agents.config import Home, read_json, write_private
from agents.crypto.sealing import generate_transport_key
from agents.crypto.vault import seal_with_password
from agents.errors import InvalidInput, NotFound

app = typer.Typer(help="The organisation's account (Ethereum keystore v3) and transport key.", no_args_is_help=True)
MIN_PASSWORD = 8


@app.command()
def new(home: HomeOption = HOME, password_file: PasswordFileOption = None, json: JsonOption = False) -> None:
    """Create the account and the transport key, both encrypted with one password."""
    folder = Home(Path(home).expanduser())
    for path in (folder.account, folder.transport):
        if path.exists():
            raise InvalidInput(f"{path} exists already", "an organisation has one account a folder; use another --home for another")
    password = read_password(password_file, confirm=True)
    if len(password) < MIN_PASSWORD:
        raise InvalidInput(f"the password must have at least {MIN_PASSWORD} characters")
    folder.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    private, public = generate_transport_key(os.urandom)
    write_private(
        folder.transport,
        {"format": TRANSPORT_LABEL, "public": public.hex(), "box": seal_with_password(private, password, TRANSPORT_LABEL, os.urandom)},
    )
    address = create_keystore(folder.account, password)
    text = f"account {address}\nkeystore {folder.account}\nNext: fund the account for gas, then `defedbio register`."
    emit({"address": address, "keystore": str(folder.account), "transport_key": public.hex()}, json, text)


@app.command()
def show(home: HomeOption = HOME, json: JsonOption = False) -> None:
    """Show the account's address and the public transport key. Needs no password."""
    folder = Home(Path(home).expanduser())
    if not folder.account.exists():
        raise NotFound(f"no account at {folder.account}", "run `defedbio account new` first")
    address = keystore_address(folder.account)
    public = read_json(folder.transport, "transport key", "run `defedbio account new` first")["public"]
    emit({"address": address, "transport_key": public}, json, f"account {address}\ntransport key {public}")
