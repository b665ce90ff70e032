"""Lists of powers in slices, which an executor runs side by side or elsewhere. Results do not depend on it, nor on how a list is cut.

A slice carries all that it needs as plain numbers and bytes, so that another process or machine can compute it. Lists too short for two
slices are computed at once. Slices hold secrets (exponents), and clusters log what they run: nothing of a slice shows in its repr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import call
from typing import Protocol, TypeVar

from defedbio.crypto import numbers
from defedbio.crypto.kernel import LANES
from defedbio.crypto.numbers import CombTable

# Products of 64-bit words that make a slice: about 20 ms by the native kernel, 100 ms by gmpy2.
SLICE_WORK = 1 << 27
DIGIT_BITS = 7  # about so many bits of an exponent cost a base one product

S = TypeVar("S")
T = TypeVar("T")


class Executor(Protocol):
    """What slices need of a `concurrent.futures.Executor`."""

    def map(self, function: Callable[[S], T], slices: Iterable[S], /) -> Iterator[T]:
        """The results in the order of the slices."""
        ...


@dataclass(frozen=True, repr=False)
class _Powers:
    bases: Sequence[int]
    exponent: int
    modulus: int
    squared: bool

    def __call__(self) -> list[int]:
        return numbers.powmod_bases(self.bases, self.exponent, self.modulus, self.squared)


@dataclass(frozen=True, repr=False)
class _CombPowers:
    table: CombTable
    exponents: bytes

    def __call__(self) -> list[int]:
        return self.table.powers(self.exponents)


@dataclass(frozen=True, repr=False)
class _MultiPower:
    bases: Sequence[int]
    exponents: Sequence[int]
    modulus: int
    squared: bool

    def __call__(self) -> int:
        return numbers.multi_powmod(self.bases, self.exponents, self.modulus, self.squared)


@dataclass(frozen=True, repr=False)
class _ColumnPowers:
    rows: Sequence[Sequence[int]]
    exponents: Sequence[Sequence[int]]
    modulus: int
    squared: bool

    def __call__(self) -> list[int]:
        return numbers.column_powers(self.rows, self.exponents, self.modulus, self.squared)


@dataclass(frozen=True, repr=False)
class _OwnPowers:
    bases: Sequence[int]
    exponents: Sequence[int]
    moduli: Sequence[int]

    def __call__(self) -> list[int]:
        return numbers.own_powers(self.bases, self.exponents, self.moduli)


class Sliced:
    """`crypto.arithmetic.Arithmetic` by an executor, which is trusted with what slices hold."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def powers(self, bases: Sequence[int], exponent: int, modulus: int, squared: bool = False) -> list[int]:
        size = _size(len(bases), exponent.bit_length(), modulus, squared)
        cuts = [_Powers(bases[i : i + size], exponent, modulus, squared) for i in range(0, len(bases), size)]
        return list(chain.from_iterable(self._run(cuts)))

    def comb_powers(self, table: CombTable, exponents: bytes) -> list[int]:
        size = table.digits * _size(len(exponents) // table.digits, table.digits, table.modulus, table.squared)
        cuts = [_CombPowers(table, exponents[i : i + size]) for i in range(0, len(exponents), size)]
        return list(chain.from_iterable(self._run(cuts)))

    def multi_power(self, bases: Sequence[int], exponents: Sequence[int], modulus: int, squared: bool = False) -> int:
        return self.multi_powers([(bases, exponents)], modulus, squared)[0]

    def multi_powers(self, lists: Sequence[tuple[Sequence[int], Sequence[int]]], modulus: int, squared: bool = False) -> list[int]:
        cuts = [_cut(bases, exponents, modulus, squared) for bases, exponents in lists]
        found = self._run(list(chain.from_iterable(cuts)))
        return [numbers.product([next(found) for _ in those], modulus, squared) for those in cuts]

    def column_powers(
        self, rows: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], modulus: int, squared: bool = False
    ) -> list[int]:
        if not rows:
            return numbers.column_powers(rows, exponents, modulus, squared)
        longest = max((e.bit_length() for row in exponents for e in row), default=0)
        size = _size(len(rows[0]), longest, modulus, squared)
        spans = [slice(i, i + size) for i in range(0, max(len(row) for row in (*rows, *exponents)), size)]
        cuts = [_ColumnPowers([row[span] for row in rows], [row[span] for row in exponents], modulus, squared) for span in spans]
        return list(chain.from_iterable(self._run(cuts)))

    def own_powers(self, bases: Sequence[int], exponents: Sequence[int], moduli: Sequence[int]) -> list[int]:
        size = _size(len(bases), max((e.bit_length() for e in exponents), default=0), max(moduli, default=1), False)
        cuts = [
            _OwnPowers(bases[i : i + size], exponents[i : i + size], moduli[i : i + size])
            for i in range(0, max(len(bases), len(exponents), len(moduli)), size)
        ]
        return list(chain.from_iterable(self._run(cuts)))

    def _run(self, cuts: Sequence[Callable[[], T]]) -> Iterator[T]:
        return self._executor.map(call, cuts) if len(cuts) > 1 else map(call, cuts)


def _cut(bases: Sequence[int], exponents: Sequence[int], modulus: int, squared: bool) -> list[_MultiPower]:
    products = 1 + max((e.bit_length() for e in exponents), default=0) // DIGIT_BITS
    size = _size(len(bases), products, modulus, squared)
    spans = [slice(i, i + size) for i in range(0, max(len(bases), len(exponents)), size)]
    return [_MultiPower(bases[span], exponents[span], modulus, squared) for span in spans]


def _size(count: int, products: int, modulus: int, squared: bool) -> int:
    """How many numbers make a slice, of `count` that take so many products each: equal slices, in multiples of the kernel's lanes."""
    words = modulus.bit_length() * (2 if squared else 1) / 64
    slices = max(1, int(count * max(products, 1) * words * words / SLICE_WORK))
    return max(1, -(-count // (slices * LANES))) * LANES
