"""Quantisation: clipping, unbiased rounding, the weighted mean, and refusals."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import encoding
from defedbio.domain import Quantisation, Segment
from defedbio.errors import InvalidData, InvalidInput

Q = Quantisation(slot_bits=24, scale=1000.0, weight_cap=10, clip_norm=2.0)


def encode(x, weight, q, rand):
    """A contribution of one segment."""
    return encoding.encode((x,), weight, (Segment("update", max(1, x.size), q),), rand)


def decode(totals, q, participants):
    return encoding.decode(totals, (Segment("update", max(1, len(totals) - 1), q),), participants)


finite = st.floats(-1e300, 1e300, allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.floats(-0.1, 0.1), min_size=4, max_size=4), min_size=1, max_size=6), st.data())
def test_the_mean_comes_back_within_one_unit_a_participant(rows, data) -> None:
    weights = [data.draw(st.integers(1, Q.weight_cap)) for _ in rows]
    totals = sum(encode(np.array(row), w, Q, os.urandom) for row, w in zip(rows, weights, strict=True))
    decoded = decode(totals, Q, len(rows))
    assert decoded.weight == sum(weights)
    want = np.average(np.array(rows), axis=0, weights=weights)
    assert np.max(np.abs(decoded.vectors[0] - want)) <= len(rows) * Q.weight_cap / Q.scale / sum(weights) + 1e-12


@settings(deadline=None, max_examples=80)
@given(st.lists(finite, min_size=1, max_size=20), st.integers(1, 10))
def test_what_is_encoded_keeps_norm_and_bound(values, weight) -> None:
    out = encode(np.array(values), weight, Q, os.urandom)
    assert out[0] == weight
    assert np.max(np.abs(out)) <= Q.bound
    norm = float(np.linalg.norm(out[1:].astype(float)))
    assert norm <= Q.clip_norm * Q.scale * weight / Q.weight_cap + np.sqrt(len(values)) + 1e-6


def test_elements_are_clipped_to_max_abs() -> None:
    q = Quantisation(slot_bits=24, scale=100.0, weight_cap=1, max_abs=0.5)
    assert encode(np.array([3.0, -3.0, 0.25]), 1, q, os.urandom).tolist() == [1, 50, -50, 25]


def test_vectors_inside_the_ball_are_not_scaled() -> None:
    q = Quantisation(slot_bits=24, scale=4.0, weight_cap=1, clip_norm=5.0)
    assert encode(np.array([3.0, -4.0]), 1, q, os.urandom).tolist() == [1, 12, -16]
    assert encode(np.array([3.0, -4.0]), 1, q, bytes).tolist() == [1, 12, -16]
    assert encode(np.array([6.0, -8.0]), 1, q, os.urandom).tolist() == [1, 12, -16]


def test_rounding_is_stochastic_and_unbiased(seeded) -> None:
    q = Quantisation(slot_bits=24, scale=1.0, weight_cap=1, max_abs=10.0)
    out = encode(np.array([0.25, -0.25] * 20_000), 1, q, seeded(1))[1:]
    assert set(out[::2]) == {0, 1}
    assert set(out[1::2]) == {0, -1}
    assert abs(out[::2].mean() - 0.25) < 0.02
    assert abs(out[1::2].mean() + 0.25) < 0.02


@pytest.mark.parametrize(("byte", "want"), [(b"\x00", 1), (b"\xff", 0)])
def test_random_bytes_decide_the_rounding(byte, want) -> None:
    q = Quantisation(slot_bits=24, scale=1.0, weight_cap=1, max_abs=10.0)
    assert encode(np.array([0.5]), 1, q, lambda n: byte * n)[1] == want


@pytest.mark.parametrize("bad", [[np.nan], [np.inf, 0.0], []])
def test_vectors_that_are_not_finite_or_empty_are_refused(bad) -> None:
    with pytest.raises(InvalidData):
        encode(np.array(bad, dtype=np.float64), 1, Q, os.urandom)
    with pytest.raises(InvalidData):
        encode(np.zeros((2, 2)), 1, Q, os.urandom)


@pytest.mark.parametrize("weight", [0, -1, 11])
def test_weights_outside_the_cap_are_refused(weight) -> None:
    with pytest.raises(InvalidInput, match="weight"):
        encode(np.array([1.0]), weight, Q, os.urandom)


@pytest.mark.parametrize(
    ("totals", "participants", "reason"),
    [
        ([2, 1], 3, "total weight"),
        ([31, 1], 3, "total weight"),
        ([3, 6004], 3, "larger than 3"),
        ([3, -6004], 3, "larger than 3"),
        ([3, -(1 << 63)], 3, "larger than 3"),
        ([3, 1], 0, "participants"),
        ([3], 3, "a weight and the segments"),
        ([200, 1], 200, None),
    ],
)
def test_impossible_totals_are_refused(totals, participants, reason) -> None:
    array = np.array(totals, dtype=np.int64)
    if reason is None:
        assert decode(array, Q, participants).weight == totals[0]
        return
    with pytest.raises(InvalidInput, match=reason):
        decode(array, Q, participants)


def test_a_cohort_that_could_overflow_is_refused_when_decoding() -> None:
    q = Quantisation(slot_bits=14, scale=1000.0, weight_cap=10, clip_norm=2.0)
    with pytest.raises(InvalidInput, match="overflow"):
        decode(np.array([5, 1], dtype=np.int64), q, 5)


def test_the_mean_is_plain_ieee_arithmetic_in_a_fixed_order() -> None:
    """P6: every node gets the same bytes."""
    totals = np.array([7, 1, -5000, 4321], dtype=np.int64)
    want = struct.pack("<3d", *(t / 1000.0 * 10.0 / 7.0 for t in (1.0, -5000.0, 4321.0)))
    assert decode(totals, Q, 3).vectors[0].astype("<f8").tobytes() == want


def test_segments_are_encoded_each_in_its_own_way() -> None:
    """What is not weighted is summed as it is: counts come back exact, whatever the weights."""
    counts = Quantisation(slot_bits=24, scale=3.0, weight_cap=10, max_abs=500.0, weighted=False)
    segments = (Segment("update", 2, Q), Segment("counts", 3, counts))
    sites = [(np.array([0.5, -0.25]), np.array([17.0, 0.0, 499.0]), 2), (np.array([0.1, 0.2]), np.array([1.0, 5.0, 500.0]), 9)]
    totals = sum(encoding.encode((x, c), w, segments, os.urandom) for x, c, w in sites)
    decoded = encoding.decode(totals, segments, 2)
    assert decoded.vectors[1].tolist() == [18.0, 5.0, 999.0]
    np.testing.assert_allclose(decoded.vectors[0], np.average([s[0] for s in sites], axis=0, weights=[2, 9]), atol=3e-3)
    with pytest.raises(InvalidInput, match="one part for every segment"):
        encoding.encode((np.zeros(2),), 1, segments, os.urandom)
    with pytest.raises(InvalidInput, match="larger than 2"):
        encoding.decode(np.array([11, 0, 0, 0, 0, 3 * 1001], dtype=np.int64), segments, 2)
