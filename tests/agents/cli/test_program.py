"""The ways to start the program."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from defedbio.cli.main import COMMANDS, program

ROOT = Path(__file__).resolve().parents[3]


def told(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("module", ["agents", "defedbio"])
def test_it_starts_as_a_module_and_lists_every_command(module: str) -> None:
    done = told(module, "--help")
    assert done.returncode == 0, done.stderr
    listed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("│ ") and len(line.split()) > 1}
    assert "Usage: defedbio " in done.stdout and set(COMMANDS) <= listed


def test_in_a_checkout_agents_is_defedbio() -> None:
    of_agents, of_product = (told(module, "round", "show") for module in ("agents", "defedbio"))
    assert (of_agents.returncode, of_agents.stdout, of_agents.stderr) == (of_product.returncode, of_product.stdout, of_product.stderr)
    assert of_agents.returncode == 2 and "defedbio round --help" in of_agents.stderr


def test_the_installed_command_is_the_same_program() -> None:
    (command,) = entry_points(group="console_scripts", name="defedbio")
    assert command.load() is program
