"""The attacks of this folder in words, for whoever reviews the product and does not read tests."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.adversary.frame import PARTS

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "attacks.md"
WIDTH = 120
TITLES = dict(zip(PARTS, ("Attacker", "Sends", "Seen", "Still works", "Nobody learns"), strict=True))
HEAD = """# Attacks

Each attack below is a test that runs with every other: the attacker acts on the real contracts, nodes, stores and
files, and the test fails unless everything said here holds. What is protected from whom, and what is not, is in the
[threat model](threat-model.md). This page is written by `python -m tests.adversary` from the tests in
`tests/adversary/`.
"""


@dataclass(frozen=True)
class Described:
    """One attack: its test's name in words, and (part, sentence) in the order of saying them."""

    name: str
    said: tuple[tuple[str, str], ...]


def attacks(path: Path) -> Iterator[Described]:
    """The attacks in a file of tests.

    Raises AssertionError for a sentence that is not written out in the test.
    """
    for function in ast.parse(path.read_text("utf-8")).body:
        if isinstance(function, ast.FunctionDef) and "attack" in {argument.arg for argument in function.args.args}:
            yield Described(function.name.removeprefix("test_").replace("_", " "), tuple(_said(function)))


def page() -> str:
    """docs/attacks.md as the tests tell it."""
    blocks = [HEAD]
    for path in sorted(FOLDER.glob("test_*.py")):
        found = list(attacks(path))
        if found:
            blocks.append(f"## {path.stem.removeprefix('test_').replace('_', ' ').capitalize()}\n")
        for attack in found:
            lines = [f"### {attack.name.capitalize()}", ""]
            for part, sentence in attack.said:
                lines += textwrap.wrap(f"- **{TITLES[part]}**: {sentence}.", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
            blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _said(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for node in sorted((n for n in ast.walk(function) if isinstance(n, ast.Call)), key=lambda n: (n.lineno, n.col_offset)):
        match node.func:
            case ast.Attribute(value=ast.Name(id="attack"), attr=part) if part in PARTS:
                (sentence,) = node.args
                assert isinstance(sentence, ast.Constant) and isinstance(sentence.value, str), f"{function.name}: {part} is a sentence"
                yield part, sentence.value
