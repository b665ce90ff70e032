"""docs/protocol.md has a row for every post, of what happens when the first one lies, and every row is held by tests that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIEWS = ("view", "pure")


def rows() -> dict[str, list[str]]:
    """By post, the tests that its row names."""
    (section,) = re.findall(
        r"^### What if the first poster lies\n(.*?)^## ", (ROOT / "docs" / "protocol.md").read_text("utf-8"), re.M | re.S
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): re.findall(r"`(test_\w+)`", row[-1]) for row in cells}


def posts(contract: str) -> set[str]:
    """The functions of a contract by which something is put on record."""
    entries = json.loads((ROOT / "agents" / "chain" / "abi" / f"{contract}.json").read_text("utf-8"))["abi"]
    return {e["name"] for e in entries if e["type"] == "function" and e["stateMutability"] not in VIEWS}


def test_every_post_of_a_round_has_a_row() -> None:
    assert set(rows()) == posts("RoundManager") | (posts("KeyRegistry") - {"confirm", "reject"}) | {"open"}


def test_every_row_is_held_by_tests_that_exist() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    missing = [f"{post}: {test}" for post, tests in rows().items() for test in tests or ["none"] if f"def {test}(" not in sources]
    assert missing == []
