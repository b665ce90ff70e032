"""Where the organisation's password comes from, and that it is not shown."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from defedbio.errors import InvalidInput

VARIABLE = "DEFEDBIO_PASSWORD"


class Secret(str):
    """Text that its repr does not tell, so that no traceback with variables and no object that holds it does."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


def read_password(password_file: Path | None, confirm: bool = False) -> Secret:
    """From the file, else $DEFEDBIO_PASSWORD, else asked for, twice if `confirm`.

    Raises:
        InvalidInput: if the file cannot be read, there is nobody to ask, or the two answers differ.
    """
    if password_file is not None:
        try:
            return Secret(password_file.read_text("utf-8").rstrip("\r\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"the password file {password_file} cannot be read: {type(error).__name__}") from None
    from_environment = os.environ.get(VARIABLE)
    if from_environment is not None:
        return Secret(from_environment)
    password = _ask("Password: ")
    if confirm and _ask("Again: ") != password:
        raise InvalidInput("the two passwords differ")
    return password


def _ask(prompt: str) -> Secret:
    """From the terminal, or from whoever reads the notebook."""
    unasked = InvalidInput("no password", f"pass --password-file, set {VARIABLE}, or run where it can be asked for")
    if not sys.stdin.isatty() and "ipykernel" not in sys.modules:
        raise unasked
    try:
        return Secret(getpass.getpass(prompt))
    except NotImplementedError:
        # A notebook that nobody reads: its kernel cannot ask.
        raise unasked from None
