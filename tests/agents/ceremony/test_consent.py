"""What the operator said yes to, and the seed that came with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from defedbio.ceremony.consent import accept, accepted, erase_seed, open_seed, sentence
from defedbio.ceremony.machine import Terms
from defedbio.errors import InvalidInput, NotFound, WrongPassword

TERMS = Terms(1, "0x" + "Ab" * 20, 7, ("0x" + "01" * 20, "0x" + "02" * 20, "0x" + "03" * 20), 2, 2048, 3600)


def test_D3_a_seed_is_drawn_once_and_opens_with_the_password_alone(tmp_path: Path) -> None:
    accept(tmp_path, TERMS, "right")
    seed = open_seed(tmp_path, TERMS, "right")
    accept(tmp_path, TERMS, "right")
    assert len(seed) == 32 and open_seed(tmp_path, TERMS, "right") == seed
    with pytest.raises(WrongPassword):
        open_seed(tmp_path, TERMS, "wrong")
    assert all(seed.hex().encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())
    (tmp_path / "other").mkdir()
    accept(tmp_path / "other", TERMS, "right")
    assert open_seed(tmp_path / "other", TERMS, "right") != seed


def test_D1_consent_is_to_one_ceremonys_terms(tmp_path: Path) -> None:
    assert not accepted(tmp_path, TERMS)
    accept(tmp_path, TERMS, "p")
    assert accepted(tmp_path, TERMS)
    for other in (replace(TERMS, holders=TERMS.holders[::-1]), replace(TERMS, threshold=3), replace(TERMS, bits=3072)):
        with pytest.raises(InvalidInput, match="not the chain's"):
            accepted(tmp_path, other)


def test_D5_an_erased_seed_is_not_drawn_again(tmp_path: Path) -> None:
    accept(tmp_path, TERMS, "p")
    erase_seed(tmp_path)
    erase_seed(tmp_path)
    accept(tmp_path, TERMS, "p")
    with pytest.raises(NotFound):
        open_seed(tmp_path, TERMS, "p")


def test_the_sentence_says_who_and_what_for() -> None:
    said = sentence(TERMS)
    assert all(holder in said for holder in TERMS.holders)
    assert "2048 bits" in said and "Any 2 of them" in said and "60 minutes" in said and "publishes" in said
