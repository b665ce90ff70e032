"""Why an update is not in the sum: one reading, whatever holders wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.domain import BitSet
from defedbio.protocol.left_out import left_out, reasons
from defedbio.protocol.view import Reveal, RoundView, StudyView

PEOPLE = tuple(f"0x{i:040x}" for i in range(1, 6))
STUDY = StudyView(1, participants=PEOPLE)
FROZEN = BitSet.of(0, 1, 2)


def round_of(said: dict[str, tuple[BitSet, str]], frozen: bool = True) -> RoundView:
    """Participant 4 of 0..4 never committed; all others revealed. Holders attested to a set and gave reasons."""
    reveals = {i: Reveal(i, PEOPLE[i], bytes(32), "cid", bytes(32), bytes(32)) for i in range(4)}
    view = RoundView(
        *(7, 1, 0, 0, PEOPLE[0]),
        commitments=dict.fromkeys(PEOPLE[:4], bytes(32)),
        reveals=reveals,
        attested={holder: attested for holder, (attested, _) in said.items()},
        reasons={holder: text for holder, (_, text) in said.items()},
    )
    return replace(view, frozen=FROZEN, set_hash=bytes(32)) if frozen else view


def test_what_holders_of_another_set_said_does_not_count() -> None:
    view = round_of(
        {"a": (FROZEN, "3:BadCiphertext"), "b": (BitSet.of(0, 1, 3), "2:unavailable;3:slander"), "c": (FROZEN, "3:unavailable")}
    )
    assert reasons(view) == {3: ("BadCiphertext", "unavailable")}
    assert left_out(STUDY, view)[3] == "BadCiphertext, unavailable"


def test_those_who_revealed_nothing_need_no_reason() -> None:
    view = round_of({"a": (FROZEN, "")})
    assert left_out(STUDY, view) == {3: "no reason given", 4: "never committed"}
    silent = replace(view, reveals={i: r for i, r in view.reveals.items() if i != 3})
    assert left_out(STUDY, silent)[3] == "never revealed"


def test_nobody_is_left_out_of_a_set_that_is_not_there() -> None:
    view = round_of({"a": (FROZEN, "3:BadCiphertext")}, frozen=False)
    assert reasons(view) == {}
    assert left_out(STUDY, view) == {}


@pytest.mark.parametrize("text", ["", ";", "3", "3:", ":3", "x:y", "²:x", "-1:x", "256:x", "9999999999:x", " 3 :x"])
def test_what_is_not_written_as_agreed_is_passed_over(text: str) -> None:
    assert reasons(round_of({"a": (FROZEN, text)})) == {}


@given(st.text(max_size=200))
def test_no_text_steers_a_terminal(text: str) -> None:
    found = reasons(round_of({"a": (FROZEN, f"3:\x1b[31m{text}")}))
    assert all(reason.isprintable() for given_ in found.values() for reason in given_)
    assert set(found) <= set(range(256))


def test_only_what_the_contract_takes_is_read() -> None:
    """A made-up chain could hold any length; the contract takes 1,024 bytes."""
    assert reasons(round_of({"a": (FROZEN, "3:x;" * 10_000 + "4:y")})) == {3: ("x",)}
