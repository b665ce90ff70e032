"""What the command line can do, the client can: command by command, option by option."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from defedbio import Client, RunOptions
from defedbio.cli.main import build
from tests.test_layers import ROOT, imports, layer_of

METHODS = {
    "doctor": "doctor",
    "account new": "account.new",
    "account show": "account.show",
    "ipfs serve": "ipfs.serve",
    "register": "register",
    "member list": "member.list",
    "member admit": "member.admit",
    "member remove": "member.remove",
    "ceremony deal": "ceremony.deal",
    "ceremony confirm": "ceremony.confirm",
    "ceremony propose": "ceremony.propose",
    "ceremony take-part": "ceremony.take_part",
    "ceremony progress": "ceremony.progress",
    "ceremony show": "ceremony.show",
    "key list": "key.list",
    "key destroy": "key.destroy",
    "backup": "backup",
    "restore": "restore",
    "study create": "study.create",
    "study show": "study.show",
    "study join": "study.join",
    "module allow": "module.allow",
    "module list": "module.list",
    "simulate": "simulate",
    "data check": "data.check",
    "run": "run",
    "top": "top",
    "storage show": "storage.show",
    "storage clean": "storage.clean",
    "storage strays": "storage.strays",
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
    ("member admit", "yes"): "accept",
    ("member remove", "yes"): "accept",
    ("ceremony take-part", "yes"): "accept",
    ("key destroy", "yes"): "accept",
    ("storage strays", "yes"): "accept",
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


LISTS = ("metrics_allow_host", "hook_command", "hook_url")


def test_a_run_has_the_same_defaults_everywhere() -> None:
    defaults = {parameter.name: parameter.default for parameter in COMMANDS["run"].params}
    found = {option.name: defaults[option.name] for option in fields(RunOptions)}
    # A list that may be left out has no default on a command line.
    assert {name: () if default is None and name in LISTS else default for name, default in found.items()} == asdict(RunOptions())


def test_every_option_of_a_run_reaches_the_agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[RunOptions] = []
    monkeypatch.setattr(Client, "run", lambda self, study, data, options, **rest: taken.append(options))
    metrics = (False, "::1", 1234, ("h", "i"))
    given = RunOptions(3, "dask://127.0.0.1:9", 2.5, 77.0, *metrics, Path("log"), ("a", "b"), ("https://h",), Path("s"))
    assert all(getattr(given, option.name) != getattr(RunOptions(), option.name) for option in fields(RunOptions))
    arguments = ["--threads", "3", "--executor", "dask://127.0.0.1:9", "--poll", "2.5", "--patience", "77", "--no-metrics"]
    arguments += ["--metrics-host", "::1", "--metrics-port", "1234", "--metrics-allow-host", "h", "--metrics-allow-host", "i"]
    arguments += ["--log-file", "log", "--hook-command", "a", "--hook-command", "b"]
    arguments += ["--hook-url", "https://h", "--hook-secret-file", "s", "--home", str(tmp_path)]
    CliRunner().invoke(build(), ["run", "--study", "1", *arguments], catch_exceptions=False)
    assert [replace(options, **{name: tuple(getattr(options, name)) for name in LISTS}) for options in taken] == [given]


CLI = ROOT / "agents" / "cli"


@pytest.mark.parametrize("path", sorted(str(p.relative_to(CLI)) for p in CLI.rglob("*.py")))
def test_a_command_knows_the_client_and_nothing_below_it(path: str) -> None:
    tree = ast.parse((CLI / path).read_text("utf-8"))
    layers = {layer_of(module) for _, module in imports(tree, f"agents/cli/{path}")}
    assert layers <= {"cli", "client", "floor", None}
