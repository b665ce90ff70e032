"""What a node keeps is declared, and the documentation says the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.errors import InternalFault
from defedbio.protocol.catalogue import BLOBS, KINDS, Filed, Goes, Kind, kind_of
from defedbio.protocol.memory import Memory, key_of, open_journal
from defedbio.protocol.view import RoundView

STORAGE = Path(__file__).parents[3] / "docs" / "storage.md"
VIEW = RoundView(7, 1, 0, 0, "0x" + "00" * 20)
DIGEST = "ab" * 32
TRANSACTIONS = (
    "round/7/come-back",
    "round/7/share/ab",
    "round/7/attest-set/0/f-0/3:minority",
    "round/7/dispute/0xab/BadShare: no\nproof",
    "study/1/open/7",
)


def keys_of(kind: Kind[Any]) -> list[str]:
    """Keys as the node writes them."""
    match kind.filed:
        case Filed.EFFECT:
            return list(TRANSACTIONS)
        case Filed.RECEIVER:
            return [f"hook/{'ab' * 16}", f"hook/{'ab' * 16}/31337/0xab/1/7/phase.entered.open"]
        case Filed.CEREMONY_EFFECT:
            return [f"ceremony/3/{name}" for name in ("post/0", "post/12", "expire", "complain", "seed", "propose", "confirm", "reject")]
        case Filed.STEP:
            return [f"step/4/{kind.name}"]
        case Filed.CEREMONY:
            return [f"ceremony/{kind.name}"]
        case Filed.STUDY:
            return [key_of(kind)]
        case Filed.MODEL:
            return [key_of(kind, None, DIGEST)]
    return [key_of(kind, VIEW, "control" if kind.parts else "")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_entry_is_of_its_kind_and_of_no_other(kind: Kind[Any]) -> None:
    for key in keys_of(kind):
        assert [known.name for known in KINDS if known.pattern.fullmatch(key)] == [kind.name]
        filed_by_round = kind.filed in (Filed.ROUND, Filed.START, Filed.SET, Filed.EFFECT)
        assert kind.round_of(key) == (7 if filed_by_round else None)


@given(st.text(max_size=40) | st.builds("round/{}/{}".format, st.integers(0, 99), st.text(max_size=20)))
def test_no_two_kinds_share_a_key(key: str) -> None:
    assert sum(kind.pattern.fullmatch(key) is not None for kind in KINDS) <= 1


@pytest.mark.parametrize("key", ["round/1/junk", "round/1/update", "study/1/close/2", "model-bytes/ab", "x", "round/x/release", ""])
def test_an_undeclared_entry_is_not_written(tmp_path: Path, key: str) -> None:
    journal = open_journal(tmp_path / "j.sqlite")
    for write in (journal.put, journal.put_once):
        with pytest.raises(InternalFault, match="no kind declares it"):
            write(key, {"a": 1})
    assert not journal.sizes() and kind_of(key) is None
    journal.close()


def test_a_kind_is_filed_where_it_says(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j.sqlite")
    for kind in KINDS:
        by_round = kind.filed in (Filed.ROUND, Filed.START, Filed.SET)
        with pytest.raises(InternalFault, match="is not filed under"):
            Memory(journal).get(kind, None if by_round else VIEW)
    journal.close()


def rows(heading: str) -> list[list[str]]:
    """The body of the table under a heading of the page."""
    text = STORAGE.read_text("utf-8")
    part = re.split(r"^## ", text[text.index(f"## {heading}\n") + 3 :], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_the_page_says_of_the_journal_what_the_catalogue_says() -> None:
    assert rows("The journal") == [
        [f"`{kind.name}`", kind.holds, kind.filed.value, kind.reader, kind.goes.value, kind.why] for kind in KINDS
    ]
    assert {kind.goes for kind in KINDS} == set(Goes)


def test_the_page_says_of_blobs_what_the_catalogue_says() -> None:
    assert rows("Blobs on IPFS") == [[blob.name, blob.holds, blob.reader, blob.goes.value] for blob in BLOBS]
