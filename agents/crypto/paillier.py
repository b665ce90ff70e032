"""Paillier encryption with short randomness: c = (1 + m n) h_s^r mod n², Damgård-Jurik-Nielsen 2010 (s = 1).

h = -x² mod n and h_s = h^n mod n²; x is derived by hashing n, so nobody chooses it. r has |n|/2 bits. The results are ordinary
Paillier ciphertexts that `phe` opens. Obfuscators h_s^r do not depend on the message: they are made ahead, one each, and never reused
or combined. Whoever has r can open the ciphertext: the sender keeps it until it has proven what it sends, and no longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from defedbio.crypto import numbers
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.numbers import FixedBase, Rand
from defedbio.crypto.transcript import hash_to_number

if TYPE_CHECKING:
    import phe
from defedbio.domain import MIN_MODULUS_BITS
from defedbio.errors import BadCiphertext, InvalidInput, InvalidKey

MAX_MODULUS_BITS = 7680  # of more, no group is large enough for the proof that no factor is small
AT_ONCE = 64  # columns of prefix products: what is read and written stays in the cache


@dataclass(frozen=True)
class PublicKey:
    """A Paillier modulus n with g = 1 + n. `minimum_bits` is lowered by tests only."""

    n: int
    minimum_bits: InitVar[int] = MIN_MODULUS_BITS

    def __post_init__(self, minimum_bits: int) -> None:
        if self.n <= 0 or self.n % 2 == 0:
            raise InvalidKey("the modulus must be odd and positive")
        if not minimum_bits <= self.n.bit_length() <= MAX_MODULUS_BITS:
            raise InvalidKey(f"the modulus has {self.n.bit_length()} bits, {minimum_bits} to {MAX_MODULUS_BITS} are accepted")
        if numbers.gcd(self._seed, self.n) != 1:
            raise InvalidKey("the modulus has a factor that its own hash shows")

    @classmethod
    def from_modulus(cls, n: int, minimum_bits: int = MIN_MODULUS_BITS) -> PublicKey:
        """Raises InvalidKey for an even modulus, or one of fewer than `minimum_bits` bits."""
        return cls(n, minimum_bits)

    @property
    def bits(self) -> int:
        return self.n.bit_length()

    @property
    def modulus_bytes(self) -> int:
        """Bytes of a number mod n on the wire."""
        return (self.bits + 7) // 8

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a ciphertext on the wire: twice those of the modulus."""
        return 2 * self.modulus_bytes

    @cached_property
    def n_squared(self) -> int:
        return self.n * self.n

    @cached_property
    def _seed(self) -> int:
        return hash_to_number("defedbio/djn-base/1", self.n)

    @cached_property
    def hs(self) -> int:
        """The obfuscators' base h_s = (-x²)^n mod n²."""
        return numbers.powmod(-self._seed * self._seed % self.n, self.n, self.n_squared)

    @cached_property
    def hs_base(self) -> FixedBase:
        """Powers of h_s without a table of its own (`FixedBaseTable`): for the few that proofs take."""
        return FixedBase(self.hs, self.n, squared=True)

    @cached_property
    def phe(self) -> phe.PaillierPublicKey:
        """The same key as `phe` writes it."""
        import phe  # brings a command line of its own

        return phe.PaillierPublicKey(self.n)

    @cached_property
    def hash(self) -> bytes:
        """keccak256 of the big-endian modulus, as KeyRegistry stores it."""
        return keccak256(numbers.to_bytes(self.n, self.modulus_bytes))


@dataclass(frozen=True, slots=True)
class Obfuscator:
    """`value` is h_s^exponent mod n²."""

    value: int = field(repr=False)
    exponent: int = field(repr=False)


@dataclass(frozen=True)
class Encrypted:
    """Ciphertexts, and what their sender alone may know: every obfuscator's exponent."""

    ciphertexts: list[int]
    exponents: list[int] = field(repr=False)


class FixedBaseTable:
    """All h_s^(d·256^j): about 47 MB at 3072 bits (38 MB without the kernel), made once per key."""

    def __init__(self, key: PublicKey) -> None:
        self.key = key
        self.exponent_bytes = (key.bits // 2 + 7) // 8
        self._comb = numbers.CombTable(key.hs, key.n, self.exponent_bytes, squared=True)

    def obfuscators(self, rand: Rand, count: int, arithmetic: Arithmetic = ONE_THREAD) -> list[Obfuscator]:
        """h_s^r for `count` fresh r of |n|/2 bits."""
        size = self.exponent_bytes
        drawn = rand(size * count)
        exponents = (int.from_bytes(drawn[i : i + size], "little") for i in range(0, len(drawn), size))
        return list(map(Obfuscator, arithmetic.comb_powers(self._comb, drawn), exponents))


class ObfuscatorPool:
    """Obfuscators made ahead. Each leaves the pool once and is not kept; an empty pool makes one on demand.

    `fill` may run in a background thread beside `take`: deque operations are atomic, and no obfuscator can be taken twice. Whoever
    computes its powers could open what is encrypted with the pool.
    """

    def __init__(self, key: PublicKey, rand: Rand, table: FixedBaseTable | None = None, arithmetic: Arithmetic = ONE_THREAD) -> None:
        if table is not None and table.key != key:
            raise InvalidInput("the table belongs to another key")
        self.key = key
        self._rand = rand
        self._table = table or FixedBaseTable(key)
        self._arithmetic = arithmetic
        self._ready: deque[Obfuscator] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def fill(self, count: int) -> None:
        """Add `count` obfuscators."""
        self._ready.extend(self._table.obfuscators(self._rand, count, self._arithmetic))

    def take(self) -> Obfuscator:
        """One obfuscator that nobody else gets."""
        try:
            return self._ready.popleft()
        except IndexError:
            return self._table.obfuscators(self._rand, 1)[0]

    def wipe(self) -> None:
        """Forget what is left (Python frees the memory, it does not overwrite it)."""
        self._ready.clear()


def encrypt(key: PublicKey, plaintexts: Sequence[int], pool: ObfuscatorPool) -> list[int]:
    """The ciphertexts of `encrypt_to_prove`, where nothing will be proven of them."""
    return encrypt_to_prove(key, plaintexts, pool).ciphertexts


def encrypt_to_prove(key: PublicKey, plaintexts: Sequence[int], pool: ObfuscatorPool) -> Encrypted:
    """Ciphertexts of numbers in [0, n), one product each besides the obfuscator, and the obfuscators' exponents.

    Raises:
        InvalidInput: for a plaintext out of range, or a pool of another key.
    """
    if pool.key != key:
        raise InvalidInput("the obfuscators belong to another key")
    for index, m in enumerate(plaintexts):
        if not 0 <= m < key.n:
            raise InvalidInput(f"plaintext {index} is outside 0..n-1")
    pool.fill(max(0, len(plaintexts) - len(pool)))
    if not plaintexts:
        return Encrypted([], [])
    taken = [pool.take() for _ in plaintexts]
    rows = [[1 + m * key.n for m in plaintexts], [obfuscator.value for obfuscator in taken]]
    return Encrypted(numbers.column_products(rows, key.n, squared=True), [obfuscator.exponent for obfuscator in taken])


def check_ciphertexts(key: PublicKey, ciphertexts: Sequence[int]) -> None:
    """Every one must be a unit in (0, n²); one gcd over the product, and single ones only to name the first bad.

    Raises:
        BadCiphertext: with the index.
    """
    for index, c in enumerate(ciphertexts):
        if not 0 < c < key.n_squared:
            raise BadCiphertext(f"ciphertext {index} is outside 1..n²-1")
    if numbers.gcd(numbers.product(ciphertexts, key.n, squared=True), key.n) == 1:
        return
    for index, c in enumerate(ciphertexts):
        if numbers.gcd(c, key.n) != 1:
            raise BadCiphertext(f"ciphertext {index} is not a unit modulo n")


def aggregate(key: PublicKey, updates: Sequence[Sequence[int]]) -> list[int]:
    """Position by position the product of all updates: it encrypts the sum of their plaintexts modulo n."""
    _check_updates(updates)
    return numbers.column_products(updates, key.n, squared=True)


def prefix_products(key: PublicKey, updates: Sequence[Sequence[int]]) -> Iterator[list[list[bytes]]]:
    """For each ciphertext index l the products of the first 1, 2, … N updates as on the wire: [l][t - 1] is P_{l,t} of docs/crypto.md.

    They come in slices of consecutive l, so that a large model's prefixes are never in memory together.
    """
    _check_updates(updates)
    cuts = (slice(i, i + AT_ONCE) for i in range(0, len(updates[0]), AT_ONCE))
    return (numbers.prefix_products([update[cut] for update in updates], key.n, squared=True) for cut in cuts)


def _check_updates(updates: Sequence[Sequence[int]]) -> None:
    if not updates or not updates[0]:
        raise InvalidInput("there is nothing to aggregate")
    if any(len(update) != len(updates[0]) for update in updates):
        raise InvalidInput("the updates have different lengths")
