"""Sums of three squares: whatever comes out is checked against the number, so the tests ask for every number there is to ask for."""

from __future__ import annotations

import os
from math import isqrt

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from defedbio.crypto import kernel
from defedbio.crypto.proofs.squares import LIMIT, three_squares
from defedbio.errors import InvalidInput


@pytest.fixture(params=["compiled", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(kernel, "compiled", lambda: False)
    elif not kernel.compiled():
        pytest.skip("the kernel was not compiled here")
    return str(request.param)


def is_sum(value: int) -> bool:
    """By search, not by Legendre's theorem."""
    squares = {x * x for x in range(isqrt(value) + 1)}
    return any(value - a - b in squares for a in squares for b in squares if a + b <= value)


def check(values: list[int]) -> None:
    found = three_squares(values, os.urandom)
    assert all(type(x) is int and x >= 0 for roots in found for x in roots)
    assert [a * a + b * b + c * c for a, b, c in found] == values


def legendre(value: int) -> bool:
    while value and value % 4 == 0:
        value //= 4
    return value % 8 != 7


def test_the_numbers_that_are_sums_are_legendres() -> None:
    assert all(is_sum(value) == legendre(value) for value in range(400))


@pytest.mark.usefixtures("way")
def test_every_small_number() -> None:
    """All below 10,000, and those about 2^20, where another method begins."""
    numbers = [*range(10_000), *range((1 << 20) - 300, (1 << 20) + 300)]
    check([value for value in numbers if legendre(value)])
    for value in (value for value in range(3_000) if not legendre(value)):
        with pytest.raises(InvalidInput, match="no sum of three squares"):
            three_squares([1, value], os.urandom)


@pytest.mark.usefixtures("way")
@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 126).flatmap(lambda bits: st.integers(0, 1 << bits)), max_size=8))
@example([85, 0, LIMIT, LIMIT - 2, LIMIT - 3, (1 << 124) - 3])
@example([x * x << 2 * k for x in (1025, (1 << 31) + 1, (1 << 60) - 1) for k in (0, 1)])
def test_numbers_of_every_length(values: list[int]) -> None:
    check([value for value in values if legendre(value)])
    check([4 * (value // 4) + 1 for value in values if value < LIMIT - 3])


@pytest.mark.usefixtures("way")
def test_which_squares_is_chance() -> None:
    """The triple of a small number is any, and that of a large one never the same twice."""
    small = {tuple(sorted(roots)) for roots in three_squares([9 * 9 + 8 * 8 + 2 * 2] * 300, os.urandom)}
    assert len(small) > 3
    assert len(set(three_squares([(1 << 100) + 1] * 50, os.urandom))) == 50


def test_numbers_out_of_range_are_refused() -> None:
    for value in (-1, LIMIT + 1):
        with pytest.raises(InvalidInput, match="from 0 to 2"):
            three_squares([value], os.urandom)


@pytest.mark.skipif(not kernel.compiled(), reason="the kernel was not compiled here")
def test_the_compiled_code_refuses_by_itself() -> None:
    for value in (7, 28 << 60, LIMIT + 1, (1 << 128) - 1):
        with pytest.raises(ValueError, match="no sum of three squares"):
            kernel.three_squares([1, value], bytes(32))
    assert len(set(kernel.three_squares([(1 << 100) + 1] * 50, bytes(32)))) == 50, "zeros are a seed as well"
    with pytest.raises(ValueError, match="wrong length"):
        kernel.three_squares([1], bytes(31))
