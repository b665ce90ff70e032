"""What the command line can do, the client can: command by command, option by option."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from operator import attrgetter
from typing import Any

import pytest
import typer.main

from defedbio import Client, RunOptions
from defedbio.cli.main import build
from tests.test_layers import ROOT, imports, layer_of

METHODS = {
    "doctor": "doctor",
    "account new": "account.new",
    "account show": "account.show",
    "ipfs serve": "ipfs.serve",
    "register": "register",
    "ceremony deal": "ceremony.deal",
    "ceremony confirm": "ceremony.confirm",
    "ceremony show": "ceremony.show",
    "study create": "study.create",
    "study show": "study.show",
    "study join": "study.join",
    "module allow": "module.allow",
    "module list": "module.list",
    "simulate": "simulate",
    "data check": "data.check",
    "run": "run",
    "top": "top",
    "round list": "round.list",
    "round show": "round.show",
    "model list": "model.list",
    "model get": "model.get",
    "model card": "model.card",
    "model report": "model.report",
    "model predict": "model.predict",
    "model personalise": "model.personalise",
    "model export": "model.export",
    "verify": "verify",
    "audit make": "audit.make",
    "audit check": "audit.check",
    "explorer": "explorer.serve",
}
# Said once, when the client is made.
SETTINGS = frozenset({"home", "network", "rpc", "ipfs", "password_file"})
# How results are shown and how often, which is the caller's affair.
SHOWING = frozenset({"json", "help", "every", "once"})
# Where the method's argument has another name than the command's.
ARGUMENTS = {
    **{(f"model {what}", "round_"): "round" for what in ("get", "report", "predict", "personalise", "export")},
    ("model export", "format_"): "format",
    ("audit make", "zip_"): "zip",
    ("audit check", "id_"): "id",
    ("ceremony deal", "holder"): "holders",
    ("study join", "yes"): "accept",
    ("data check", "spec"): "study",
    ("round show", "round_"): "round",
    ("verify", "round_"): "round",
}


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, named in group.commands.items():
        command = getattr(named, "loaded", named)
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(_commands(typer.main.get_command(build())))


def test_every_command_is_accounted_for() -> None:
    assert set(COMMANDS) == set(METHODS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_method_that_takes_what_it_takes(name: str) -> None:
    method: Callable[..., Any] = attrgetter(METHODS[name])(Client())
    taken = set(inspect.signature(method).parameters)
    if "options" in taken:
        taken |= {field.name for field in fields(RunOptions)}
    options = {parameter.name for parameter in COMMANDS[name].params} - SETTINGS - SHOWING
    assert {ARGUMENTS.get((name, option), option) for option in options} <= taken
    assert (method.__doc__ or "").strip(), "help() says what it does"
    assert f"{METHODS[name]}(" in (ROOT / "docs" / "client.md").read_text("utf-8")


def test_a_run_has_the_same_defaults_everywhere() -> None:
    defaults = {parameter.name: parameter.default for parameter in COMMANDS["run"].params}
    assert {option.name: defaults[option.name] or option.default for option in fields(RunOptions)} == asdict(RunOptions())


CLI = ROOT / "agents" / "cli"


@pytest.mark.parametrize("path", sorted(str(p.relative_to(CLI)) for p in CLI.rglob("*.py")))
def test_a_command_knows_the_client_and_nothing_below_it(path: str) -> None:
    tree = ast.parse((CLI / path).read_text("utf-8"))
    layers = {layer_of(module) for _, module in imports(tree, f"agents/cli/{path}")}
    assert layers <= {"cli", "client", "floor", None}
