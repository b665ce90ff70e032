"""Assembles the commands and turns errors into one clear line and an exit code (see defedbio.errors)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module

import typer

from defedbio.errors import DefedError

# In the order in which an organisation meets them. Each module has either `app` (a group) or a function of its own name.
COMMANDS = {
    "doctor": "defedbio.cli.doctor",
    "account": "defedbio.cli.account",
    "ipfs": "defedbio.cli.ipfs",
    "register": "defedbio.cli.register",
    "ceremony": "defedbio.cli.ceremony",
    "study": "defedbio.cli.study",
    "module": "defedbio.cli.module",
    "simulate": "defedbio.cli.simulate",
    "data": "defedbio.cli.data",
    "run": "defedbio.cli.run",
    "top": "defedbio.cli.top",
    "round": "defedbio.cli.round",
    "model": "defedbio.cli.model",
    "verify": "defedbio.cli.verify",
    "audit": "defedbio.cli.audit",
    "explorer": "defedbio.cli.explorer",
}


def build(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands; loading only the one that was asked for saves seconds of imports a call."""
    app = typer.Typer(
        name="defedbio",
        help="Train one model together: each organisation's data stays at home, only an encrypted update leaves.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # A callback keeps the command's name in its usage line when only one is loaded.
    app.callback()(lambda: None)
    for name in names:
        module = import_module(COMMANDS[name])
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def main() -> None:
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    app = build([asked] if asked in COMMANDS else COMMANDS)
    try:
        code = app(standalone_mode=False)
    except DefedError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  what to do: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except typer.TyperException as error:
        print(f"error: {error.format_message()}\n  what to do: see `defedbio {asked} --help`", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
