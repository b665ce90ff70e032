"""Signed digits: round trips, sums, overflow, pinned values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto.packing import SlotLayout, pack, unpack
from defedbio.errors import InvalidInput

N = (1 << 511) + (1 << 400) + 12345  # any odd number of 512 bits: packing needs no factors
LAYOUT = SlotLayout(512, 24)


def array(values) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@settings(deadline=None, max_examples=80)
@given(data=st.data(), slot_bits=st.integers(8, 62), length=st.integers(1, 90))
def test_unpack_returns_what_pack_took(data, slot_bits, length) -> None:
    layout = SlotLayout(512, slot_bits)
    edge = layout.half - 1
    values = array(data.draw(st.lists(st.integers(-edge, edge), min_size=length, max_size=length)))
    plaintexts = pack(values, layout, N)
    assert len(plaintexts) == layout.ciphertexts(length)
    assert all(0 <= m < N for m in plaintexts)
    assert np.array_equal(unpack(plaintexts, layout, N, length), values)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), participants=st.integers(1, 20), slot_bits=st.integers(12, 40))
def test_sums_of_plaintexts_are_sums_of_vectors_while_the_slot_rule_holds(data, participants, slot_bits) -> None:
    layout = SlotLayout(512, slot_bits)
    edge = (layout.half - 1) // participants
    vectors = [array(data.draw(st.lists(st.integers(-edge, edge), min_size=50, max_size=50))) for _ in range(participants)]
    columns = zip(*(pack(v, layout, N) for v in vectors), strict=True)
    assert np.array_equal(unpack([sum(c) % N for c in columns], layout, N, 50), sum(vectors))


@pytest.mark.parametrize("extreme", [1, -1])
def test_all_slots_at_their_limit(extreme) -> None:
    values = array([extreme * (LAYOUT.half - 1)] * (3 * LAYOUT.slots))
    assert np.array_equal(unpack(pack(values, LAYOUT, N), LAYOUT, N, len(values)), values)


def test_the_smallest_number_is_minus_the_lowest_digit_modulo_n() -> None:
    assert pack(array([-1]), LAYOUT, N) == [N - 1]
    assert pack(array([0, 1]), LAYOUT, N) == [1 << 24]


@pytest.mark.parametrize("value", [1 << 23, -(1 << 23), (1 << 63) - 1, -(1 << 63)])
def test_values_that_overflow_a_slot_are_refused_by_index(value) -> None:
    with pytest.raises(InvalidInput, match="value 2 does not fit"):
        pack(array([0, 0, value]), LAYOUT, N)


def test_a_plaintext_outside_its_slots_is_refused() -> None:
    with pytest.raises(InvalidInput, match="does not fit its slots"):
        unpack([N // 2], LAYOUT, N, 3)
    with pytest.raises(InvalidInput, match="outside 0"):
        unpack([N], LAYOUT, N, 3)


def test_a_sum_that_overflows_into_the_filling_is_refused() -> None:
    last = array([0, 0, LAYOUT.half - 1])
    doubled = [2 * m % N for m in pack(last, LAYOUT, N)]
    with pytest.raises(InvalidInput, match="filling"):
        unpack(doubled, LAYOUT, N, 3)


def test_the_digit_without_a_negative_is_refused() -> None:
    with pytest.raises(InvalidInput, match="overflows"):
        unpack([N - LAYOUT.half], LAYOUT, N, 1)


@pytest.mark.parametrize("values", [np.zeros((2, 2), dtype=np.int64), np.zeros(3), np.zeros(0, dtype=np.int64)])
def test_unfit_arrays_are_refused(values) -> None:
    with pytest.raises(InvalidInput):
        pack(values, LAYOUT, N)


def test_a_modulus_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="layout is for 512"):
        pack(array([1]), LAYOUT, N * 4 + 1)
    with pytest.raises(InvalidInput, match="plaintexts"):
        unpack([0, 0], LAYOUT, N, 3)


def test_pinned_plaintexts(vectors) -> None:
    primes = vectors("keys_512.json")
    n = int(primes["p"], 16) * int(primes["q"], 16)
    for case in vectors("packing.json"):
        layout = SlotLayout(512, case["slot_bits"])
        assert layout.slots == case["slots"]
        assert [hex(m) for m in pack(array(case["values"]), layout, n)] == case["plaintexts"]
        signed = sum(v << (layout.slot_bits * i) for i, v in enumerate(case["values"][: layout.slots]))
        assert int(case["plaintexts"][0], 16) == signed % n


def test_slots_of_the_default_study() -> None:
    layout = SlotLayout(3072, 24)
    assert layout.slots == 127
    assert layout.ciphertexts(16_400) == 130
