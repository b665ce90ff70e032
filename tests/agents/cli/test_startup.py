"""What the command line loads before it works: seconds of a start are modules, and a module that is not loaded costs none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.startup import COMMANDS, COMPLETIONS, HELP, completing, place
from defedbio.cli import main
from tests.test_layers import ROOT

# The command line itself in a new process; tells on its last line what it had loaded when it ended.
PROGRAM = """
import json, sys
from defedbio.cli.main import program
sys.argv[0] = "defedbio"
try:
    program()
except SystemExit as done:
    print(json.dumps([done.code, sorted({name.partition(".")[0] for name in sys.modules}), sorted(sys.modules)]))
"""
LEARNING = {"torch", "rdkit", "sklearn", "scipy", "onnx", "opacus", "h5py", "cyvcf2", "bed_reader"}
NETWORK = {"web3", "eth_account", "aiohttp", "requests", "ipfshttpclient", "starlette", "uvicorn"}
HEAVY = {*LEARNING, *NETWORK, "numpy", "pandas", "pyarrow", "gmpy2", "phe", "cryptography", "jsonschema", "reportlab", "jinja2"}
# What talks to nobody, and how it ends; the rest comes to the node that turns everybody away, or cannot start one.
ALONE = {
    "account new --home new": 0,
    "account show": 0,
    "module list": 0,
    "data check --spec spec.json --data mine.csv": 0,
    "audit check none": 2,
    "model card none --offline": 2,
}
AWAY = {"doctor": 1, "ipfs serve --rpc-port 0": 2}


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with place() as made:
        yield made


def started(arguments: str, environment: Mapping[str, str], program: tuple[str, ...] = ("-c", PROGRAM)) -> Any:
    return subprocess.run(
        [sys.executable, *program, *arguments.split()],
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=environment["PWD"],
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(done: Any) -> tuple[int, set[str], set[str]]:
    """Exit code, packages, modules."""
    code, packages, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(packages), set(modules)


@pytest.mark.parametrize("arguments", ["", *HELP])
def test_help_loads_nothing_that_the_commands_need(arguments: str, environment: dict[str, str]) -> None:
    code, packages, modules = loaded(started(arguments, environment))
    assert code == (0 if arguments else 2)
    assert not packages & HEAVY and "defedbio.protocol" not in modules


def test_the_list_loads_no_command() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "--help"], capture_output=True, text=True, check=True)
    ours = {name for name in loaded(done)[2] if name.startswith("defedbio.")}
    assert ours == {"defedbio.cli", "defedbio.cli.main", "defedbio.errors"}


@pytest.mark.parametrize("words", COMPLETIONS)
def test_a_completion_loads_no_more_than_help(words: str, environment: dict[str, str]) -> None:
    done = started("", {**environment, **completing(words)})
    *found, _ = done.stdout.splitlines()
    assert found == {"st": ["study", "storage"], "study ": ["create", "show", "join"]}.get(words, found) and found
    _, packages, modules = loaded(done)
    assert not packages & HEAVY and "defedbio.protocol" not in modules


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_command_without_learning_loads_no_torch(arguments: str, environment: dict[str, str]) -> None:
    done = started(arguments, environment)
    code, packages, _ = loaded(done)
    assert (code, "Traceback" in done.stderr) == (ALONE.get(arguments, AWAY.get(arguments, 3)), False), done.stderr
    assert not packages & LEARNING
    if arguments in ALONE:
        assert not packages & {"web3", "aiohttp"}


@pytest.mark.parametrize("name", main.COMMANDS)
def test_a_line_of_the_list_is_the_commands_own(name: str) -> None:
    command = main.Named(name, help=main.COMMANDS[name]).loaded
    assert main.COMMANDS[name] == " ".join(command.help.partition("\n\n")[0].split())


def test_every_module_of_a_command_is_in_the_list() -> None:
    files = {path.stem for path in (ROOT / "agents" / "cli").iterdir() if not path.name.startswith("_")}
    assert set(main.COMMANDS) == files - {"main", "common"}


def test_what_is_no_command_is_refused_as_before() -> None:
    result = CliRunner().invoke(main.build(), ["rond"], standalone_mode=False)
    assert "Did you mean 'round'?" in str(result.exception)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_a_completion_that_asks_this_program(shell: str, environment: dict[str, str]) -> None:
    shown = started(f"--show-completion {shell}", {**environment, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "_DEFEDBIO_COMPLETE" in shown.stdout
