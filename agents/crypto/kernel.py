"""The door to the native kernel (native/kernel.c): powers, products and hashes of many at once, eight side by side by AVX-512-IFMA.

`numbers` and `merkle` decide when to come here. The extension is absent where nobody could compile it, and `usable` says whether this
processor has the instructions; libraries do the same work then. `portable=True` runs the same algorithm in plain C, slowly, to check it
anywhere. Moduli are odd. Nothing here runs in constant time: the steps do not depend on exponents, the addresses of table entries do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

_native: ModuleType | None
try:
    from defedbio.crypto import _kernel as _native
except ImportError:
    _native = None

LANES = 8
LIMB_BITS = 52
FREE_BITS = 8
WORD_BITS = 64
MAX_BITS = 512 * LIMB_BITS - FREE_BITS
BASES = 8192  # of one call for products of powers: what it holds stays within megabytes
COLUMNS = 64  # of one call for products: what it reads stays in the cache
KECCAK_END, SHAKE_END = 0x01, 0x1F  # what comes after a message

Constants = tuple[bytes, bytes, bytes, bytes, int, bool]
_LOADED = {False: 0, True: 1}  # the power of R that loading an element divides by


def compiled() -> bool:
    """Whether the kernel is there: enough for what is plain C in it."""
    return _native is not None


def usable() -> bool:
    """Whether the kernel is there and this processor has its instructions."""
    return _native is not None and bool(_native.fast())


@dataclass(frozen=True)
class Modulus:
    """A modulus as the kernel reads it: n, or n² with `pairs`, as which the kernel then writes elements to itself.

    Elements are big-endian in `size` bytes: those of n, or twice as many.
    """

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

    def write(self, elements: Iterable[int]) -> bytes:
        """Elements of [0, value), one after the other."""
        return b"".join([x.to_bytes(self.size, "big") for x in elements])

    def split(self, data: bytes) -> list[bytes]:
        return [data[i : i + self.size] for i in range(0, len(data), self.size)]

    def read(self, data: bytes) -> list[int]:
        """What `write` wrote."""
        return [int.from_bytes(x, "big") for x in self.split(data)]

    def limbs_of(self, x: int) -> bytes:
        """An element as the kernel's constants are written: a word of 64 bits for each limb of 52, of a pair x mod n and then x div n."""
        parts = divmod(x, self.n)[::-1] if self.pairs else (x,)
        return b"".join(_packed(_words(part, self.limbs)) for part in parts)


@lru_cache(maxsize=16)
def modulus(n: int, pairs: bool = False) -> Modulus:
    """An odd n of at most `MAX_BITS` bits, kept for the next call: of a secret one `make_modulus` leaves nothing behind."""
    return make_modulus(n, pairs)


def make_modulus(n: int, pairs: bool = False) -> Modulus:
    """An odd n of at most `MAX_BITS` bits."""
    limbs = _limbs(n.bit_length())
    r = 1 << LIMB_BITS * limbs
    # The least multiple of n that is not below R. Its part R is written as 2^52 in the lowest limb and 2^52 - 1 in the others, so that no
    # limb is below another number's.
    offset = [word + (1 << LIMB_BITS) - (i > 0) for i, word in enumerate(_words(-r % n, limbs))]
    half = (n.bit_length() + 7) // 8
    size = 2 * half if pairs else half
    bare = Modulus(n, size, pairs, (_packed(_words(n, limbs)), _packed(offset), b"", b"", half, pairs))
    one, enter = (bare.limbs_of(pow(r, power, bare.value)) for power in (1, 2 + _LOADED[pairs]))
    return Modulus(n, size, pairs, (*bare.constants[:2], one, enter, half, pairs))


def _limbs(bits: int) -> int:
    """Of a modulus of so many bits."""
    return max(8, -(-(bits + FREE_BITS) // (4 * LIMB_BITS)) * 4)


def powers(field: Modulus, bases: Sequence[int], exponent: int, portable: bool = False) -> list[int]:
    """[b^exponent for b in bases], bases in [0, value), exponent >= 0."""
    written = exponent.to_bytes(max(1, (exponent.bit_length() + 7) // 8), "little")
    return field.read(_call().powers(field.constants, field.write(bases), written, portable))


def column_powers(field: Modulus, rows: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], portable: bool = False) -> list[int]:
    """Position by position the product over all rows of base^exponent; bases in [0, value), exponents >= 0."""
    length = max(1, *((e.bit_length() + 7) // 8 for row in exponents for e in row))
    found: list[int] = []
    for start in range(0, len(rows[0]), COLUMNS):
        part = slice(start, start + COLUMNS)
        written = b"".join([e.to_bytes(length, "little") for row in exponents for e in row[part]])
        bases = _written(field, [row[part] for row in rows])
        found += field.read(_call().column_powers(field.constants, bases, written, len(rows), length, portable))
    return found


def own_powers(bases: Sequence[int], exponents: Sequence[int], moduli: Sequence[int], portable: bool = False) -> list[int]:
    """base^exponent modulo each of several odd numbers of at most `MAX_BITS` bits; bases below them, exponents >= 0."""
    bits = max(map(int.bit_length, moduli))
    limbs, size = _limbs(bits), (bits + 7) // 8
    length = max(1, *((e.bit_length() + 7) // 8 for e in exponents))
    entered = [(1 << LIMB_BITS * limbs) % n for n in moduli]
    numbers = (moduli, bases, entered, [x * x % n for x, n in zip(entered, moduli, strict=True)])
    written = [b"".join([x.to_bytes(size, "big") for x in those]) for those in numbers]
    whole = b"".join([e.to_bytes(length, "little") for e in exponents])
    found = _call().own_powers(limbs, size, *written, whole, length, portable)
    return [int.from_bytes(found[i : i + size], "big") for i in range(0, len(found), size)]


class Comb:
    """Powers of one base for exponents of `digits` bytes: entry (j, d) is base^(d·256^j), so a power costs `digits` products."""

    def __init__(self, field: Modulus, base: int, digits: int, portable: bool = False) -> None:
        self._field, self._portable, self.digits = field, portable, digits
        self._table: bytes = _call().comb_table(field.constants, field.write([base]), digits, portable)

    def powers(self, exponents: bytes) -> list[int]:
        """base^e for each e of `digits` little-endian bytes, written one after the other."""
        return self._field.read(_call().comb_powers(self._field.constants, self._table, self.digits, exponents, self._portable))


def products(field: Modulus, rows: Sequence[Sequence[int]], portable: bool = False) -> list[int]:
    """Position by position the product of all rows, which are equally long."""
    found: list[int] = []
    for start in range(0, len(rows[0]), COLUMNS):
        written = _written(field, [row[start : start + COLUMNS] for row in rows])
        found += field.read(_call().products(field.constants, written, _fix(field, len(rows)), len(rows), False, portable))
    return found


def prefix_products(field: Modulus, rows: Sequence[Sequence[int]], portable: bool = False) -> list[list[bytes]]:
    """For every position the products of the first 1, 2, … rows."""
    depth = len(rows)
    fixes = b"".join(_fix(field, t) for t in range(1, depth + 1))
    found = field.split(_call().products(field.constants, _written(field, rows), fixes, depth, True, portable))
    return [found[i : i + depth] for i in range(0, len(found), depth)]


def _written(field: Modulus, rows: Sequence[Sequence[int]]) -> bytes:
    return field.write(chain.from_iterable(rows))


@lru_cache(maxsize=256)
def _fix(field: Modulus, rows: int) -> bytes:
    """The power of R that brings back a product of so many loaded numbers: they, their products and this one divide by R."""
    return field.limbs_of(pow(1 << LIMB_BITS * field.limbs, rows * (1 + _LOADED[field.pairs]), field.value))


def multi_powers(
    field: Modulus, bases: Sequence[int], digits: NDArray[np.uint16], radix: int, whole: bool = False, portable: bool = False
) -> list[int]:
    """For each row the product of all bases[t]^(sum over i of digits[i, row, t] radix^i); with `whole` that of all bases follows.

    `digits` are of shape [digits, rows, bases], at least 1 each, and below `radix`, which is 2 to 4096.
    """
    parts: list[list[int]] = []
    for start in range(0, len(bases), BASES):
        part = slice(start, start + BASES)
        written = np.ascontiguousarray(digits[:, :, part]).tobytes()
        found = _call().multi_powers(field.constants, field.write(bases[part]), written, digits.shape[1], radix, whole, portable)
        parts.append(field.read(found))
    return products(field, parts, portable) if len(parts) > 1 else parts[0]


def keccak256(messages: Sequence[bytes], portable: bool = False) -> list[bytes]:
    """Ethereum's Keccak-256 of messages of one length, which is not 0."""
    return _keccak(messages, KECCAK_END, 32, portable)


def shake256(messages: Sequence[bytes], length: int, portable: bool = False) -> list[bytes]:
    """`length` >= 1 bytes of SHAKE256 of each of messages of one length, which is not 0."""
    return _keccak(messages, SHAKE_END, length, portable)


def _keccak(messages: Sequence[bytes], end: int, length: int, portable: bool) -> list[bytes]:
    hashes: bytes = _call().keccak(b"".join(messages), len(messages[0]), end, length, portable)
    return [hashes[i : i + length] for i in range(0, len(hashes), length)]


def three_squares(values: Sequence[int], seed: bytes) -> list[tuple[int, int, int]]:
    """Roots of three squares for each sum of three within [0, 2^126], by `compiled` code; a seed of 32 bytes decides which."""
    roots = _call().three_squares(b"".join([v.to_bytes(16, "little") for v in values]), seed)
    return [(a, b, c) for a, b, c in np.frombuffer(roots, dtype=np.uint64).reshape(-1, 3).tolist()]


def ternary_apply(data: bytes, groups: int, x: NDArray[np.int64], portable: bool = False) -> list[int]:
    """The matrix times x, for 8 · groups rows; the matrix as proofs/ternary.py has it."""
    halves = np.frombuffer(_call().ternary_apply(data, groups, x.tobytes(), portable), dtype=np.int64).reshape(groups, 2, LANES)
    return [low + (high << 32) for low, high in zip(halves[:, 0].ravel().tolist(), halves[:, 1].ravel().tolist(), strict=True)]


def ternary_transpose(data: bytes, scalars: Sequence[int], modulus: int, portable: bool = False) -> NDArray[np.uint32]:
    """[columns, words]: for each column the sum of its rows' scalars of [0, modulus), in words of 32 bits, the lowest first.

    The modulus has at most 512 bits, and there are 8 · groups scalars.
    """
    rows, size = len(scalars), 8 * -(-modulus.bit_length() // 64)
    octets = _octets(rows)
    parts = -(-modulus.bit_length() // (LANES * octets * 8))
    whole = b"".join([scalar.to_bytes(parts * LANES * octets, "little") for scalar in scalars])
    limbs = np.zeros((rows * parts * LANES, 8), dtype=np.uint8)
    limbs[:, :octets] = np.frombuffer(whole, dtype=np.uint8).reshape(-1, octets)
    offset = (rows * modulus).to_bytes(size + 8, "little")
    written = modulus.to_bytes(size, "little")
    found = _call().ternary_transpose(data, rows // 8, limbs.tobytes(), parts, 8 * octets, offset, written, portable)
    return np.frombuffer(found, dtype="<u4").reshape(-1, size // 4)


def weighted_bits(rows: int) -> int:
    """How long the modulus of `ternary_weighted` may be, for so many rows."""
    return min(512, LANES * 8 * _octets(rows))


def ternary_weighted(data: bytes, scalars: Sequence[int], weights: Sequence[int], modulus: int, portable: bool = False) -> list[int]:
    """With the columns in as many blocks as there are weights: of each column of a block the sum over blocks and rows of weight times entry
    times scalar, modulo an odd number; scalars and weights are below it, and there are 8 · groups scalars."""
    rows, size = len(scalars), 8 * -(-modulus.bit_length() // 64)
    octets, width = _octets(rows), len(data) * 4 // rows // len(weights)
    entered = [(w << 8 * size) % modulus for w in weights]
    written = [b"".join([x.to_bytes(size, "little") for x in numbers]) for numbers in (scalars, entered, [modulus])]
    found = _call().ternary_weighted(data, rows // 8, width, *written, octets, portable)
    halves = np.frombuffer(found, dtype=np.int64).reshape(width, 2, LANES)
    bits = 8 * octets
    digits, carry = np.empty((width, LANES), dtype="<i8"), np.zeros(width, dtype=np.int64)
    for i in range(LANES):
        low, high = halves[:, 0, i], halves[:, 1, i]
        carry = carry + low + ((high & (1 << bits - 32) - 1) << 32)
        digits[:, i] = carry & (1 << bits) - 1
        carry = (carry >> bits) + (high >> bits - 32)
    whole, length = digits.view(np.uint8).reshape(width, LANES, 8)[:, :, :octets].tobytes(), LANES * octets
    tops = carry.tolist()
    return [(int.from_bytes(whole[i * length : (i + 1) * length], "little") + (tops[i] << bits * LANES)) % modulus for i in range(width)]


def _octets(rows: int) -> int:
    """Bytes of a limb, so few that sums of so many stay within 63 bits."""
    return (WORD_BITS - 1 - (rows - 1).bit_length()) // 8


def _call() -> ModuleType:
    assert _native is not None, "the caller asks `usable` first"
    return _native


def _words(x: int, count: int) -> list[int]:
    return [x >> LIMB_BITS * i & (1 << LIMB_BITS) - 1 for i in range(count)]


def _packed(words: Iterable[int]) -> bytes:
    return b"".join(w.to_bytes(8, "little") for w in words)
