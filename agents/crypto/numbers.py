"""Big-number arithmetic: the one module that imports gmpy2. Every value in and out is a plain int.

Lists go to the native kernel where it is usable, which works on eight numbers at once, else to gmpy2, with the same results. The kernel
releases the GIL, gmpy2 in lists of powers of one exponent. With `squared` the modulus is the square of the odd number given.
Nothing here runs in constant time (docs/crypto.md, Limits).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from threading import Lock

import gmpy2
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from defedbio.crypto import kernel
from defedbio.errors import InternalFault, InvalidInput

Rand = Callable[[int], bytes]
"""n -> n random bytes; production passes os.urandom."""

SIEVE_LIMIT = 1 << 17
SIEVE_WINDOW = 1 << 17
MILLER_RABIN_ROUNDS = 40
MOST_DIGIT_BITS = 10
EXPONENT_LIMIT = 1 << 62
MANY_BASES = 32
# Of a list for the kernel: it takes for eight numbers little more than gmpy2 for one, and less modulo n².
LEAST_FOR_KERNEL, LEAST_SQUARED = 2, 1


def to_bytes(value: int, length: int) -> bytes:
    """Big-endian, exactly `length` bytes.

    Raises:
        InvalidInput: when the value is negative or does not fit.
    """
    if value < 0 or value.bit_length() > 8 * length:
        raise InvalidInput(f"a number does not fit {length} bytes")
    return int(value).to_bytes(length, "big")


def from_bytes(data: bytes) -> int:
    """Big-endian unsigned."""
    return int.from_bytes(data, "big")


def powmod(base: int, exponent: int, modulus: int) -> int:
    """base^exponent mod modulus; a negative exponent needs a unit (InvalidInput otherwise)."""
    if exponent < 0:
        base, exponent = invert(base, modulus), -exponent
    return int(gmpy2.powmod(base, exponent, modulus))


def powmod_bases(bases: Sequence[int], exponent: int, modulus: int, squared: bool = False) -> list[int]:
    """[b^exponent mod modulus for b in bases], exponent >= 0, the GIL released."""
    if exponent < 0:
        raise InvalidInput("the exponent must not be negative")
    whole = modulus * modulus if squared else modulus
    if _for_kernel(modulus, len(bases), squared):
        return kernel.powers(kernel.modulus(modulus, squared), [b % whole for b in bases], exponent)
    return [int(x) for x in gmpy2.powmod_base_list([mpz(b) for b in bases], mpz(exponent), mpz(whole))]


def column_powers(rows: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], modulus: int, squared: bool = False) -> list[int]:
    """Position by position the product over all rows of base^exponent, every exponent another and >= 0; rows are equally long.

    Raises:
        InvalidInput: unless there are as many exponents as bases, or when an exponent is negative.
    """
    if [len(row) for row in rows] != [len(row) for row in exponents] or len({len(row) for row in rows}) > 1:
        raise InvalidInput("as many exponents as bases are needed")
    if any(e < 0 for row in exponents for e in row):
        raise InvalidInput("the exponent must not be negative")
    if not rows or not rows[0]:
        return []
    whole = modulus * modulus if squared else modulus
    if _for_kernel(modulus, len(rows[0]), squared):
        return kernel.column_powers(kernel.modulus(modulus, squared), [[x % whole for x in row] for row in rows], exponents)
    powers = [[powmod(b, e, whole) for b, e in zip(row, those, strict=True)] for row, those in zip(rows, exponents, strict=True)]
    return [_product(column, whole) for column in zip(*powers, strict=True)]


def own_powers(bases: Sequence[int], exponents: Sequence[int], moduli: Sequence[int]) -> list[int]:
    """base^exponent for each modulus, the GIL released; a negative exponent needs a unit.

    Raises:
        InvalidInput: unless there are as many of each, or when an inverse is missing.
    """
    if not len(bases) == len(exponents) == len(moduli):
        raise InvalidInput("as many exponents and moduli as bases are needed")
    units = [b % n if e >= 0 else invert(b, n) for b, e, n in zip(bases, exponents, moduli, strict=True)]
    sizes = list(map(abs, exponents))
    if len(units) >= LEAST_FOR_KERNEL and all(_for_kernel(n, LEAST_FOR_KERNEL, False) for n in moduli):
        return kernel.own_powers(units, sizes, moduli)
    return [int(gmpy2.powmod_base_list([mpz(b)], mpz(e), mpz(n))[0]) for b, e, n in zip(units, sizes, moduli, strict=True)]


class SecretModulus:
    """Lists of powers modulo the square of a secret odd number, of which no cache keeps anything."""

    def __init__(self, n: int) -> None:
        self._n, self._square = n, n * n
        self._field = kernel.make_modulus(n, pairs=True) if _for_kernel(n, LEAST_SQUARED, True) else None

    def powers(self, bases: Sequence[int], exponent: int) -> list[int]:
        """[b^exponent mod n² for b in bases], exponent >= 0, the GIL released."""
        reduced = [b % self._square for b in bases]
        if self._field is not None:
            return kernel.powers(self._field, reduced, exponent)
        return [int(x) for x in gmpy2.powmod_base_list([mpz(b) for b in reduced], mpz(exponent), mpz(self._square))]


def _for_kernel(modulus: int, numbers: int, squared: bool) -> bool:
    least = LEAST_SQUARED if squared else LEAST_FOR_KERNEL
    return numbers >= least and modulus % 2 == 1 and 2 < modulus.bit_length() <= kernel.MAX_BITS and kernel.usable()


def multi_powmod(bases: Sequence[int], exponents: Sequence[int], modulus: int, squared: bool = False) -> int:
    """prod bases[i]^exponents[i] mod modulus; all bases must be units when an exponent is negative.

    Raises:
        InvalidInput: unless there are as many exponents as bases, or when an inverse is missing.
    """
    return multi_powmods(bases, [exponents], modulus, squared)[0]


def multi_powmods(bases: Sequence[int], rows: Sequence[Sequence[int]], modulus: int, squared: bool = False) -> list[int]:
    """`multi_powmod` of the same bases for each row of exponents, at least one: together they cost less than one by one."""
    if any(len(row) != len(bases) for row in rows):
        raise InvalidInput("as many exponents as bases are needed")
    whole = modulus * modulus if squared else modulus
    fast = _for_kernel(modulus, len(bases), squared)
    if not fast and len(bases) < MANY_BASES:
        return [_product((powmod(b, e, whole) for b, e in zip(bases, row, strict=True)), whole) for row in rows]
    offset = max(0, -min(map(min, rows)))
    raised = [e + offset for row in rows for e in row]
    length = max(1, max(raised).bit_length())
    bits = min(range(1, MOST_DIGIT_BITS + 1), key=lambda w: _work(-(-length // w) * len(rows), len(bases), 1 << w, fast))
    digits = _binary_digits(raised, length, bits).reshape(-1, len(rows), len(bases))
    return _digit_products(bases, digits, 1 << bits, offset, modulus, squared, fast)


def signed_products(bases: Sequence[int], exponents: NDArray[np.int64], modulus: int) -> list[int]:
    """For each row k of exponents, of shape [K, T], prod bases[t]^exponents[k, t] mod modulus; bases must be units where one is negative.

    Time and memory follow from the greatest and the least exponent, not from the others.

    Raises:
        InvalidInput: unless there are as many columns as bases and all exponents are within 2^62, or when an inverse is missing.
    """
    if exponents.ndim != 2 or exponents.shape[1] != len(bases):
        raise InvalidInput("as many columns of exponents as bases are needed")
    least, most = (int(exponents.min()), int(exponents.max())) if exponents.size else (0, 0)
    if max(-least, most) >= EXPONENT_LIMIT:
        raise InvalidInput("exponents must be smaller than 2^62 in size")
    rows, count = exponents.shape
    if least == most == 0:
        return [1 % modulus] * rows
    offset = max(-least, 0)
    fast = _for_kernel(modulus, rows, False)
    windows, radix = _best_digits(max(1, most + offset), rows, count, fast)
    digits = np.empty((windows, rows, count), dtype=np.uint16)
    rest = exponents + offset
    for window in digits:
        rest, window[:] = np.divmod(rest, radix)
    return _digit_products(bases, digits, radix, offset, modulus, False, fast)


def _best_digits(most: int, rows: int, bases: int, fast: bool) -> tuple[int, int]:
    """(digits, radix) for numbers up to `most`, with the fewest products: radix^digits > most."""
    options = []
    for digits in range(1, most.bit_length() + 1):
        root, exact = gmpy2.iroot(most + 1, digits)
        radix = max(2, int(root) + (not exact))
        if radix <= 1 << MOST_DIGIT_BITS:
            options.append((_work(digits * rows, bases, radix, fast), digits, radix))
    return min(options)[1:]


def _work(rows: int, bases: int, radix: int, fast: bool) -> int:
    """Products, of eight numbers each in the kernel, for these rows of digits."""
    groups = -(-rows // kernel.LANES) if fast else rows
    return groups * bases + (min(radix * bases // kernel.LANES, radix * groups) if fast else radix * groups)


def _binary_digits(exponents: Sequence[int], length: int, bits: int) -> NDArray[np.uint16]:
    """[digits, exponents]: digits of `bits` <= 16 bits, the lowest first, of numbers of at most `length` bits."""
    count = -(-length // bits)
    size = count * bits // 8 + 3
    data = np.frombuffer(b"".join([e.to_bytes(size, "little") for e in exponents]), dtype=np.uint8).reshape(-1, size)
    places = np.ascontiguousarray(data.T).astype(np.uint32)
    digits = np.empty((count, len(exponents)), dtype=np.uint16)
    for i in range(count):
        byte, shift = divmod(i * bits, 8)
        digits[i] = ((places[byte] | places[byte + 1] << 8 | places[byte + 2] << 16) >> shift) & (1 << bits) - 1
    return digits


def _digit_products(
    bases: Sequence[int], digits: NDArray[np.uint16], radix: int, offset: int, modulus: int, squared: bool, fast: bool
) -> list[int]:
    """For each row prod bases[t]^(sum over i of digits[i, row, t] radix^i - offset), digits of shape [digits, rows, bases].

    With an `offset` exponents can be negative and their digits not; the product of all bases to its power is taken back in the end.
    """
    whole = modulus * modulus if squared else modulus
    every = 1
    if fast:
        found = kernel.multi_powers(kernel.modulus(modulus, squared), [b % whole for b in bases], digits, radix, whole=offset > 0)
        if offset:
            *found, every = found
    else:
        numbers, mod = [mpz(b) for b in bases], mpz(whole)
        found = [_digit_product(numbers, digits[:, row], radix, mod) for row in range(digits.shape[1])]
        if offset:
            every = _product(bases, whole)
    if not offset:
        return found
    (fix,) = powmod_bases([invert(every, whole)], offset, modulus, squared)
    return [x * fix % whole for x in found]


def _digit_product(numbers: Sequence[mpz], digits: NDArray[np.uint16], radix: int, mod: mpz) -> int:
    """prod numbers[t]^(sum over i of digits[i, t] radix^i), digits of shape [digits, numbers]."""
    total = mpz(1)
    for window in digits[::-1].tolist():
        if total != 1:
            total = gmpy2.powmod(total, radix, mod)
        total = total * _ordered_product(numbers, window, radix, mod) % mod
    return int(total % mod)


def _ordered_product(numbers: Sequence[mpz], digits: Sequence[int], radix: int, mod: mpz) -> mpz:
    """prod numbers[i]^digits[i] for digits below `radix`, by the product of all numbers of a digit or more, from the greatest digit down.

    After Pippenger 1976.
    """
    held: list[list[mpz]] = [[] for _ in range(radix)]
    for number, digit in zip(numbers, digits, strict=True):
        held[digit].append(number)
    running, total = mpz(1), mpz(1)
    for those in reversed(held[1:]):
        for number in those:
            running = running * number % mod
        if running != 1:
            total = total * running % mod
    return total


def invert(value: int, modulus: int) -> int:
    """The inverse of `value` modulo `modulus`.

    Raises:
        InvalidInput: when there is none.
    """
    try:
        return int(gmpy2.invert(value, modulus))
    except ZeroDivisionError:
        raise InvalidInput("a number without an inverse") from None


def invert_all(values: Sequence[int], modulus: int) -> list[int]:
    """The inverse of each, with one inversion for all (Montgomery 1987, section 10.3.1).

    Raises:
        InvalidInput: when one has none.
    """
    mod = mpz(modulus)
    prefixes = list(accumulate(map(mpz, values), lambda total, value: total * value % mod, initial=mpz(1) % mod))
    rest = mpz(invert(int(prefixes[-1]), modulus)) if values else mpz(0)
    inverses = []
    for value, before in zip(reversed(values), reversed(prefixes[:-1]), strict=True):
        inverses.append(int(rest * before % mod))
        rest = rest * value % mod
    return inverses[::-1]


def gcd(a: int, b: int) -> int:
    return int(gmpy2.gcd(a, b))


def jacobi(value: int, modulus: int) -> int:
    """The Jacobi symbol (value | modulus) for an odd modulus: -1, 0 (not a unit) or 1."""
    return int(gmpy2.jacobi(value, modulus))


def product(values: Sequence[int], modulus: int, squared: bool = False) -> int:
    """The product of all values; 1 for none."""
    whole = modulus * modulus if squared else modulus
    rows = [values[i : i + kernel.LANES] for i in range(0, len(values), kernel.LANES)]
    rest = rows.pop() if rows and len(rows[-1]) < kernel.LANES else []
    return _product([*column_products(rows, modulus, squared), *rest], whole) if rows else _product(rest, whole)


def _product(values: Iterable[int], modulus: int) -> int:
    mod = mpz(modulus)
    total = mpz(1) % mod
    for value in values:
        total = total * value % mod
    return int(total)


def column_products(rows: Sequence[Sequence[int]], modulus: int, squared: bool = False) -> list[int]:
    """Position by position the product of all rows; they are equally long, and there is one."""
    whole = modulus * modulus if squared else modulus
    if _for_kernel(modulus, len(rows[0]), squared):
        return kernel.products(kernel.modulus(modulus, squared), [[x % whole for x in row] for row in rows])
    return [_product(column, whole) for column in zip(*rows, strict=True)]


def prefix_products(rows: Sequence[Sequence[int]], modulus: int, squared: bool = False) -> list[list[bytes]]:
    """For each position [v0, v0 v1, v0 v1 v2, …], big-endian in the bytes of the modulus, twice as many when squared."""
    whole = modulus * modulus if squared else modulus
    if _for_kernel(modulus, len(rows[0]), squared):
        return kernel.prefix_products(kernel.modulus(modulus, squared), [[x % whole for x in row] for row in rows])
    mod, size = mpz(whole), (modulus.bit_length() + 7) // 8 * (2 if squared else 1)
    columns = (accumulate(map(mpz, column), lambda total, value: total * value % mod) for column in zip(*rows, strict=True))
    return [[to_bytes(int(x % mod), size) for x in column] for column in columns]


def random_below(rand: Rand, bound: int) -> int:
    """Uniform in [0, bound), by rejection."""
    if bound < 1:
        raise InvalidInput("the bound must be positive")
    bits = (bound - 1).bit_length()
    length = (bits + 7) // 8
    while True:
        value = random_bits(rand, bits) if length else 0
        if value < bound:
            return value


def random_bits(rand: Rand, bits: int) -> int:
    """Uniform in [0, 2^bits)."""
    length = (bits + 7) // 8
    data = rand(length)
    if len(data) != length:
        raise InternalFault("the random source gave the wrong number of bytes")
    return int.from_bytes(data, "big") >> (8 * length - bits)


def primes_below(bound: int) -> list[int]:
    """All primes below a bound of at most 2^17."""
    return [prime for prime in _small_primes() if prime < bound]


@lru_cache(maxsize=1)
def _small_primes() -> tuple[int, ...]:
    sieve = np.ones(SIEVE_LIMIT, dtype=bool)
    sieve[:2] = False
    for i in range(2, int(SIEVE_LIMIT**0.5) + 1):
        if sieve[i]:
            sieve[i * i :: i] = False
    return tuple(int(p) for p in np.flatnonzero(sieve))


def has_factor_below(value: int, bound: int) -> bool:
    """Whether a prime below `bound` divides `value`."""
    return gcd(value, _primorial(bound)) != 1


@lru_cache(maxsize=4)
def _primorial(bound: int) -> int:
    return int(gmpy2.primorial(bound - 1))


def is_prime(value: int) -> bool:
    """Miller-Rabin with 40 rounds (and what gmpy2 does before it)."""
    return bool(gmpy2.is_prime(value, MILLER_RABIN_ROUNDS))


def prime(bits: int, rand: Rand) -> int:
    """A prime of exactly `bits` bits with the two highest set: the first after a random number, so not quite uniform."""
    while True:
        found = int(gmpy2.next_prime(3 << (bits - 2) | random_bits(rand, bits - 2)))
        if found.bit_length() == bits and is_prime(found):
            return found


def safe_prime(bits: int, rand: Rand) -> int:
    """A prime p = 2q + 1 with q prime, of exactly `bits` bits with the two highest set (a product of two has 2·bits bits).

    Sieves windows after a random start over q and 2q+1 together, then tests survivors to base 2 before the costly rounds
    (Wiener, Safe prime generation with a combined sieve, 2003). 1,024 bits take about a third of a second.
    """
    if bits < 64:
        raise InvalidInput("a safe prime of 64 bits is the least")
    top = 3 << (bits - 3)
    start = mpz(top | random_bits(rand, bits - 3) | 1)
    while True:
        for offset in _sieve_window(start):
            q = start + 2 * int(offset)
            if q.bit_length() >= bits:
                break
            p = 2 * q + 1
            if gmpy2.powmod(2, q - 1, q) == 1 and gmpy2.powmod(2, p - 1, p) == 1 and is_prime(int(q)) and is_prime(int(p)):
                return int(p)
        start += 2 * SIEVE_WINDOW
        if start.bit_length() >= bits:
            start = mpz(top | random_bits(rand, bits - 3) | 1)


def _sieve_window(start: mpz) -> list[int]:
    """Offsets k for which neither start + 2k nor 2(start + 2k) + 1 has a small factor."""
    alive = np.ones(SIEVE_WINDOW, dtype=bool)
    for prime in _small_primes()[1:]:
        half = (prime + 1) // 2  # the inverse of 2
        residue = int(start % prime)
        alive[-residue * half % prime :: prime] = False
        alive[((prime - 1) // 2 - residue) * half % prime :: prime] = False
    return [int(k) for k in np.flatnonzero(alive)]


class CombTable:
    """Powers of one base for exponents of `digits` bytes: entry (j, d) is base^(d·256^j), so a power costs `digits` products.

    Sent to another process it travels as what it is made of, and is made there once.
    """

    def __init__(self, base: int, modulus: int, digits: int, squared: bool = False) -> None:
        whole = modulus * modulus if squared else modulus
        self.base, self.modulus, self.digits, self.squared = base % whole, modulus, digits, squared
        self._fast: kernel.Comb | None = None
        if _for_kernel(modulus, LEAST_FOR_KERNEL, squared):
            self._fast = kernel.Comb(kernel.modulus(modulus, squared), self.base, digits)
            return
        self._whole = mpz(whole)
        self._rows: list[list[mpz]] = []
        step = mpz(self.base)
        for _ in range(digits):
            row = [mpz(1)]
            for _ in range(255):
                row.append(row[-1] * step % self._whole)
            self._rows.append(row)
            step = row[-1] * step % self._whole

    def __reduce__(self) -> tuple[Callable[..., CombTable], tuple[int, int, int, bool]]:
        return comb_table, (self.base, self.modulus, self.digits, self.squared)

    def powers(self, exponents: bytes) -> list[int]:
        """base^e for each e of `digits` little-endian bytes, written one after the other; the kernel releases the GIL."""
        if len(exponents) % self.digits:
            raise InvalidInput(f"exponents must have {self.digits} bytes each")
        if self._fast is not None:
            return self._fast.powers(exponents)
        return [self._power(exponents[i : i + self.digits]) for i in range(0, len(exponents), self.digits)]

    def _power(self, exponent: bytes) -> int:
        total = mpz(1)
        mod = self._whole
        for row, digit in zip(self._rows, exponent, strict=True):
            total = total * row[digit] % mod
        return int(total)


_making = Lock()
_made = lru_cache(maxsize=2)(CombTable)


def comb_table(base: int, modulus: int, digits: int, squared: bool = False) -> CombTable:
    """The table of these numbers, of which a process keeps the newest two."""
    with _making:
        return _made(base, modulus, digits, squared)


class FixedBase:
    """Powers of one base: of it to the powers of 2^32, which it keeps, and short exponents. Less is kept than in a `CombTable`: a list of
    numbers as long as the longest exponent that it has seen."""

    SPAN = 32

    def __init__(self, base: int, modulus: int, squared: bool = False) -> None:
        self._modulus, self._squared = modulus, squared
        self._bases = [base]

    def powers(self, exponents: Sequence[int]) -> list[int]:
        """base^e for each e >= 0, at least one; together they cost less than one by one."""
        if min(exponents) < 0:
            raise InvalidInput("the exponent must not be negative")
        count = max(1, -(-max(exponents).bit_length() // self.SPAN))
        bases = self._reaching(count)
        digits = [[e >> self.SPAN * i & (1 << self.SPAN) - 1 for i in range(count)] for e in exponents]
        return multi_powmods(bases, digits, self._modulus, self._squared)

    def _reaching(self, count: int) -> list[int]:
        """The first `count` bases. Threads that make them at once make the same."""
        bases = self._bases
        if len(bases) < count:
            bases = list(bases)
            while len(bases) < count:
                bases += powmod_bases(bases[-1:], 1 << self.SPAN, self._modulus, self._squared)
            self._bases = bases
        return bases[:count]
