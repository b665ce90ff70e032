"""`defedbio backup`: the organisation's folder in one sealed file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defedbio.cli.common import HOME, HomeOption, JsonOption, PasswordFileOption, connect, emit


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; one that is there is not replaced.")],
    home: HomeOption = HOME,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Write the organisation's folder into one sealed file, while agents run. IPFS blobs and logs are left out."""
    made = connect(home, password_file=password_file).backup(file)
    care = "It holds the account and every key share that is here: keep it as safe as this machine, and destroy it with the share."
    text = (f"{file}: {len(made.files)} files, {made.bytes:,} bytes, under the password of the account", care)
    emit(made.as_dict(), json, text)
