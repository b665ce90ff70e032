"""Assembles the commands and turns errors into one clear line and an exit code (see defedbio.errors)."""

from __future__ import annotations

import atexit
import ctypes
import gc
import resource
import sys
from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from defedbio.errors import DefedError, InvalidInput

# In the order in which an organisation meets them, each with the line that the list shows: to print the list, and to complete a name,
# nothing that the commands need is loaded. Each is a module here of that name, with either `app` (a group) or a function of that name.
COMMANDS = {
    "doctor": "Check packages, account, chain, contracts, IPFS and the registered profile. Exit code 1 when something is an error.",
    "account": "The organisation's account (Ethereum keystore v3) and transport key.",
    "ipfs": "The embedded IPFS node. Kubo serves as well: pass --ipfs to the other commands.",
    "register": "Publish or replace the own profile: name, transport key and IPFS multiaddress. Members then vote to admit a newcomer.",
    "member": "Members of the consortium: list them and the open votes, vote to admit or to remove one.",
    "ceremony": "Threshold key ceremonies: make a key together or deal one, confirm a share, show an epoch.",
    "key": "This organisation's shares of threshold keys: list them, destroy one.",
    "study": "Studies: what is learned, how, and with whom.",
    "module": "Your own torch modules: nothing that a study names runs here unless you allowed it.",
    "simulate": "Run a study on local files: no chain, no IPFS, no keys, no encryption. Prints every round's metrics.",
    "data": "Check local data. Nothing of it is sent anywhere, no value is printed.",
    "run": "Follow the chain and take part until the study ends. Safe to stop and start at any time: it goes on where its journal ends.",
    "top": "Show the organisation's own state in a study: round, own part, work, gas money, privacy budget, peers. Ctrl-C ends it.",
    "storage": "What the organisation keeps of a study, and for how long.",
    "round": "Rounds: list them, show one's whole record.",
    "model": "Global models: list, fetch, check, apply, tune and export them.",
    "verify": "Re-check commitments, set, updates, proofs, product, opening, model and model bytes. Exit code 4 when a check fails.",
    "audit": "Evidence: a bundle for a regulator, and its check with no network.",
    "backup": "Write the organisation's folder into one sealed file, while agents run. IPFS blobs and logs are left out.",
    "restore": "Make the organisation's folder from a backup. What began before, its agent sits out.",
    "explorer": "Serve a read-only web page of members, studies, rounds and blobs, live, from the chain and IPFS. Ctrl-C ends it.",
}


PR_SET_DUMPABLE = 4


class Named(TyperCommand):
    """A command of which only name and line are known. Who asks for more gets the context, and with it the help, of the loaded one."""

    @cached_property
    def loaded(self) -> Any:
        module, holder = import_module(f"defedbio.cli.{self.name}"), typer.Typer()
        if hasattr(module, "app"):
            holder.add_typer(module.app, name=self.name)
        else:
            holder.command(self.name)(getattr(module, str(self.name)))
        return get_group(holder).commands[str(self.name)]

    def make_context(self, *args: Any, **settings: Any) -> Any:
        return self.loaded.make_context(*args, **settings)


class Commands(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, line in COMMANDS.items():
            self.add_command(Named(name, help=line))


def build() -> typer.Typer:
    app = typer.Typer(
        name="defedbio",
        cls=Commands,
        help="Train one model together: each organisation's data stays at home, only an encrypted update leaves.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # typer makes no group without one
    return app


def collect_later() -> None:
    """Let the first collection of garbage wait, and spare the last: a start makes hundreds of thousands of objects, nearly all to stay, and
    looking through them again and again is a quarter of a short command's time. In between everything is as usual."""
    usual = gc.get_threshold()

    def first(phase: str, found: dict[str, int]) -> None:
        gc.callbacks.remove(first)
        gc.set_threshold(*usual)

    gc.callbacks.append(first)
    gc.set_threshold(300_000)
    atexit.register(gc.freeze)


def keep_memory_private() -> None:
    """No crash of this process, or of one that it starts, leaves its memory on a disk, and on Linux no other process of the same user looks
    into it: commands hold passwords, keys and key shares."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # The limit alone does not bind a kernel that pipes core dumps to a program.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def main() -> None:
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    app = build()
    try:
        code = app(prog_name="defedbio", standalone_mode=False)
    except DefedError as error:
        from defedbio.text import printable

        # The message may hold others' words, which must not pass for the line that says what to do.
        print(f"error: {printable(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  what to do: {printable(error.hint)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except OSError as error:
        print(f"error: {error}\n  what to do: is the disk full, or a file another user's?", file=sys.stderr)
        sys.exit(InvalidInput.exit_code)
    except typer.TyperException as error:
        print(f"error: {error.format_message()}\n  what to do: see `defedbio {asked} --help`", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def program() -> None:
    """The process' own entry; `main` alone leaves the process of whoever calls it as it is."""
    collect_later()
    keep_memory_private()
    main()


if __name__ == "__main__":
    program()
