"""`defedbio account`: the organisation's Ethereum account and transport key."""

from __future__ import annotations

import typer

from defedbio.cli.common import HOME, HomeOption, JsonOption, PasswordFileOption, connect, emit

app = typer.Typer(help="The organisation's account (Ethereum keystore v3) and transport key.", no_args_is_help=True)


@app.command()
def new(home: HomeOption = HOME, password_file: PasswordFileOption = None, json: JsonOption = False) -> None:
    """Create the account and the transport key, both encrypted with one password."""
    made = connect(home, password_file=password_file).account.new()
    text = (f"account {made.address}", f"keystore {made.keystore}", "Next: fund the account for gas, then `defedbio register`.")
    emit(made.as_dict(), json, text)


@app.command()
def show(home: HomeOption = HOME, json: JsonOption = False) -> None:
    """Show the account's address and the public transport key. Needs no password."""
    own = connect(home).account.show()
    emit(own.as_dict(), json, (f"account {own.address}", f"transport key {own.transport_key}"))
