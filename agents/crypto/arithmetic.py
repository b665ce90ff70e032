"""The port behind which lists of powers are computed: here, or wherever an organisation says (`compute`). Results do not depend on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from defedbio.crypto import numbers
from defedbio.crypto.numbers import CombTable


class Arithmetic(Protocol):
    """Lists of powers modulo a number, or modulo its square if `squared`. Exponents may be secret: who computes is trusted with them."""

    def powers(self, bases: Sequence[int], exponent: int, modulus: int, squared: bool = False) -> list[int]:
        """As `numbers.powmod_bases`."""
        ...

    def comb_powers(self, table: CombTable, exponents: bytes) -> list[int]:
        """As `CombTable.powers`."""
        ...

    def multi_power(self, bases: Sequence[int], exponents: Sequence[int], modulus: int, squared: bool = False) -> int:
        """As `numbers.multi_powmod`."""
        ...

    def multi_powers(self, lists: Sequence[tuple[Sequence[int], Sequence[int]]], modulus: int, squared: bool = False) -> list[int]:
        """`multi_power` of each of several lists of bases and exponents, side by side where it can."""
        ...

    def column_powers(
        self, rows: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], modulus: int, squared: bool = False
    ) -> list[int]:
        """As `numbers.column_powers`."""
        ...

    def own_powers(self, bases: Sequence[int], exponents: Sequence[int], moduli: Sequence[int]) -> list[int]:
        """As `numbers.own_powers`."""
        ...


class OneThread:
    """The calling thread computes everything."""

    def powers(self, bases: Sequence[int], exponent: int, modulus: int, squared: bool = False) -> list[int]:
        return numbers.powmod_bases(bases, exponent, modulus, squared)

    def comb_powers(self, table: CombTable, exponents: bytes) -> list[int]:
        return table.powers(exponents)

    def multi_power(self, bases: Sequence[int], exponents: Sequence[int], modulus: int, squared: bool = False) -> int:
        return numbers.multi_powmod(bases, exponents, modulus, squared)

    def multi_powers(self, lists: Sequence[tuple[Sequence[int], Sequence[int]]], modulus: int, squared: bool = False) -> list[int]:
        return [numbers.multi_powmod(bases, exponents, modulus, squared) for bases, exponents in lists]

    def column_powers(
        self, rows: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], modulus: int, squared: bool = False
    ) -> list[int]:
        return numbers.column_powers(rows, exponents, modulus, squared)

    def own_powers(self, bases: Sequence[int], exponents: Sequence[int], moduli: Sequence[int]) -> list[int]:
        return numbers.own_powers(bases, exponents, moduli)


ONE_THREAD = OneThread()
