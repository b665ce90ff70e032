"""`defedbio restore`: the organisation's folder from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defedbio.cli.common import HOME, NETWORK, HomeOption, JsonOption, NetworkOption, PasswordFileOption, RpcOption, connect, emit


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `defedbio backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Move the folder that is there aside, to FOLDER.before-restore. Stop its agents first.")
    ] = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Make the organisation's folder from a backup. What began before, its agent sits out.

    The chain is asked which shares and keys are over since. Never run two agents of one account: restore only where the other is gone.
    """
    done = connect(home, network, rpc, password_file=password_file).restore(file, replace=replace)
    text = [f"{done.account}: {len(done.files)} files as they were at {done.made_at}"]
    text += [f"  not restored: {what}" for what in done.left_out]
    text += [f"  the folder that was here is {done.kept}"] if done.kept else []
    text.append("Rounds that have begun by the time its agents start are sat out: they send no update and release no share there.")
    emit(done.as_dict(), json, text)
