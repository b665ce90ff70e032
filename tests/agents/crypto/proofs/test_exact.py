"""Float64 sums of products of long integers are exact, at their limits as well: Python's own integers are the oracle."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto.proofs import exact

Q_BITS = 448
LIMBS = Q_BITS // exact.LIMB_BITS
SCALARS = st.one_of(st.integers(0, (1 << 448) - 1), st.sampled_from([0, (1 << 448) - 1]))
LONG = st.one_of(st.integers(-(1 << 500), 1 << 500), st.sampled_from([-(1 << 22), (1 << 22) - 1, 0]))
WORDS = st.integers(-(1 << 62), 1 << 62)


@settings(deadline=None, max_examples=50)
@given(st.data(), st.integers(1, 4), st.integers(1, 5))
def test_a_combination_of_rows(data, width, count):
    rows = [
        data.draw(st.lists(LONG, min_size=width, max_size=width))
        if data.draw(st.booleans())
        else np.array(data.draw(st.lists(WORDS, min_size=width, max_size=width)), dtype=np.int64)
        for _ in range(count)
    ]
    scalars = data.draw(st.lists(SCALARS, min_size=count, max_size=count))
    expected = [sum(s * int(row[t]) for s, row in zip(scalars, rows, strict=True)) for t in range(width)]
    assert exact.combination(scalars, rows, 28) == expected


def test_as_many_terms_as_there_may_be_at_their_largest():
    count = exact.MOST_TERMS + 3
    scalar, number = (1 << 448) - 1, (1 << exact.PLANE_BITS) - 1
    assert exact.combination([scalar] * count, [np.array([number, -number])] * count, 28) == [
        count * scalar * number,
        -count * scalar * number,
    ]


@given(st.lists(LONG, min_size=1, max_size=5))
def test_planes_and_limbs_are_digits(values):
    planes = exact.planes(values)
    assert [sum(int(d) << exact.PLANE_BITS * p for p, d in enumerate(column)) for column in planes.T] == values
    assert np.abs(planes).max() < 1 << exact.PLANE_BITS
    magnitudes = [abs(v) for v in values]
    limbs = exact.limbs(magnitudes, 32)
    assert exact.joined(limbs.astype(np.int64)) == magnitudes


def test_sums_of_either_sign_are_carried():
    sums = np.array([[-1, 0, 0], [1 << 62, -(1 << 62), 5], [-(1 << 62), -1, -1]])
    assert exact.joined(sums) == [sum(int(x) << 16 * k for k, x in enumerate(row)) for row in sums]


def test_numbers_too_long_for_their_limbs_are_an_error():
    with pytest.raises(OverflowError):
        exact.limbs([1 << 32], 2)


def vectors(chance: random.Random, count: int, width: int) -> list[exact.Integers]:
    """Vectors of int64 and of longer integers, with the extremes of their size among them."""
    found: list[exact.Integers] = []
    for _ in range(count):
        most = (1 << chance.choice([1, 12, 24, 45, 62, 300])) - 1
        values = [chance.choice([most, -most, chance.randint(-most, most)]) for _ in range(width)]
        found.append(np.array(values, dtype=np.int64) if most < 1 << 62 else values)
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 60), st.randoms(use_true_random=False))
def test_inner_products_are_the_plain_sums(rows: int, columns: int, width: int, chance: random.Random) -> None:
    left = vectors(chance, rows, width)
    right = [[chance.choice([0, (1 << Q_BITS) - 1, chance.getrandbits(Q_BITS)]) for _ in range(width)] for _ in range(columns)]
    want = [[sum(int(x) * y for x, y in zip(v, scalars, strict=True)) for scalars in right] for v in left]
    assert exact.Matrix(left).times([exact.limbs(scalars, LIMBS) for scalars in right]) == want


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(0, exact.NARROW_BITS), st.randoms(use_true_random=False))
def test_scaled_values_are_products(width: int, bits: int, chance: random.Random) -> None:
    most = (1 << bits) - 1
    values = [chance.choice([most, -most, chance.randint(-most, most)]) for _ in range(width)]
    scalars = [chance.choice([0, (1 << Q_BITS) - 1, chance.getrandbits(Q_BITS)]) for _ in range(width)]
    found = exact.scaled(exact.limbs(scalars, LIMBS), np.array(values, dtype=np.int64))
    assert np.abs(found).max() < 1 << exact.LIMB_BITS
    assert [sum(int(x) << exact.LIMB_BITS * i for i, x in enumerate(row)) for row in found] == [
        x * y for x, y in zip(values, scalars, strict=True)
    ]


def test_the_longest_sums_are_exact() -> None:
    """As many terms as a plan's widest vectors have, all of them as large as can be."""
    width = exact.MOST_TERMS
    x, y = (1 << 62) - 1, (1 << Q_BITS) - 1
    assert exact.Matrix([np.full(width, x)]).times([exact.limbs([y] * width, LIMBS)]) == [[width * x * y]]
    assert exact.Matrix([[-x] * width]).times([exact.limbs([y] * width, LIMBS)]) == [[-width * x * y]]


@pytest.mark.parametrize("count", [1, 3, exact.WEIGHTED_ROWS + 1])
def test_a_weighted_sum_of_rows_of_limbs(count):
    chance = np.random.default_rng(count)
    rows = chance.integers(0, 1 << 16, (count, 5, 28), dtype=np.uint16)
    rows[0] = (1 << 16) - 1
    scalars = [(1 << 448) - 1, *(int.from_bytes(chance.bytes(56), "big") for _ in range(count - 1))]
    numbers = [[int.from_bytes(x.tobytes(), "little") for x in row] for row in rows]
    expected = [sum(s * row[t] for s, row in zip(scalars, numbers, strict=True)) for t in range(5)]
    assert exact.weighted(scalars, rows) == expected
