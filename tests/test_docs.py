"""The Markdown pages, read from their source text: lines are short, and links lead to a file and to a heading that exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 120
FENCE = re.compile(r" *(?:[-*+] +|\d+[.)] +)?(`{3,}|~{3,})")
ITEM = re.compile(r" *(?:[-*+]|\d+[.)]) +")
HEADING = re.compile(r" {0,3}#{1,6} +(.*?)(?: +#+)? *$")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
INLINE_LINK = re.compile(r"\]\(\s*<?((?:[^()\s<>]|\([^()\s]*\))+)>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)>?", re.MULTILINE)
HTML_LINK = re.compile(r"<[a-z][^<>]*?\b(?:href|src)=\"([^\"]*)\"")
HTML_ANCHOR = re.compile(r"<[a-z][^<>]*?\b(?:id|name)=\"([^\"]*)\"")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
# What planted lines are made of.
WORDS = "word " * 30
URL = "https://example.org/" + "a" * 120


def code_lines(text: str) -> set[int]:
    """Numbers of the lines that are code: fenced, fences included, or indented by four spaces more than the text around them."""
    code: set[int] = set()
    fence = ""
    items: list[int] = []  # where the text of each list item begins that the line is in
    after_blank = True
    for number, line in enumerate(text.split("\n"), 1):
        found = FENCE.match(line)
        if fence or found:
            code.add(number)
            if found and not fence:
                fence = found[1]
            elif found and found[1].startswith(fence) and line.strip() == found[1]:
                fence = ""
            after_blank = False
            continue
        if not line.strip():
            after_blank = True
            continue
        indent = len(line) - len(line.lstrip(" "))
        item = ITEM.match(line)
        while items and indent < items[-1] and (after_blank or item):
            items.pop()
        if indent >= (items[-1] if items else 0) + 4 and (after_blank or number - 1 in code):
            code.add(number)
        elif item:
            items.append(item.end())
        after_blank = False
    return code


def is_unbreakable(line: str) -> bool:
    """Whether a line runs over in a link alone that would not fit into any line."""
    start = max(line.rfind(" ") + 1, len(line) - len(line.lstrip(" ")))
    link = line[start:]
    indent = len(line) - len(line.lstrip(" "))
    return start <= LONGEST and ("://" in link or "](" in link) and indent + len(link) > LONGEST


def long_lines(text: str, path: str) -> list[str]:
    """Each line that is too long, as `path:line: what`; code, table rows and links that cannot be broken may be longer."""
    code = code_lines(text)
    return [
        f"{path}:{number}: {len(line)} characters, {LONGEST} are allowed"
        for number, line in enumerate(text.split("\n"), 1)
        if len(line) > LONGEST and number not in code and not line.lstrip().startswith("|") and not is_unbreakable(line)
    ]


def prose(text: str) -> str:
    """The text with its code blanked out, so that lines and columns stay where they are."""
    code = code_lines(text)
    kept = "\n".join("" if number in code else line for number, line in enumerate(text.split("\n"), 1))
    paragraphs = re.split(r"(\n[ \t]*\n)", kept)  # a code span may go over a line's end, and not over a paragraph's
    return "".join(CODE_SPAN.sub(lambda span: re.sub(r"[^\n]", " ", span[0]), paragraph) for paragraph in paragraphs)


def links(text: str) -> Iterator[tuple[int, str]]:
    """(line, target) of every link and image of a page, in Markdown or HTML."""
    shown = prose(text)
    for pattern in (INLINE_LINK, REFERENCE, HTML_LINK):
        for found in pattern.finditer(shown):
            yield shown.count("\n", 0, found.start(1)) + 1, found[1]


def slug(heading: str) -> str:
    """A heading's anchor as GitHub makes it, not yet told apart from an earlier one of the same text."""
    shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Every anchor of a page: those of its headings, where a repeated one gets a number, and those that HTML names."""
    code = code_lines(text)
    found: set[str] = set(HTML_ANCHOR.findall(prose(text)))
    times: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        heading = HEADING.match(line)
        if heading and number not in code:
            name = slug(heading[1])
            count = times[name] = times.get(name, -1) + 1
            found.add(f"{name}-{count}" if count else name)
    return found


@cache
def anchors_of(page: Path) -> set[str]:
    return anchors(page.read_text(encoding="utf-8"))


def dead_links(text: str, path: str, root: Path = ROOT) -> list[str]:
    """Each link of a page at `path` below `root` that leads to no file there or to no heading of it, as `path:line: what`."""
    found = []
    for line, target in links(text):
        if SCHEME.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        base = root if name.startswith("/") else (root / path).parent
        file = (base / name.lstrip("/")).resolve() if name else root / path
        if not file.is_relative_to(root.resolve()) or (name and not file.exists()):
            found.append(f"{path}:{line}: {target}: there is no such file")
        elif anchor and file.suffix == ".md" and anchor not in (anchors_of(file) if name else anchors(text)):
            found.append(f"{path}:{line}: {target}: there is no such heading")
    return found


def pages() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


def test_there_is_something_to_check() -> None:
    assert {"README.md", "docs/protocol.md", "docs/decisions/README.md"} <= set(pages())


@pytest.mark.parametrize("path", pages())
def test_a_page_has_no_long_line(path: str) -> None:
    assert long_lines((ROOT / path).read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize("path", pages())
def test_the_links_of_a_page_lead_somewhere(path: str) -> None:
    assert dead_links((ROOT / path).read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (WORDS, 1),
        (f"# {WORDS}", 1),
        (f"* item\n\n  {WORDS}", 3),
        (f"1. item\n\n    {WORDS}", 3),
        (f"a paragraph\n    {WORDS}", 2),
        (f"```\ncode\n```\n{WORDS}", 4),
        (f"{WORDS}{URL}", 1),
        (f"[a link]({URL}) and {WORDS}", 1),
        (f"{'word ' * 20}https://example.org/{'a' * 60}", 1),
        (f"{'a' * 121}", 1),
        (f'<img src="a.png" alt="{WORDS}">', 1),
    ],
)
def test_the_checker_finds_a_planted_long_line(text: str, line: int) -> None:
    found = long_lines(text, "docs/x.md")
    assert len(found) == 1, found
    assert found[0].startswith(f"docs/x.md:{line}: ")
    assert found[0].endswith(" characters, 120 are allowed")


@pytest.mark.parametrize(
    "text",
    [
        "a" * 120,
        "é" * 120,
        f"| {WORDS}|",
        f"```\n{WORDS}\n```",
        f"````\n```\n{WORDS}\n```\n{WORDS}\n````",
        f"a paragraph\n\n    {WORDS}\n    {WORDS}\n\n    {WORDS}",
        f"1. item\n\n       {WORDS}\n\n   more of it",
        f"See {URL}",
        f"* [{'a' * 20}]({URL})",
        f"see [the\npage]({URL})",
    ],
)
def test_the_checker_accepts_lines_that_are_short_or_cannot_be(text: str) -> None:
    assert long_lines(text, "docs/x.md") == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a page, docs/other.md, and a file that is none."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## At rest\n\n## At rest\n\n```\n# no heading\n```\n", encoding="utf-8")
    (tmp_path / "code.py").write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("[a page](missing.md)", 1, "missing.md: there is no such file"),
        ("text\n\n[a page of\ntwo lines](missing.md)", 4, "missing.md: there is no such file"),
        ("![a picture](images/missing.png)", 1, "images/missing.png: there is no such file"),
        ("[![a picture](../code.py)](missing.md)", 1, "missing.md: there is no such file"),
        ('[titled](missing.md "a title")', 1, "missing.md: there is no such file"),
        ("[a page][1]\n\n[1]: missing.md", 3, "missing.md: there is no such file"),
        ('<a href="missing.md">a page</a>', 1, "missing.md: there is no such file"),
        ('<img src="missing.png" alt="a picture">', 1, "missing.png: there is no such file"),
        ("[outside](../../outside.md)", 1, "../../outside.md: there is no such file"),
        ("[from the root](/other.md)", 1, "/other.md: there is no such file"),
        ("[a heading](other.md#missing)", 1, "other.md#missing: there is no such heading"),
        ("[in code](other.md#no-heading)", 1, "other.md#no-heading: there is no such heading"),
        ("[a third](other.md#at-rest-2)", 1, "other.md#at-rest-2: there is no such heading"),
        ("# Here\n\n[own](#there)", 3, "#there: there is no such heading"),
        ("[`code` in it](missing.md)", 1, "missing.md: there is no such file"),
    ],
)
def test_the_checker_finds_a_planted_dead_link(folder: Path, text: str, line: int, complaint: str) -> None:
    assert dead_links(text, "docs/x.md", folder) == [f"docs/x.md:{line}: {complaint}"]


@pytest.mark.parametrize(
    "text",
    [
        "[a page](other.md), [again](./other.md), [a folder](../docs/), [code](../code.py#L10), [root](/docs/other.md)",
        "[a heading](other.md#at-rest), [the second](other.md#at-rest-1), [the page's own](other.md#other)",
        "# What `it` is: *here*, [there](other.md)\n\n[own](#what-it-is-here-there)",
        '<a id="mark"></a>\n\n[own](#mark)',
        "[the web](https://example.org/missing.md), [mail](mailto:a@example.org)",
        "`[code](missing.md)` and ``[code with a ` in it](missing.md)``",
        "`code over\nthe line's [end](missing.md)`",
        "```\n[code](missing.md)\n```\n\n    [code](missing.md)",
    ],
)
def test_the_checker_accepts_links_that_lead_somewhere(folder: Path, text: str) -> None:
    assert dead_links(text, "docs/x.md", folder) == []


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("At rest", "at-rest"),
        ("What leaks, and what does not", "what-leaks-and-what-does-not"),
        ("0034: The explorer is server-rendered", "0034-the-explorer-is-server-rendered"),
        ("`run_all` – twice", "run_all--twice"),
        ("Schlüssel & Söhne", "schlüssel--söhne"),
    ],
)
def test_a_heading_has_the_anchor_that_github_gives_it(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


OLD_NAME = re.compile(
    r"-m ipfs\b|-m agents\.|\b(?:from|import) (?:agents|ipfs)\b|(?<![\w./`])agents\.(?:chain|cli|client|crypto|learning|nodes|protocol)\b"
)
TELLS = (".md", ".sh", ".service", ".ipynb", ".yaml", ".yml", ".sol")


def told() -> list[str]:
    """Tracked text outside Python that may tell somebody what to import or to run. Records of decisions tell how it was."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [path for path in listed if path.endswith(TELLS) and not path.startswith("docs/decisions/")]


@pytest.mark.parametrize("line", ["python -m ipfs.swarm_key", "from agents import Client", "see agents.protocol.view"])
def test_an_old_import_name_is_found(line: str) -> None:
    assert OLD_NAME.search(line)


@pytest.mark.parametrize("line", ["python -m agents --help", "four agents. A", "agents/chain", "from defedbio import Client"])
def test_what_only_looks_like_one_is_not(line: str) -> None:
    assert not OLD_NAME.search(line)


def test_nothing_tells_to_import_by_a_folders_name() -> None:
    assert [f"{p}: {m.group()}" for p in told() for m in OLD_NAME.finditer((ROOT / p).read_text("utf-8"))] == []
