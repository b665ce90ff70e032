"""P6: who combines which part of an opening."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from defedbio.protocol.parts import LEAST, openers, parts
from defedbio.protocol.view import Dispute, RoundView, Share, StudyView

PEOPLE = tuple(f"0x{i:040x}" for i in range(15))
ROOT, OTHER = b"\x01" * 32, b"\x02" * 32
holders = st.permutations(range(15)).flatmap(lambda order: st.integers(0, 15).map(lambda n: order[:n]))


def released(order: list[int], root: bytes = ROOT) -> tuple[Share, ...]:
    return tuple(Share(PEOPLE[i], i + 1, root, ROOT, "cid", ROOT) for i in order)


def made(shares: tuple[Share, ...], enrolled: int = 15) -> tuple[StudyView, RoundView]:
    view = replace(RoundView(1, 1, 0, 0, PEOPLE[0]), shares=shares)
    return StudyView(1, participants=PEOPLE[:enrolled], rounds=MappingProxyType({1: view})), view


@given(order=holders, threshold=st.integers(1, 15), enrolled=st.integers(0, 15), ciphertexts=st.integers(1, 3000))
def test_p6_parts_cover_the_sum_once_and_are_worth_a_transaction(order: list[int], threshold: int, enrolled: int, ciphertexts: int) -> None:
    study, view = made(released(order), enrolled)
    found = parts(study, view, threshold, ciphertexts)
    first = [PEOPLE[i] for i in order[:threshold] if i < enrolled] if len(order) >= threshold else []
    assert list(found) == first[: len(found)], "they fall to the first in order"
    if found:
        assert [index for span in found.values() for index in span] == list(range(ciphertexts))
        sizes = {len(span) for span in found.values()}
        assert min(sizes) >= LEAST and max(sizes) - min(sizes) <= 1
    assert len(found) != 1 and bool(found) == (min(len(first), ciphertexts // LEAST) >= 2)


def test_p6_shares_of_another_aggregate_do_not_count_and_accusations_change_nothing() -> None:
    study, view = made((*released([5], OTHER), *released([3, 1, 2])))
    assert openers(study, view, 3) == (PEOPLE[3], PEOPLE[1], PEOPLE[2])
    disputed = replace(view, disputes=(Dispute(PEOPLE[9], PEOPLE[1]),))
    assert openers(study, disputed, 3) == openers(study, view, 3) and parts(study, disputed, 3, 1000) == parts(study, view, 3, 1000) != {}
