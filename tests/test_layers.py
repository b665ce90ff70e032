"""The import layers of docs and design, read from the source text of agents/ and ipfs/: nothing is imported to check them.

The folder agents/ is imported as `defedbio`, ipfs/ as `defedbio.ipfs`; under the folders' own names every module would load twice.

cli -> client -> {explorer | audit} -> {nodes | ceremony | models} -> protocol -> {network | compute}
    -> {learning | crypto | chain | ipfs | web} -> floor (domain, errors, config, foreign_json, report, spec, text, threads).

Rooms in braces do not import each other. Reading a resource out of a package counts as importing it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# From the cellar up. What is of no room lies on the floor.
STOREYS = (
    ("learning", "crypto", "chain", "ipfs", "web"),
    ("network", "compute"),
    ("protocol",),
    ("nodes", "ceremony", "models"),
    ("explorer", "audit"),
    ("client",),
    ("cli",),
)
HEIGHT = {"floor": 0} | {room: height for height, rooms in enumerate(STOREYS, 1) for room in rooms}
# What `from defedbio import ...` brings without naming the module it is in.
PUBLIC = {"defedbio.Client": "client", "defedbio.RunOptions": "client"}
FOLDERS = {"agents": "defedbio", "ipfs": "defedbio.ipfs"}
# The package's door: run by every import of ours, so what it brings must wait until somebody asks.
DOOR = "agents/__init__.py"
# The start of the file names that may import a foreign package, whose types stay behind that door.
DOORS = {
    "gmpy2": "agents/crypto/numbers.py",
    "web3": "agents/chain/",
    "ipfshttpclient": "ipfs/kubo.py",
    "reportlab": "agents/audit/pdf.py",
    "torch": "agents/learning/",
    "trie": "agents/chain/proofs.py",
    "starlette": ("agents/web/", "agents/explorer/", "agents/client/explorer.py"),
    "uvicorn": "agents/web/server.py",
    "distributed": "agents/compute/cluster.py",
    "dask": "agents/compute/cluster.py",
}
# The command line loads the module of the command that was named, from a table.
LOADERS = frozenset({"agents/cli/main.py"})
# Reading one of these formats runs what the file says.
UNSAFE_MODULES = frozenset({"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"})
UNSAFE_CALLS = frozenset({"eval", "exec", "__import__"})


def layer_of(module: str) -> str | None:
    """The layer that a dotted module name belongs to; None for packages that are not ours."""
    if module in PUBLIC:
        return PUBLIC[module]
    first, _, rest = module.partition(".")
    if first != "defedbio":
        return None
    second = rest.partition(".")[0]
    if second == "__main__":
        return "cli"
    return second if second in HEIGHT else "floor"


def module_name(path: str) -> str:
    """Dotted name of a file given relative to the repository; __init__ stays in it, so that one level up is always its folder."""
    top, _, rest = path.removesuffix(".py").partition("/")
    return f"{FOLDERS.get(top, top)}.{rest.replace('/', '.')}"


@cache
def parsed(source: str) -> ast.AST:
    return ast.parse(source)


@cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree))


def imports(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a file imports; relative names made absolute, `from a import b` as a.b, import_module too."""
    package = module_name(path).split(".")[:-1]
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            # The bare package gives the client to whoever asks it for one.
            yield from ((node.lineno, "defedbio.Client" if alias.name == "defedbio" else alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{'Client' if alias.name == '*' else alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "import_module":
                yield node.lineno, node.args[0].value


def resources(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, package) wherever a file reads what lies in a package."""
    for node in nodes(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("files", "PackageLoader"):
                yield node.lineno, node.args[0].value


def computed(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, call) of imports and readings whose name is not written where it can be read, so that no layer can be told."""
    for node in nodes(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
            if called in ("import_module", "PackageLoader", "run_module", "run_path") and not constant:
                yield node.lineno, called


def when_asked(tree: ast.AST) -> set[int]:
    """Lines that do not run when the module is imported: those of functions, and those for the type checker."""
    waiting: set[int] = set()
    for node in nodes(tree):
        typing_only = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if isinstance(node, ast.FunctionDef) or typing_only:
            waiting |= {line for part in node.body for line in range(part.lineno, (part.end_lineno or part.lineno) + 1)}
    return waiting


def violations(source: str, path: str) -> list[str]:
    """Each breach of the layers in one file, as `path:line: what`."""
    tree = parsed(source)
    layer = layer_of(module_name(path))
    assert layer is not None, f"{path} is in no layer"
    found = []
    asked = when_asked(tree) if path == DOOR else set()
    for line, name in [*imports(tree, path), *resources(tree)]:
        if name.partition(".")[0] in FOLDERS:
            found.append(f"{path}:{line}: {name} is a folder's name: import {FOLDERS[name.partition('.')[0]]}")
        own = "client" if line in asked else layer
        other, foreign = layer_of(name), name.partition(".")[0]
        if other is not None and other != own and HEIGHT[other] == HEIGHT[own]:
            found.append(f"{path}:{line}: the room {own} imports the room {other}")
        elif other is not None and HEIGHT[other] > HEIGHT[own]:
            found.append(f"{path}:{line}: {own} imports upwards from {other}")
        if foreign in UNSAFE_MODULES:
            found.append(f"{path}:{line}: {foreign} runs what a file says")
        if foreign in DOORS and not path.startswith(DOORS[foreign]):
            found.append(f"{path}:{line}: {foreign} belongs to {DOORS[foreign]}")
    if path not in LOADERS:
        found += [f"{path}:{line}: {called} of a name that is made when it runs" for line, called in computed(tree)]
    for node in nodes(tree):
        if isinstance(node, ast.Name) and node.id in UNSAFE_CALLS:
            found.append(f"{path}:{node.lineno}: {node.id} runs text as code")
        if (
            isinstance(node, ast.Attribute)
            and node.attr in UNSAFE_CALLS
            and isinstance(node.value, ast.Name)
            and node.value.id in ("builtins", "importlib")
        ):
            found.append(f"{path}:{node.lineno}: {node.attr} runs text as code")
    return found


def graph() -> dict[str, set[str]]:
    """By module of ours those that its import needs, wherever in the file it says so; a package's own file stands for the package."""
    names = {module_name(path).removesuffix(".__init__"): path for path in sources()}
    found: dict[str, set[str]] = {}
    for module, path in names.items():
        tree = parsed((ROOT / path).read_text(encoding="utf-8"))
        wanted = [name for line, name in imports(tree, path) if not (path == DOOR and line in when_asked(tree))]
        found[module] = {name if name in names else name.rpartition(".")[0] for name in wanted} & names.keys() - {module}
    return found


def circle(needs: dict[str, set[str]]) -> list[str]:
    """The modules that are in a circle or need one that is; empty if there is none."""
    left = dict(needs)
    while free := [module for module, wanted in left.items() if not wanted & left.keys()]:
        for module in free:
            del left[module]
    return sorted(left)


def elsewhere() -> list[str]:
    """Python files outside the packages, which import them."""
    return sorted(file.relative_to(ROOT).as_posix() for top in ("scripts", "tests", "benchmarks") for file in (ROOT / top).rglob("*.py"))


def sources() -> list[str]:
    return sorted(file.relative_to(ROOT).as_posix() for top in ("agents", "ipfs") for file in (ROOT / top).rglob("*.py"))


def test_a_module_of_ours_loads_without_the_client() -> None:
    program = "import sys, defedbio.errors; sys.exit(any(name.startswith('defedbio.client') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_there_is_something_to_check() -> None:
    assert {"agents/errors.py", "ipfs/__init__.py"} <= set(sources())


def test_no_module_needs_itself_in_a_circle() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    needs = graph()
    assert "defedbio.protocol.view" in needs["defedbio.protocol.decide"]
    assert circle(needs) == []


def test_nobody_imports_by_a_folders_name() -> None:
    tops = {path: {name.partition(".")[0] for _, name in imports(parsed((ROOT / path).read_text("utf-8")), path)} for path in elsewhere()}
    assert [path for path, names in tops.items() if names & FOLDERS.keys()] == []


@pytest.mark.parametrize("path", sources())
def test_a_file_keeps_to_its_layer(path: str) -> None:
    assert violations((ROOT / path).read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("agents/crypto/x.py", "from defedbio.chain import client", "room crypto imports the room chain"),
        ("agents/crypto/proofs/x.py", "from ...learning.state import GlobalState", "room crypto imports the room learning"),
        ("agents/learning/x.py", "def f():\n    import defedbio.ipfs.store", "room learning imports the room ipfs"),
        ("agents/learning/__init__.py", "from ..crypto import wire", "room learning imports the room crypto"),
        ("agents/learning/x.py", "from .. import crypto", "room learning imports the room crypto"),
        ("ipfs/x.py", "from defedbio import chain", "room ipfs imports the room chain"),
        ("agents/chain/x.py", "from defedbio.protocol.view import RoundView", "chain imports upwards from protocol"),
        ("agents/errors.py", "from .crypto import wire", "floor imports upwards from crypto"),
        ("agents/protocol/x.py", "from ..nodes import organisation", "protocol imports upwards from nodes"),
        ("agents/network/x.py", "from defedbio.compute import executor", "room network imports the room compute"),
        ("agents/models/x.py", "from defedbio.ceremony import dealer", "room models imports the room ceremony"),
        ("agents/audit/x.py", "from ..explorer import chart", "room audit imports the room explorer"),
        ("agents/spec/x.py", "from importlib.resources import files\nfiles('defedbio.ipfs')", "floor imports upwards from ipfs"),
        ("agents/web/x.py", "PackageLoader('defedbio.explorer', 'templates')", "web imports upwards from explorer"),
        ("agents/nodes/x.py", "import importlib\nimportlib.import_module('defedbio.cli.main')", "nodes imports upwards from cli"),
        ("agents/nodes/x.py", "from defedbio.__main__ import main", "nodes imports upwards from cli"),
        ("agents/nodes/x.py", "def f():\n    from defedbio import Client", "nodes imports upwards from client"),
        ("agents/client/x.py", "from defedbio.cli.common import emit", "client imports upwards from cli"),
        ("agents/__init__.py", "from defedbio.client import Client", "floor imports upwards from client"),
        ("agents/__init__.py", "def f():\n    from defedbio.cli import main", "client imports upwards from cli"),
        ("agents/crypto/paillier.py", "from gmpy2 import powmod", "gmpy2 belongs to agents/crypto/numbers.py"),
        ("agents/protocol/x.py", "import web3.exceptions", "web3 belongs to agents/chain/"),
        ("ipfs/store.py", "import ipfshttpclient", "ipfshttpclient belongs to ipfs/kubo.py"),
        ("agents/nodes/x.py", "import torch", "torch belongs to agents/learning/"),
        ("agents/crypto/x.py", "def f():\n    from distributed import Client", "distributed belongs to agents/compute/cluster.py"),
        ("agents/nodes/x.py", "from agents.errors import NotFound", "import defedbio"),
        ("agents/nodes/x.py", "import ipfs.store", "import defedbio.ipfs"),
        ("agents/crypto/x.py", "import defedbio\ndefedbio.Client()", "crypto imports upwards from client"),
        ("agents/crypto/x.py", "import defedbio as d", "crypto imports upwards from client"),
        ("agents/crypto/x.py", "from defedbio import *", "crypto imports upwards from client"),
        ("agents/crypto/x.py", "from importlib import import_module\nimport_module(f'defedbio.{x}')", "a name that is made when it runs"),
        ("agents/crypto/x.py", "import importlib\nimportlib.import_module(name='defedbio.cli')", "a name that is made when it runs"),
        ("agents/crypto/x.py", "import importlib\nimportlib.__import__('defedbio.cli')", "__import__ runs text as code"),
        ("agents/learning/x.py", "import pickle", "pickle runs what a file says"),
        ("agents/cli/x.py", "eval('1')", "eval runs text as code"),
        ("agents/cli/x.py", "import builtins\nbuiltins.exec('1')", "exec runs text as code"),
    ],
)
def test_the_checker_finds_a_planted_breach(path: str, source: str, complaint: str) -> None:
    found = violations(source, path)
    assert len(found) == 1, found
    assert found[0].startswith(f"{path}:")
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "agents/crypto/x.py",
            "from __future__ import annotations\nfrom ..errors import BadShare\nfrom .numbers import powmod\nfrom defedbio import domain",
        ),
        ("agents/crypto/numbers.py", "import gmpy2"),
        ("agents/learning/x.py", "import torch\ntorch.nn.Linear(1, 1).eval()"),
        ("agents/chain/client.py", "from web3 import Web3"),
        (
            "agents/protocol/perform.py",
            "from defedbio.crypto import wire\nfrom ..learning import local\nfrom defedbio.ipfs.store import BlobStore",
        ),
        ("agents/__main__.py", "from .cli.main import main"),
        ("agents/cli/x.py", "from defedbio import Client"),
        (
            "agents/__init__.py",
            "if TYPE_CHECKING:\n    from defedbio.client import Client\ndef f():\n    from defedbio.client import Client",
        ),
        ("ipfs/kubo.py", "import ipfshttpclient\nfrom defedbio.errors import StoreUnreachable"),
    ],
)
def test_the_checker_accepts_what_points_down(path: str, source: str) -> None:
    assert violations(source, path) == []
