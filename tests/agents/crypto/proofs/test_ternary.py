"""Products with a ternary matrix against plain sums over its entries, by numpy and by both forms of the kernel."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import kernel
from defedbio.crypto.proofs.ternary import COLUMNS_AT_ONCE, Ternary
from defedbio.errors import InvalidInput

SHAPES = st.sampled_from([(1, 1), (8, 3), (13, 20), (128, 31), (129, 5), (3, 257), (2, COLUMNS_AT_ONCE + 1)])


def ways() -> list[Callable[[pytest.MonkeyPatch], None]]:
    """How to have the same product made: by numpy, in plain C, and with the processor's vectors where it has them."""

    def by_numpy(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(kernel, "usable", lambda: False)

    def in_plain_c(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(kernel, "usable", lambda: True)
        for name in ("ternary_apply", "ternary_transpose", "ternary_weighted"):
            native = getattr(kernel, name)
            patch.setattr(kernel, name, lambda *args, native=native: native(*args, portable=True))

    return [by_numpy, *([in_plain_c] if kernel.compiled() else []), *([lambda _: None] if kernel.usable() else [])]


def entries(data: bytes, rows: int, columns: int) -> list[list[int]]:
    """Row by row, bit by bit as the layout is written down."""
    groups = -(-rows // 8)

    def bit(column: int, half: int, row: int) -> int:
        return data[(2 * column + half) * groups + row // 8] >> row % 8 & 1

    return [[bit(c, 0, r) - bit(c, 1, r) for c in range(columns)] for r in range(rows)]


@st.composite
def matrices(draw: st.DrawFn) -> tuple[Ternary, list[list[int]]]:
    rows, columns = draw(SHAPES)
    size = Ternary.bytes_needed(rows, columns)
    fill = draw(st.sampled_from([None, b"\xff", b"\x00"]))
    data = fill * size if fill else random.Random(draw(st.integers())).randbytes(size)
    if draw(st.booleans()):  # all first bits and no second: the sums are as large as they can be
        groups = size // columns // 2
        data = (b"\xff" * groups + bytes(groups)) * columns
    return Ternary(data, rows, columns), entries(data, rows, columns)


@settings(deadline=None, max_examples=25)
@given(matrices(), st.sampled_from([1, 1 << 31, 1 << 32, (1 << 62) - 1]), st.randoms(use_true_random=False))
def test_apply_is_the_plain_sum(matrix: tuple[Ternary, list[list[int]]], most: int, chance: random.Random) -> None:
    ternary, rows = matrix
    x = [chance.choice([most, -most, chance.randint(-most, most)]) for _ in range(ternary.columns)]
    want = [sum(a * b for a, b in zip(row, x, strict=True)) for row in rows]
    for way in ways():
        with pytest.MonkeyPatch.context() as patch:
            way(patch)
            assert ternary.apply(np.array(x, dtype=np.int64)) == want


@settings(deadline=None, max_examples=40)
@given(matrices(), st.integers(2, 512) | st.sampled_from([64, 440, 448, 449, 512]), st.randoms(use_true_random=False))
def test_transpose_apply_is_the_plain_sum(matrix: tuple[Ternary, list[list[int]]], bits: int, chance: random.Random) -> None:
    ternary, rows = matrix
    modulus = chance.choice([1 << bits - 1, (1 << bits) - 1, 1 << bits - 1 | chance.getrandbits(bits - 1)])
    scalars = [chance.choice([modulus - 1, 0, chance.randrange(-modulus, modulus)]) for _ in rows]
    want = [sum(a * s for a, s in zip(column, scalars, strict=True)) % modulus for column in zip(*rows, strict=True)]
    for way in ways():
        with pytest.MonkeyPatch.context() as patch:
            way(patch)
            assert ternary.transpose_apply(scalars, modulus) == want


@settings(deadline=None, max_examples=40)
@given(matrices(), st.integers(2, 512) | st.sampled_from([440, 448, 449, 512]), st.integers(1, 7), st.randoms(use_true_random=False))
def test_weighted_is_the_plain_sum_of_blocks(
    matrix: tuple[Ternary, list[list[int]]], bits: int, blocks: int, chance: random.Random
) -> None:
    ternary, rows = matrix
    ternary, width = ternary.part(0, ternary.columns // blocks * blocks or 1), ternary.columns // blocks or 1
    modulus = chance.choice([1 << bits - 1, (1 << bits) - 1, 1 << bits - 1 | chance.getrandbits(bits - 1)])
    scalars = [chance.choice([modulus - 1, 0, chance.randrange(-modulus, modulus)]) for _ in rows]
    weights = [chance.choice([modulus - 1, 1, chance.randrange(modulus)]) for _ in range(ternary.columns // width)]
    want = [0] * width
    for row, scalar in zip(rows, scalars, strict=True):
        for a, weight in enumerate(weights):
            want = [x + weight * scalar * entry for x, entry in zip(want, row[a * width : (a + 1) * width], strict=True)]
    for way in ways():
        with pytest.MonkeyPatch.context() as patch:
            way(patch)
            assert ternary.weighted(scalars, weights, modulus) == [x % modulus for x in want]


@settings(deadline=None, max_examples=25)
@given(matrices(), st.integers(1, 4), st.sampled_from([1, 1 << 31, 1 << 33, 1 << 50]), st.randoms(use_true_random=False))
def test_apply_matrix_is_the_plain_sum(matrix: tuple[Ternary, list[list[int]]], width: int, most: int, chance: random.Random) -> None:
    ternary, rows = matrix
    values = [[chance.choice([most, -most, chance.randint(-most, most)]) for _ in range(width)] for _ in range(ternary.columns)]
    want = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*values, strict=True)] for row in rows]
    assert ternary.apply_matrix(np.array(values, dtype=np.int64)).tolist() == want


def test_entries_are_zero_half_of_the_time() -> None:
    ternary = Ternary(os.urandom(Ternary.bytes_needed(128, 500)), 128, 500)
    found = ternary.apply_matrix(np.eye(500, dtype=np.int64))
    counts = [int(np.count_nonzero(found == value)) for value in (-1, 0, 1)]
    assert sum(counts) == prod(found.shape)
    assert [abs(count - share * 64_000) < 1_500 for count, share in zip(counts, (0.25, 0.5, 0.25), strict=True)] == [True] * 3


def test_other_shapes_are_refused() -> None:
    assert Ternary.bytes_needed(13, 7) == 28
    with pytest.raises(InvalidInput, match="another number of bytes"):
        Ternary(bytes(27), 13, 7)
    with pytest.raises(InvalidInput, match="at least one"):
        Ternary(b"", 8, 0)
    ternary = Ternary(bytes(28), 13, 7)
    for vector in ([0] * 6, [1 << 62] + [0] * 6, [-(1 << 63)] + [0] * 6):
        with pytest.raises(InvalidInput, match="vector of another length"):
            ternary.apply(np.array(vector, dtype=np.int64))
    for scalars, modulus in (([1] * 12, 7), ([1] * 13, 1), ([1] * 13, 1 << 512)):
        with pytest.raises(InvalidInput, match="as many scalars"):
            ternary.transpose_apply(scalars, modulus)
        with pytest.raises(InvalidInput, match="as many scalars"):
            ternary.weighted(scalars, [1], modulus)
    with pytest.raises(InvalidInput, match="no blocks"):
        ternary.weighted([1] * 13, [1, 2], 7)
    with pytest.raises(InvalidInput, match="another number of rows"):
        ternary.apply_matrix(np.zeros((6, 2), dtype=np.int64))


@pytest.mark.skipif(not kernel.compiled(), reason="the kernel was not compiled here")
def test_wrong_lengths_are_refused_before_anything_is_read() -> None:
    from defedbio.crypto import _kernel

    scalars = bytes(8 * 64)
    good = (bytes(6), 1, scalars, 1, 56, bytes(16), b"\1" * 8)
    assert _kernel.ternary_transpose(*good, True) == bytes(24)
    wrong: list[tuple[int, object]] = [
        (0, bytes(5)),
        (1, 0),
        (1, 2),
        (2, bytes(8)),
        (3, 0),
        (3, 3),
        (4, 61),
        (5, bytes(8)),
        (6, bytes(8)),
        (6, b""),
    ]
    for place, value in wrong:
        with pytest.raises(ValueError, match="wrong length"):
            _kernel.ternary_transpose(*good[:place], value, *good[place + 1 :], True)  # type: ignore[arg-type]
    for data, groups in ((bytes(5), 1), (bytes(6), 0), (bytes(6), 2)):
        with pytest.raises(ValueError, match="wrong length"):
            _kernel.ternary_apply(data, groups, bytes(24), True)
    right: tuple[Any, ...] = (bytes(12), 1, 3, bytes(8 * 8), bytes(2 * 8), b"\1" * 8, 7)
    assert _kernel.ternary_weighted(*right, True) == bytes(3 * 128)
    others: list[tuple[int, object]] = [
        (0, bytes(11)),
        (1, 0),
        (1, 2),
        (2, 0),
        (2, 4),
        (3, bytes(56)),
        (3, b""),
        (4, bytes(8)),
        (4, b""),
        (5, b"\2" * 8),
        (5, b"\1" * 16),
        (5, b""),
        (6, 4),
        (6, 8),
    ]
    for place, value in others:
        with pytest.raises(ValueError, match="wrong length"):
            _kernel.ternary_weighted(*right[:place], value, *right[place + 1 :], True)
