"""Every error of the contracts is explained where it is declared and raised somewhere, read from the source text: nothing is compiled.

The interfaces are the contracts' handbook: who is refused looks the error up there, not in the code that raises it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
ERROR = re.compile(r"\berror\s+(\w+)\s*\(")
REFUSAL = re.compile(r"\b(?:require\s*\(|revert\b)[^;]*;")


def code_of(source: str) -> str:
    """The source without the contents of its comments and strings; every line keeps its number."""
    return STRING_OR_COMMENT.sub(lambda found: "\n" * found[0].count("\n"), source)


def declared(source: str) -> Iterator[tuple[int, str]]:
    """(line, name) of each error that a file declares."""
    code = code_of(source)
    yield from ((code.count("\n", 0, found.start()) + 1, found[1]) for found in ERROR.finditer(code))


def comment_above(source: str, line: int) -> str:
    """The `///` lines that end right above a line; empty when there are none."""
    block: list[str] = []
    for text in reversed(source.splitlines()[: line - 1]):
        if not text.strip().startswith("///"):
            break
        block.insert(0, text.strip().removeprefix("///").strip())
    return "\n".join(block)


def undocumented(source: str, path: str) -> list[str]:
    """Each error that a file declares without saying there what happened, as `path:line: what`."""
    found = []
    for line, name in declared(source):
        if not re.search(r"^@notice \S", comment_above(source, line), re.MULTILINE):
            found.append(f"{path}:{line}: {name} has no `/// @notice` right above it")
    return found


def never_raised(files: dict[str, str]) -> list[str]:
    """Each error of these files, by path, that is in no `require` and no `revert` of any of them, as `path:line: what`."""
    refusals = [refusal for source in files.values() for refusal in REFUSAL.findall(code_of(source))]
    raised = {name for refusal in refusals for name in re.findall(r"\b(\w+)\s*\(", refusal)}
    return [
        f"{path}:{line}: {name} is never raised" for path, source in files.items() for line, name in declared(source) if name not in raised
    ]


def contracts() -> dict[str, str]:
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in sorted((ROOT / "contracts").rglob("*.sol"))}


def test_there_is_something_to_check() -> None:
    files = contracts()
    assert {"contracts/RoundManager.sol", "contracts/libraries/Round.sol"} <= set(files)
    for path, name in [
        ("contracts/interfaces/IParticipantRegistry.sol", "ParticipantRegistryNotMember"),
        ("contracts/interfaces/IKeyRegistry.sol", "KeyRegistryNotHolder"),
        ("contracts/interfaces/IStudyRegistry.sol", "StudyRegistryInvalidRule"),
        ("contracts/interfaces/IRoundManager.sol", "RoundManagerNotDue"),
    ]:
        assert name in {error for _, error in declared(files[path])}


@pytest.mark.parametrize("path", contracts())
def test_every_error_is_explained_where_it_is_declared(path: str) -> None:
    assert undocumented(contracts()[path], path) == []


def test_every_error_is_raised_somewhere() -> None:
    assert never_raised(contracts()) == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("interface I {\n    error Planted();\n}", 2),
        ("/// @notice Of the file.\n\nerror Planted();", 3),
        ("/// @notice Of the other.\nerror Other();\nerror Planted(address account);", 3),
        ("/// @notice Of the event.\nevent Happened();\nerror Planted(\n    address account\n);", 3),
        ("// @notice No NatSpec: it has two strokes.\nerror Planted();", 2),
        ("/// @param account whose\nerror Planted(address account);", 2),
        ("/// @notice\nerror Planted();", 2),
        ("error Planted(); /// @notice Too late.", 1),
    ],
)
def test_the_checker_finds_a_planted_undocumented_error(source: str, line: int) -> None:
    assert undocumented(source, "contracts/x.sol") == [f"contracts/x.sol:{line}: Planted has no `/// @notice` right above it"]


@pytest.mark.parametrize(
    "source",
    [
        "/// @notice What happened.\nerror Known();",
        "interface I {\n    /// @notice What happened,\n    /// in two.\n    /// @param a b\n    error Known(address a);\n}",
        '// error Planted();\n/* error\nPlanted(); */\nstring constant TEXT = "error Planted();";',
    ],
)
def test_the_checker_accepts_what_is_documented(source: str) -> None:
    assert undocumented(source, "contracts/x.sol") == []


@pytest.mark.parametrize(
    "other",
    [
        "",
        "// revert Planted();",
        'function f() { revert("Planted()"); }',
        "function f() { require(true, PlantedToo()); g(); }",
        "function f() { require(true); Planted(); }",
    ],
)
def test_the_checker_finds_a_planted_error_that_is_never_raised(other: str) -> None:
    assert never_raised({"a.sol": "\nerror Planted();", "b.sol": other}) == ["a.sol:2: Planted is never raised"]


@pytest.mark.parametrize(
    "other",
    [
        "function f() { revert Known(); }",
        "function f() { if (wrong) revert I.Known({account: msg.sender}); }",
        "function f() { require(isGood(x), Known(x)); }",
        'function f() { require(\n    a == b, // not "c"\n    I.Known(\n        a\n    )\n); }',
    ],
)
def test_the_checker_accepts_what_is_raised(other: str) -> None:
    assert never_raised({"a.sol": "error Known();", "b.sol": other}) == []
