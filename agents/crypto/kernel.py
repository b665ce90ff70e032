"""The door to the native kernel (native/kernel.c): powers and products of many numbers at once, eight side by side by AVX-512-IFMA.

`numbers` decides when to come here. The extension is absent where nobody could compile it, and `usable` says whether this processor has
the instructions; gmpy2 does the same work then. `portable=True` runs the same algorithm in plain C, slowly, to check it anywhere.
Moduli are odd. Nothing here runs in constant time: the steps do not depend on exponents, the addresses of table entries do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

_native: ModuleType | None
try:
    from agents.crypto import _kernel as _native
except ImportError:
    _native = None

LANES = 8
LIMB_BITS = 52
FREE_BITS = 8
MAX_BITS = 512 * LIMB_BITS - FREE_BITS
STRAUS_BASES = 1024  # of one multi_power call: their tables take 16 elements each

Constants = tuple[bytes, bytes, bytes, bytes, int, bool]


def usable() -> bool:
    """Whether the kernel is there and this processor has its instructions."""
    return _native is not None and bool(_native.fast())


@dataclass(frozen=True)
class Modulus:
    """A modulus as the kernel reads it. With `pairs` an element x modulo n² is written (x mod n, x div n)."""

    n: int
    size: int
    pairs: bool
    constants: Constants

    @property
    def value(self) -> int:
        """What elements are reduced by: n, or n²."""
        return self.n * self.n if self.pairs else self.n

    @property
    def limbs(self) -> int:
        return len(self.constants[0]) // 8

    def write(self, x: int) -> bytes:
        """An element of [0, value)."""
        if not self.pairs:
            return int(x).to_bytes(self.size, "little")
        high, low = divmod(int(x), self.n)
        return low.to_bytes(self.size, "little") + high.to_bytes(self.size, "little")

    def read(self, data: bytes) -> list[int]:
        """Elements one after the other, each in [0, value)."""
        found = [int.from_bytes(data[i : i + self.size], "little") for i in range(0, len(data), self.size)]
        if not self.pairs:
            return found
        return [low + self.n * high for low, high in zip(found[::2], found[1::2], strict=True)]

    def limbs_of(self, x: int) -> bytes:
        """An element as the kernel's constants are written: a word of 64 bits for each limb of 52."""
        parts = divmod(x, self.n)[::-1] if self.pairs else (x,)
        return b"".join(_packed(_words(part, self.limbs)) for part in parts)


@lru_cache(maxsize=16)
def modulus(n: int, pairs: bool = False) -> Modulus:
    """An odd n of at most `MAX_BITS` bits."""
    limbs = -(-(n.bit_length() + FREE_BITS) // (4 * LIMB_BITS)) * 4
    r = 1 << LIMB_BITS * limbs
    # A multiple of n that no number below R exceeds; each limb is raised by what the next one lends it, so that none is below another's.
    multiple = _words(n * -(-r // n), limbs + 1)
    borrow = (1 << LIMB_BITS) - 1
    offset = [multiple[0] + borrow + 1, *(w + borrow for w in multiple[1:-1]), multiple[-1] - 1]
    size = (n.bit_length() + 7) // 8
    bare = Modulus(n, size, pairs, (_packed(_words(n, limbs)), _packed(offset), b"", b"", size, pairs))
    one, square = (bare.limbs_of(x % bare.value) for x in (r, r * r))
    return Modulus(n, size, pairs, (*bare.constants[:2], one, square, size, pairs))


def powers(field: Modulus, bases: Sequence[int], exponent: int, portable: bool = False) -> list[int]:
    """[b^exponent for b in bases], bases in [0, value), exponent >= 0."""
    written = exponent.to_bytes(max(1, (exponent.bit_length() + 7) // 8), "little")
    return field.read(_call().powers(field.constants, b"".join(map(field.write, bases)), written, portable))


class Comb:
    """Powers of one base for exponents of `digits` bytes: entry (j, d) is base^(d·256^j), so a power costs `digits` products."""

    def __init__(self, field: Modulus, base: int, digits: int, portable: bool = False) -> None:
        self._field, self._portable, self.digits = field, portable, digits
        self._table: bytes = _call().comb_table(field.constants, field.write(base), digits, portable)

    def powers(self, exponents: bytes) -> list[int]:
        """base^e for each e of `digits` little-endian bytes, written one after the other."""
        return self._field.read(_call().comb_powers(self._field.constants, self._table, self.digits, exponents, self._portable))


def products(field: Modulus, columns: Sequence[Sequence[int]], prefixes: bool = False, portable: bool = False) -> list[list[int]]:
    """For every column [the product of its numbers], or the products of its first 1, 2, … numbers; columns are equally long."""
    depth = len(columns[0])
    written = b"".join(field.write(x) for column in columns for x in column)
    found = field.read(_call().products(field.constants, written, _fixes(field, depth), depth, prefixes, portable))
    step = depth if prefixes else 1
    return [found[i : i + step] for i in range(0, len(found), step)]


@lru_cache(maxsize=16)
def _fixes(field: Modulus, depth: int) -> bytes:
    """R, R², … R^depth."""
    return b"".join(field.limbs_of(pow(1 << LIMB_BITS * field.limbs, t, field.value)) for t in range(1, depth + 1))


def multi_power(field: Modulus, bases: Sequence[int], exponents: Sequence[int], portable: bool = False) -> int:
    """prod bases[i]^exponents[i], exponents >= 0 (Straus, Addition chains of vectors, 1964)."""
    length = max(1, *((e.bit_length() + 7) // 8 for e in exponents))
    total, whole = 1 % field.value, field.value
    for start in range(0, len(bases), STRAUS_BASES):
        part = slice(start, start + STRAUS_BASES)
        written = b"".join(map(field.write, bases[part]))
        exponents_of = b"".join(e.to_bytes(length, "little") for e in exponents[part])
        for x in field.read(_call().multi_power(field.constants, written, exponents_of, length, portable)):
            total = total * x % whole
    return total


def _call() -> ModuleType:
    assert _native is not None, "the caller asks `usable` first"
    return _native


def _words(x: int, count: int) -> list[int]:
    return [x >> LIMB_BITS * i & (1 << LIMB_BITS) - 1 for i in range(count)]


def _packed(words: Iterable[int]) -> bytes:
    return b"".join(w.to_bytes(8, "little") for w in words)
