"""Signed digits: round trips, sums, overflow, pinned values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto.packing import Layout, SlotLayout, pack, unpack
from defedbio.domain import Run
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


def test_every_plaintext_has_digits() -> None:
    """A sum in which one contribution is out of place is read all the same: digits modulo 2^(S b), the rest counts for nothing."""
    digits = unpack([N // 2], LAYOUT, N, LAYOUT.slots)
    assert sum(int(v) << LAYOUT.slot_bits * i for i, v in enumerate(digits)) % (1 << LAYOUT.slots * LAYOUT.slot_bits) == (N // 2) % (
        1 << LAYOUT.slots * LAYOUT.slot_bits
    )
    assert unpack([N - LAYOUT.half], LAYOUT, N, 1) == [-LAYOUT.half]
    assert np.array_equal(unpack([2 * m % N for m in pack(array([1, 2, LAYOUT.half - 1]), LAYOUT, N)], LAYOUT, N, 2), [2, 4])
    with pytest.raises(InvalidInput, match="outside 0"):
        unpack([N], LAYOUT, N, 3)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), m=st.integers(0, N - 1))
def test_digits_are_those_of_the_signed_number_modulo_its_slots(data, m) -> None:
    layout = SlotLayout(512, data.draw(st.integers(8, 62)))
    signed, modulus = (m - N if 2 * m > N else m), 1 << layout.slots * layout.slot_bits
    digits = [int(v) for v in unpack([m], layout, N, layout.slots)]
    assert all(-layout.half <= v < layout.half for v in digits)
    assert (sum(v << layout.slot_bits * i for i, v in enumerate(digits)) - signed) % modulus == 0


@settings(deadline=None, max_examples=40)
@given(data=st.data(), widths=st.lists(st.tuples(st.integers(8, 62), st.integers(1, 60)), min_size=1, max_size=4))
def test_a_layout_packs_run_after_run(data, widths) -> None:
    layout = Layout(512, tuple(Run(*width) for width in widths))
    values = array([data.draw(st.integers(1 - (1 << bits - 1), (1 << bits - 1) - 1)) for bits, length in widths for _ in range(length)])
    plaintexts = layout.pack(values, N)
    assert len(plaintexts) == layout.ciphertexts == sum(layout.counts)
    assert np.array_equal(layout.unpack(plaintexts, N), values)
    assert plaintexts[: layout.counts[0]] == pack(values[: widths[0][1]], layout.slots[0], N)
    with pytest.raises(InvalidInput, match="are needed"):
        layout.unpack(plaintexts[:-1], N)
    with pytest.raises(InvalidInput, match="for a layout"):
        layout.pack(values[:-1], N)


def test_layouts_are_told_apart() -> None:
    layouts = [Layout(512, runs) for runs in ((Run(8, 9),), (Run(9, 8),), (Run(8, 4), Run(8, 5)), (Run(8, 5), Run(8, 4)))] + [
        Layout(520, (Run(8, 9),))
    ]
    assert len({layout.to_bytes() for layout in layouts}) == len(layouts)


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
    assert layout.slots == 126
    assert layout.ciphertexts(16_400) == 131
