"""README's first commands, run as they stand there: a study on a CSV, and what the page says that it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]\d+)?")
# Another processor may round a sum otherwise, which the training carries on.
TOLERANCE = 0.02


def section(text: str, title: str) -> str:
    """What stands between a heading of the second level and the next one."""
    assert text.count(f"\n## {title}\n") == 1, title
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def indented(text: str) -> list[str]:
    """The indented code blocks of a Markdown text, without the indentation."""
    blocks = re.findall(r"(?<=\n\n)(?: {4}.*\n)+", text)
    return [re.sub(r"(?m)^ {4}", "", block) for block in blocks]


COMMANDS, PRINTED = indented(section(README, "Try it on a CSV"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the documented commands find what a checkout after `make setup` has, and leave their files."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, arguments in (("python", ""), ("defedbio", "-m defedbio")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return tmp_path


def run(folder: Path, commands: str) -> list[str]:
    """The lines that they print; they must succeed."""
    done = subprocess.run(["bash", "-euc", commands], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def alike(shown: str, printed: str) -> bool:
    """Whether two lines differ in their numbers only, and in those by no more than the tolerance."""
    if NUMBER.sub("#", shown).rstrip() != NUMBER.sub("#", printed).rstrip():
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(abs(float(a) - float(b)) <= TOLERANCE for a, b in pairs)


def test_the_study_on_the_page_is_the_example() -> None:
    shown = section(README, "Try it on a CSV").partition("```json\n")[2].partition("```")[0]
    assert shown == (EXAMPLES / "first_study.json").read_text(encoding="utf-8")


def test_the_first_commands_do_what_the_page_says(checkout: Path) -> None:
    printed = run(checkout, COMMANDS)
    shown = PRINTED.splitlines()
    begins = next(i for i, line in enumerate(printed) if line.startswith("step"))
    output = [*printed[begins : begins + 2], *printed[-2:]]
    assert len(output) == len(shown)
    assert [(a, b) for a, b in zip(shown, output, strict=True) if not alike(a, b)] == []


def test_a_csv_of_ones_own_is_dealt_out_whole(checkout: Path) -> None:
    rows = [f'{number},"x, y",{number / 2},' for number in range(10)]
    (checkout / "mine.csv").write_text("\n".join(["number,text,half,none", *rows, ""]), encoding="utf-8")
    printed = run(checkout, ".venv/bin/python docs/examples/first_files.py mine.csv")
    assert printed == ['{"name": "number", "min": 0.0, "max": 9.0}', '{"name": "half", "min": 0.0, "max": 4.5}']
    files = [(checkout / "build" / "first" / f"{name}.csv").read_text(encoding="utf-8").splitlines() for name in ("a", "b", "c", "test")]
    assert {file[0] for file in files} == {"number,text,half,none"}
    assert sorted(line for file in files for line in file[1:]) == sorted(rows)


@pytest.mark.parametrize("line", ["step    1 train       test: loss 0.25", "step    1 train       test: auc 0.4"])
def test_another_line_is_not_alike(line: str) -> None:
    assert alike(line, line + "  ")
    assert not alike(line, "step    1 train       test: auc 0.25")
