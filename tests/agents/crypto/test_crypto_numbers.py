"""Arithmetic against Python's own pow and products."""

from __future__ import annotations

import os
import random
from math import gcd, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from defedbio.crypto import kernel, numbers
from defedbio.errors import InternalFault, InvalidInput

MODULUS = (1 << 521) - 1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 60), st.integers(1, 5), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_multi_powmods_equal_the_products_of_powers(count: int, rows: int, signed: bool, native: bool, chance: random.Random) -> None:
    bases = [chance.randrange(1, MODULUS) for _ in range(count)]
    least = -(1 << 100) if signed else 0
    exponents = [[chance.choice([least, 0, 1, chance.randrange(least, 1 << 128)]) for _ in bases] for _ in range(rows)]
    want = [prod(pow(b, e, MODULUS) for b, e in zip(bases, row, strict=True)) % MODULUS for row in exponents]
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(kernel, "usable", lambda: False)
        assert numbers.multi_powmods(bases, exponents, MODULUS) == want
        assert numbers.multi_powmod(bases, exponents[0], MODULUS) == want[0]


EXPONENTS = st.integers(0, 1 << 200) | st.sampled_from([0, 1, (1 << 32) - 1, 1 << 32])


@settings(deadline=None, max_examples=20)
@given(st.lists(EXPONENTS, min_size=1, max_size=10), st.booleans(), st.booleans())
def test_powers_of_a_fixed_base_whatever_it_was_raised_to_before(exponents: list[int], squared: bool, native: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(kernel, "usable", lambda: False)
        base, whole = numbers.FixedBase(7, MODULUS, squared), MODULUS**2 if squared else MODULUS
        for those in (exponents, [*exponents, 1 << 300], exponents):
            assert base.powers(those) == [pow(7, e, whole) for e in those]
        with pytest.raises(InvalidInput, match="negative"):
            base.powers([1, -1])


def test_as_many_exponents_as_bases() -> None:
    with pytest.raises(InvalidInput, match="as many exponents"):
        numbers.multi_powmods([2, 3], [[1, 2], [1]], MODULUS)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 1 << 20), min_size=33, max_size=60))
def test_the_bucket_method_for_many_bases_uses_every_digit(exponents: list[int]) -> None:
    exponents = [*exponents, 1, 255, 256, 257, (1 << 128) - 1, 0]
    bases = list(range(2, len(exponents) + 2))
    want = prod(pow(b, e, MODULUS) for b, e in zip(bases, exponents, strict=True)) % MODULUS
    assert numbers.multi_powmod(bases, exponents, MODULUS) == want


def test_multi_powmod_with_all_exponents_zero_and_many_bases() -> None:
    assert numbers.multi_powmod([3] * 40, [0] * 40, 7) == 1


@st.composite
def signed_rows(draw: st.DrawFn) -> NDArray[np.int64]:
    """Rows of exponents of up to 62 bits with the extremes among them."""
    most = draw(st.sampled_from([0, 1, 2, 7, 255, 256, 40_000, (1 << 62) - 1]))
    entries = st.integers(draw(st.sampled_from([0, -most])), most) | st.sampled_from([0, most])
    shape = draw(st.integers(0, 19)), draw(st.integers(0, 11))
    return np.array([[draw(entries) for _ in range(shape[1])] for _ in range(shape[0])], dtype=np.int64).reshape(shape)


@settings(deadline=None, max_examples=80)
@given(signed_rows(), st.booleans(), st.randoms(use_true_random=False))
def test_signed_products_are_those_of_single_powers(exponents: NDArray[np.int64], native: bool, chance: random.Random) -> None:
    bases = [chance.randrange(1, MODULUS) for _ in range(exponents.shape[1])]
    want = [prod(pow(b, e, MODULUS) for b, e in zip(bases, row, strict=True)) % MODULUS for row in exponents.tolist()]
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(kernel, "usable", lambda: False)
        assert numbers.signed_products(bases, exponents, MODULUS) == want


def test_signed_products_refuse_what_they_cannot_take() -> None:
    with pytest.raises(InvalidInput, match="as many columns"):
        numbers.signed_products([2, 3], np.ones((2, 3), dtype=np.int64), MODULUS)
    for extreme in (1 << 62, -(1 << 62), -(1 << 63)):
        with pytest.raises(InvalidInput, match="smaller than 2"):
            numbers.signed_products([2], np.array([[extreme]]), MODULUS)
    with pytest.raises(InvalidInput, match="without an inverse"):
        numbers.signed_products([2, 3], np.array([[1, -1], [1, 1]]), 9)


def test_negative_exponents_need_a_unit() -> None:
    assert numbers.powmod(3, -2, 7) == pow(3, -2, 7)
    with pytest.raises(InvalidInput, match="without an inverse"):
        numbers.powmod(3, -1, 9)


@given(st.lists(st.integers(1, MODULUS - 1), max_size=12))
def test_inverses_of_a_list(values: list[int]) -> None:
    assert [v * i % MODULUS for v, i in zip(values, numbers.invert_all(values, MODULUS), strict=True)] == [1] * len(values)


def test_a_list_with_a_number_that_has_no_inverse() -> None:
    with pytest.raises(InvalidInput, match="without an inverse"):
        numbers.invert_all([2, 3, 4], 9)


@settings(deadline=None, max_examples=20)
@given(st.binary(min_size=9, max_size=9), st.integers(2, MODULUS - 1))
def test_comb_powers_read_exponents_little_endian(exponent: bytes, base: int) -> None:
    table = numbers.CombTable(base, MODULUS, 9)
    assert table.powers(exponent + bytes(9)) == [pow(base, int.from_bytes(exponent, "little"), MODULUS), 1]
    with pytest.raises(InvalidInput, match="9 bytes each"):
        table.powers(exponent[:-1])


def test_prefix_products_end_in_the_product() -> None:
    values = [5, 7, 11, 13]
    rows = list(zip(values, values[::-1], strict=True))
    prefixes = [[numbers.from_bytes(x) for x in column] for column in numbers.prefix_products(rows, 1000)]
    assert prefixes == [[5, 35, 385, 5], [13, 143, 1, 5]]
    assert numbers.column_products(rows, 1000) == [5, 5]
    assert numbers.product(values, 1000) == 5


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 1 << 70))
def test_random_below_stays_below(bound: int) -> None:
    assert 0 <= numbers.random_below(os.urandom, bound) < bound


def test_random_below_rejects_instead_of_reducing() -> None:
    stream = iter([b"\xff", b"\xc8", b"\x05"])
    assert numbers.random_below(lambda _: next(stream), 200) == 5


def test_a_short_random_source_is_noticed() -> None:
    with pytest.raises(InternalFault, match="wrong number of bytes"):
        numbers.random_bits(lambda n: b"", 8)


@pytest.mark.parametrize("bits", [64, 96, 256])
def test_safe_primes_are_safe_and_of_full_size(bits: int) -> None:
    p = numbers.safe_prime(bits, os.urandom)
    assert p.bit_length() == bits
    assert p >> (bits - 2) == 3
    assert numbers.is_prime(p)
    assert numbers.is_prime(p // 2)


def test_bytes_of_fixed_length() -> None:
    assert numbers.to_bytes(258, 4) == b"\x00\x00\x01\x02"
    with pytest.raises(InvalidInput):
        numbers.to_bytes(256, 1)
    with pytest.raises(InvalidInput):
        numbers.to_bytes(-1, 1)


def test_small_factors_are_found() -> None:
    assert numbers.has_factor_below(65521 * ((1 << 521) - 1), 1 << 16)
    assert not numbers.has_factor_below((1 << 521) - 1, 1 << 16)


@given(st.lists(st.tuples(st.integers(0, 1 << 80), st.integers(-50, 1 << 70)), max_size=12), st.integers(3, 1 << 90))
def test_powers_of_own_exponents(pairs: list[tuple[int, int]], modulus: int) -> None:
    """Of rows modulo one number, its square, and each modulo a number of its own."""
    modulus |= 1
    bases, exponents = [b for b, _ in pairs], [abs(e) for _, e in pairs]
    for whole, squared in ((modulus, False), (modulus**2, True)):
        want = [pow(b, e, whole) * pow(b + 1, e // 2, whole) % whole for b, e in zip(bases, exponents, strict=True)]
        rows = [bases, [b + 1 for b in bases]]
        assert numbers.column_powers(rows, [exponents, [e // 2 for e in exponents]], modulus, squared) == want
    units = [b if gcd(b, modulus) == 1 else 1 for b in bases]
    moduli = [modulus] * len(units)
    assert numbers.own_powers(units, [e for _, e in pairs], moduli) == [pow(b, e, modulus) for b, (_, e) in zip(units, pairs, strict=True)]


def test_powers_of_own_exponents_need_as_many_of_each() -> None:
    for call in (
        lambda: numbers.column_powers([[1, 2]], [[1]], 7),
        lambda: numbers.column_powers([[1, 2], [1]], [[1, 2], [1]], 7),
        lambda: numbers.column_powers([[1]], [[-1]], 7),
        lambda: numbers.own_powers([1], [1, 2], [7, 7]),
        lambda: numbers.own_powers([7], [-1], [21]),
    ):
        with pytest.raises(InvalidInput):
            call()


def test_powers_modulo_a_secret_square_are_kept_nowhere() -> None:
    kernel.modulus.cache_clear()
    prime = (1 << 127) - 1
    assert numbers.SecretModulus(prime).powers([2, prime**2 + 3], 1 << 200) == [pow(b, 1 << 200, prime**2) for b in (2, 3)]
    assert kernel.modulus.cache_info().currsize == 0


def test_a_prime_has_its_length_and_two_high_bits() -> None:
    for bits in (64, 65, 200):
        found = numbers.prime(bits, os.urandom)
        assert found.bit_length() == bits
        assert found >> bits - 2 == 3
        assert numbers.is_prime(found)
