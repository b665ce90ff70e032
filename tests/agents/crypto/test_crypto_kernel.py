"""The native kernel against Python's and gmpy2's arithmetic: its plain-C form anywhere, its vector form where the processor has it.

Both forms are one algorithm over other instructions, so edge cases that the plain form gets right are right in the other, too; both run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import shutil
from math import prod

import gmpy2
import numpy as np
import pytest
from Crypto.Hash import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import kernel, numbers

KEY_BITS = (2048, 3072, 4096)
COMPILED = importlib.util.find_spec("defedbio.crypto._kernel") is not None

needs_kernel = pytest.mark.skipif(not COMPILED, reason="the kernel was not compiled here: gmpy2 does its work")


def forms() -> list[bool]:
    """portable=True, and False where this processor can."""
    return [True, False] if kernel.usable() else [True]


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="no compiler")
def test_where_there_is_a_compiler_the_kernel_is_there() -> None:
    assert COMPILED, "reinstall the project: `make setup`"


@st.composite
def problems(draw: st.DrawFn) -> tuple[kernel.Modulus, list[int]]:
    """A modulus of 3 to 700 bits, plain or squared, and elements with the extremes among them."""
    n = draw(st.integers(3, 700).flatmap(lambda bits: st.integers((1 << bits) // 2 + 1, (1 << bits) - 1))) | 1
    field = kernel.modulus(n, draw(st.booleans()))
    edges = st.sampled_from([0, 1, n - 1, n % field.value, field.value - 1])
    return field, draw(st.lists(edges | st.integers(0, field.value - 1), min_size=1, max_size=18))


@needs_kernel
@settings(deadline=None, max_examples=60)
@given(problems(), st.integers(0, 1 << 90))
def test_powers_are_pythons(problem: tuple[kernel.Modulus, list[int]], exponent: int) -> None:
    field, bases = problem
    want = [pow(b, exponent, field.value) for b in bases]
    for portable in forms():
        assert kernel.powers(field, bases, exponent, portable) == want


@needs_kernel
@settings(deadline=None, max_examples=40)
@given(problems(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_products_are_the_columns(problem: tuple[kernel.Modulus, list[int]], depth: int, chance: random.Random) -> None:
    field, numbers_ = problem
    rows = [[chance.choice(numbers_) for _ in numbers_] for _ in range(depth)]
    want = [[prod(column[: t + 1]) % field.value for t in range(depth)] for column in zip(*rows, strict=True)]
    for portable in forms():
        prefixes = kernel.prefix_products(field, rows, portable)
        assert {len(x) for column in prefixes for x in column} == {field.size}
        assert [[int.from_bytes(x, "big") for x in column] for column in prefixes] == want
        assert kernel.products(field, rows, portable) == [column[-1] for column in want]


@needs_kernel
@settings(deadline=None, max_examples=60)
@given(problems(), st.integers(1, 4), st.integers(1, 18), st.integers(2, 40) | st.just(256), st.randoms(use_true_random=False))
def test_rows_of_products_of_powers(
    problem: tuple[kernel.Modulus, list[int]], windows: int, rows: int, radix: int, chance: random.Random
) -> None:
    """With few bases to a row and with many, which take tables and go in the order of digits."""
    field, bases = problem
    if rows * windows < 5:
        bases = [*bases, *(chance.randrange(field.value) for _ in range(30))]
    digits = [[[chance.choice([0, radix - 1, chance.randrange(radix)]) for _ in bases] for _ in range(rows)] for _ in range(windows)]
    exponents = [[sum(window[row][t] * radix**i for i, window in enumerate(digits)) for t in range(len(bases))] for row in range(rows)]
    want = [prod(pow(b, e, field.value) for b, e in zip(bases, row, strict=True)) % field.value for row in exponents]
    written, every = np.array(digits, dtype=np.uint16), prod(bases) % field.value
    for portable in forms():
        assert kernel.multi_powers(field, bases, written, radix, portable=portable) == want
        assert kernel.multi_powers(field, bases, written, radix, whole=True, portable=portable) == [*want, every]


@needs_kernel
@settings(deadline=None, max_examples=40)
@given(problems(), st.integers(1, 3), st.integers(0, 90), st.randoms(use_true_random=False))
def test_columns_of_products_of_powers(problem: tuple[kernel.Modulus, list[int]], depth: int, bits: int, chance: random.Random) -> None:
    """Every base with an exponent of its own."""
    field, bases = problem
    rows = [bases, *([chance.choice(bases) for _ in bases] for _ in range(depth - 1))]
    exponents = [[chance.choice([0, (1 << bits) - 1, chance.getrandbits(bits)]) for _ in row] for row in rows]
    want = [1 % field.value] * len(bases)
    for row, those in zip(rows, exponents, strict=True):
        want = [x * pow(b, e, field.value) % field.value for x, b, e in zip(want, row, those, strict=True)]
    for portable in forms():
        assert kernel.column_powers(field, rows, exponents, portable) == want
    assert numbers.column_powers(rows, exponents, field.n, field.pairs) == want


@needs_kernel
@settings(deadline=None, max_examples=40)
@given(st.integers(3, 700), st.integers(1, 18), st.integers(0, 90), st.randoms(use_true_random=False))
def test_powers_modulo_own_numbers(length: int, count: int, bits: int, chance: random.Random) -> None:
    """Side by side with moduli of other lengths."""
    moduli = [chance.getrandbits(chance.choice([length, 3, length // 2 + 3])) | 5 for _ in range(count)]
    bases = [chance.choice([0, 1, n - 1, chance.randrange(n)]) for n in moduli]
    exponents = [chance.choice([0, (1 << bits) - 1, chance.getrandbits(bits)]) for _ in moduli]
    want = [pow(*those) for those in zip(bases, exponents, moduli, strict=True)]
    for portable in forms():
        assert kernel.own_powers(bases, exponents, moduli, portable) == want
    assert numbers.own_powers(bases, exponents, moduli) == want


@needs_kernel
def test_more_bases_than_one_call_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "BASES", 16)
    field, bases = kernel.modulus(1_000_003), list(range(2, 42))
    digits = np.arange(2 * 3 * 40, dtype=np.uint16).reshape(2, 3, 40) % 7
    want = [prod(pow(b, int(digits[0, k, t] + 7 * digits[1, k, t]), 1_000_003) for t, b in enumerate(bases)) % 1_000_003 for k in range(3)]
    for portable in forms():
        assert kernel.multi_powers(field, bases, digits, 7, whole=True, portable=portable) == [*want, prod(bases) % 1_000_003]


@needs_kernel
@settings(deadline=None, max_examples=20)
@given(problems(), st.lists(st.binary(min_size=3, max_size=3), min_size=1, max_size=17))
def test_comb_powers_read_exponents_little_endian(problem: tuple[kernel.Modulus, list[int]], exponents: list[bytes]) -> None:
    field, (base, *_) = problem
    want = [pow(base, int.from_bytes(e, "little"), field.value) for e in exponents]
    for portable in forms():
        assert kernel.Comb(field, base, 3, portable).powers(b"".join(exponents)) == want


@needs_kernel
@pytest.mark.parametrize("bits", KEY_BITS)
def test_numbers_of_real_keys(bits: int) -> None:
    """With the extremes of every limb: all bits set, and a modulus just under and just over a power of two."""
    for n in ((1 << bits) - 1, (1 << bits - 1) + 1, int.from_bytes(os.urandom(bits // 8), "big") | 1 << bits - 1 | 1):
        for squared in (False, True):
            field = kernel.modulus(n, squared)
            bases = [field.value - 1, field.value >> 1, n - 1, 2, *(int.from_bytes(os.urandom(bits // 8), "big") % n for _ in range(6))]
            exponent = int.from_bytes(os.urandom(20), "big")
            want = [int(gmpy2.powmod(b, exponent, field.value)) for b in bases]
            for portable in forms():
                assert kernel.powers(field, bases, exponent, portable) == want
                assert kernel.products(field, [[b] for b in bases], portable) == [prod(bases) % field.value]


@needs_kernel
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300) | st.sampled_from([135, 136, 137, 271, 272]), st.integers(1, 17), st.randoms(use_true_random=False))
def test_keccak_and_shake_are_the_libraries(size: int, count: int, chance: random.Random) -> None:
    messages = [chance.randbytes(size) for _ in range(count)]
    want = [keccak.new(digest_bits=256, data=message).digest() for message in messages]
    length = chance.choice([1, 135, 136, 137, 300])
    for portable in forms():
        assert kernel.keccak256(messages, portable) == want
        assert kernel.shake256(messages, length, portable) == [hashlib.shake_256(m).digest(length) for m in messages]


@needs_kernel
def test_wrong_lengths_are_refused_before_anything_is_read() -> None:
    from defedbio.crypto import _kernel

    good = kernel.modulus(1000003).constants
    calls = [
        lambda m: _kernel.powers(m, b"1234", b"1", True),
        lambda m: _kernel.powers(m, b"123", b"", True),
        lambda m: _kernel.comb_table(m, b"1234", 3, True),
        lambda m: _kernel.comb_table(m, b"123", 0, True),
        lambda m: _kernel.comb_powers(m, b"1234", 1, b"1", True),
        lambda m: _kernel.products(m, b"123" * 3, b"", 2, False, True),
        lambda m: _kernel.products(m, b"123" * 2, b"", 2, False, True),
        lambda m: _kernel.multi_powers(m, b"123" * 2, b"1" * 6, 1, 2, True, True),
        lambda m: _kernel.multi_powers(m, b"123" * 2, b"\1\0\2\0", 1, 2, True, True),
        lambda m: _kernel.multi_powers(m, b"123", b"\1\0", 1, 4097, True, True),
        lambda m: _kernel.multi_powers(m, b"123", b"\0\0", 1, 1, True, True),
        lambda m: _kernel.multi_powers(m, b"123", b"\0\0", 2, 2, True, True),
        lambda m: _kernel.multi_powers(m, b"123", b"\0\0\0", 1, 2, True, True),
        lambda m: _kernel.multi_powers(m, b"", b"", 1, 2, True, True),
        lambda m: _kernel.column_powers(m, b"12", b"12", 1, 0, True),
        lambda m: _kernel.column_powers(m, b"12", b"1", 1, 1, True),
        lambda m: _kernel.column_powers(m, b"123", b"123", 2, 1, True),
        lambda m: _kernel.column_powers(m, b"12", b"12", 3, 1, True),
        lambda m: _kernel.column_powers(m, b"", b"", 1, 1, True),
        lambda m: _kernel.own_powers(8, 1, b"35", b"12", b"12", b"12", b"1", 1, True),
        lambda m: _kernel.own_powers(8, 1, b"35", b"1", b"12", b"12", b"12", 1, True),
        lambda m: _kernel.own_powers(8, 1, b"35", b"12", b"1", b"12", b"12", 1, True),
        lambda m: _kernel.own_powers(8, 1, b"35", b"12", b"12", b"123", b"12", 1, True),
        lambda m: _kernel.own_powers(8, 2, b"357", b"123", b"123", b"123", b"12", 1, True),
        lambda m: _kernel.own_powers(7, 1, b"3", b"1", b"1", b"1", b"1", 1, True),
        lambda m: _kernel.own_powers(516, 1, b"3", b"1", b"1", b"1", b"1", 1, True),
        lambda m: _kernel.own_powers(8, 53, b"3" * 53, b"1" * 53, b"1" * 53, b"1" * 53, b"1", 1, True),
        lambda m: _kernel.own_powers(8, 0, b"", b"", b"", b"", b"", 1, True),
        lambda m: _kernel.own_powers(8, 1, b"3", b"1", b"1", b"1", b"", 0, True),
        lambda m: _kernel.keccak(b"123", 2, 1, 32, True),
        lambda m: _kernel.keccak(b"", 0, 1, 32, True),
        lambda m: _kernel.keccak(b"12", 1, 1, 0, True),
        lambda m: _kernel.keccak(b"12", 1, 1, (1 << 63) - 1, True),
        lambda m: _kernel.keccak(b"12", 1, 128, 32, True),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"wrong length|too many digits|too large"):
            call(good)
    for spoilt in ((b"", *good[1:]), (good[0][:-8], *good[1:]), (*good[:4], 0, False), (*good[:4], 100, False), (*good[:5], True)):
        with pytest.raises(ValueError, match="do not fit each other"):
            _kernel.powers(spoilt, b"", b"1", True)  # type: ignore[arg-type]


@needs_kernel
@pytest.mark.parametrize("squared", [False, True])
def test_numbers_gives_the_same_with_and_without_it(squared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    n = (1 << 607) - 1
    whole = n * n if squared else n
    bases = [whole - 1, 0, 1, *(int.from_bytes(os.urandom(90), "big") % whole for _ in range(40))]
    exponents = [0, 1, (1 << 128) - 1, *(int.from_bytes(os.urandom(16), "big") for _ in range(40))]
    rows = [bases[i : i + 40] for i in range(4)]

    def everything() -> list[object]:
        return [
            numbers.powmod_bases(bases, 1 << 80 | 5, n, squared),
            numbers.multi_powmod(bases, exponents, n, squared),
            numbers.product(bases, n, squared),
            numbers.column_products(rows, n, squared),
            numbers.prefix_products(rows, n, squared),
            numbers.CombTable(bases[-1], n, 9, squared).powers(bytes(range(90))),
        ]

    found = everything()
    monkeypatch.setattr(kernel, "usable", lambda: False)
    assert everything() == found
