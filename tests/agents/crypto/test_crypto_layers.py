"""What this room may import: no network, clock, file or environment, no other room, and gmpy2 in one module. Of the floor it may have the
values of the domain, the errors, and the reader of others' JSON."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from defedbio import crypto

ROOM = Path(crypto.__file__).parent
MODULES = sorted(ROOM.rglob("*.py"))
FLOOR = {"defedbio", "defedbio.domain", "defedbio.errors", "defedbio.foreign_json"}
FORBIDDEN = {"os", "time", "datetime", "random", "secrets", "socket", "requests", "web3", "pathlib", "pickle", "torch"}


def imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            if node.module == "defedbio":
                names |= {f"defedbio.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.stem)
def test_the_room_depends_on_mathematics_only(module) -> None:
    names = imported(module)
    assert not {name.split(".")[0] for name in names} & FORBIDDEN
    own = {name for name in names if name.split(".")[0] == "defedbio" and not name.startswith("defedbio.crypto")}
    assert own <= FLOOR
    assert "gmpy2" not in names or module.name == "numbers.py"
