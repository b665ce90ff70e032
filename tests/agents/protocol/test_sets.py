"""P3: what counts as refused, how large a set must be, and where holders with different good sets meet."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.domain import MAX_PARTICIPANTS, NO_ONE, TWO_THIRDS, BitSet, least_set
from defedbio.errors import InvalidSpec
from defedbio.network.connection import rules_of
from defedbio.protocol.sets import joined, refused_by
from tests.agents.protocol.in_process import frame_of

ALL = BitSet.of(*range(7))
sets = st.integers(0, 127).map(BitSet)


@pytest.mark.parametrize("updates", range(MAX_PARTICIPANTS + 1))
def test_two_thirds_is_exact_for_every_number_of_participants(updates: int) -> None:
    exact = -(-updates * Fraction(2, 3) // 1)
    assert least_set(0, TWO_THIRDS, updates) == max(3, exact)


def test_the_cohort_and_three_are_the_least_whatever_the_share() -> None:
    assert least_set(3, TWO_THIRDS, 0) == 3 and least_set(5, TWO_THIRDS, 6) == 5 and least_set(3, 10_000, 6) == 6


@given(st.lists(sets, max_size=6), st.integers(1, 6))
def test_an_update_is_bad_when_so_many_holders_refuse_it(refusals: list[BitSet], threshold: int) -> None:
    assert refused_by(refusals, threshold) == BitSet.of(*(p for p in range(7) if sum(p in r for r in refusals) >= threshold))


@given(good=sets, position=st.none() | st.integers(0, 6), others=st.lists(sets, max_size=4), least=st.integers(3, 7))
def test_what_is_joined_is_good_whole_and_large_enough(good: BitSet, position: int | None, others: list[BitSet], least: int) -> None:
    must = BitSet(good.bits & 1 << position) if position is not None else NO_ONE
    found = joined(good, must, others, 3, least)
    assert found.bits & ~good.bits == 0 and must.bits & ~found.bits == 0
    assert found == good or len(found) >= least


def test_a_set_that_freezes_now_comes_first_and_the_largest_of_these() -> None:
    small, large = BitSet.of(0, 1, 2, 3, 4), BitSet.of(0, 1, 2, 3, 4, 5)
    assert joined(ALL, NO_ONE, [small, small, large, large], 3, 5) == large
    assert joined(ALL, NO_ONE, [small, small, large], 3, 5) == small
    assert joined(ALL, BitSet.of(6), [small, small, large, large], 3, 5) == ALL, "never without its own"


def test_holders_that_were_each_denied_another_update_meet() -> None:
    """Three honest holders of five: two hostile participants serve their update to one of the three each, two holders say nothing."""
    views = [ALL, BitSet.of(0, 1, 2, 3, 4, 5), BitSet.of(0, 1, 2, 3, 4, 6)]
    said = list(views)
    for _ in range(2):
        for holder in range(3):
            said[holder] = joined(views[holder], BitSet.of(holder), said[:holder] + said[holder + 1 :], 3, 5)
    assert said == [BitSet.of(0, 1, 2, 3, 4)] * 3


def test_a_holder_that_claims_more_than_it_follows_does_not_keep_them_apart() -> None:
    views = [ALL, BitSet.of(0, 1, 2, 3, 4, 5), BitSet.of(0, 1, 2, 3, 4, 6)]
    said = [*views, ALL]  # the fourth claims all and never moves
    for _ in range(3):
        for holder in range(3):
            said[holder] = joined(views[holder], BitSet.of(holder), said[:holder] + said[holder + 1 :], 3, 5)
    assert said[:3] == [BitSet.of(0, 1, 2, 3, 4)] * 3


@pytest.mark.parametrize(("share", "units"), [(None, 6_666), (0.75, 7_500), (0.57, 5_700), (0.66666, 6_666), (0.6667, 6_667), (1, 10_000)])
def test_s1_a_spec_names_the_share_by_its_decimal_digits(share: float | None, units: int) -> None:
    participants = {"seats": 4, **({"share": share} if share is not None else {})}
    spec = frame_of({"participants": participants}).spec
    assert spec.least_share == units and rules_of(spec, 0).least_share == units


@pytest.mark.parametrize("share", [0.5, 0.50005, 1.0001, "2/3", None])
def test_s1_a_share_of_half_or_less_is_none(share: object) -> None:
    with pytest.raises(InvalidSpec, match="participants/share"):
        frame_of({"participants": {"seats": 4, "share": share}})
