"""Random matrices of -1, 0 and 1, half of them 0, by which proofs compress long vectors (Gentry, Halevi and Lyubashevsky 2021).

An entry is one uniform bit less another. The bits come column after column: for each first ceil(rows / 8) bytes of first bits, then as
many of second bits, where bit k (of value 2^k) of byte g belongs to row 8 g + k; bits beyond the last row are ignored. Products go to
the native kernel where it is usable, else to numpy, and are the same. Nothing here runs in constant time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from defedbio.crypto import kernel
from defedbio.crypto.proofs import exact
from defedbio.errors import InvalidInput

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

ENTRY_LIMIT = 1 << 62
MODULUS_BITS = 512
COLUMNS_AT_ONCE = 1024
PART_BITS = 32  # of a number that is multiplied as a float64: sums of 2^21 are exact
PART_MASK = (1 << PART_BITS) - 1


class Ternary:
    """A matrix of `rows` times `columns` entries read from `bytes_needed` uniform bytes."""

    def __init__(self, data: bytes, rows: int, columns: int) -> None:
        if len(data) != self.bytes_needed(rows, columns):
            raise InvalidInput("a matrix of this shape is read from another number of bytes")
        self.rows, self.columns = rows, columns
        self._data, self._groups = data, -(-rows // 8)

    @staticmethod
    def bytes_needed(rows: int, columns: int) -> int:
        """How many bytes a matrix is read from.

        Raises:
            InvalidInput: unless there is a row and a column.
        """
        if min(rows, columns) < 1:
            raise InvalidInput("a matrix has at least one row and one column")
        return 2 * columns * -(-rows // 8)

    def apply(self, x: Int64) -> list[int]:
        """The matrix times x, of shape [columns] and smaller than 2^62 in size: exact integers, one for each row."""
        if x.shape != (self.columns,) or max(-int(x.min()), int(x.max())) >= ENTRY_LIMIT:
            raise InvalidInput("a vector of another length, or with numbers of 2^62 or more")
        if kernel.usable():
            return kernel.ternary_apply(self._data, self._groups, x)[: self.rows]
        low, high = self._products(x[:, None])
        return [a + (b << PART_BITS) for a, b in zip(low.ravel().tolist(), high.ravel().tolist(), strict=True)]

    def transpose_apply(self, scalars: Sequence[int], modulus: int) -> list[int]:
        """For each column the sum of entry times scalar over its rows, in [0, modulus); a modulus of 2 to 512 bits.

        A factor that all columns have in common costs nothing if the scalars already have it.
        """
        words = self.transpose_words(scalars, modulus)
        return [int.from_bytes(row, "little") for row in _split(words.tobytes(), 4 * words.shape[1])]

    def transpose_words(self, scalars: Sequence[int], modulus: int) -> NDArray[np.uint32]:
        """What `transpose_apply` gives, of shape [columns, words]: words of 32 bits, the lowest first, an even number of them."""
        if len(scalars) != self.rows or not 2 <= modulus.bit_length() <= MODULUS_BITS:
            raise InvalidInput("as many scalars as rows are needed, and a modulus of 2 to 512 bits")
        reduced = [scalar % modulus for scalar in scalars]
        if kernel.usable():
            return kernel.ternary_transpose(self._data, reduced + [0] * (8 * self._groups - self.rows), modulus)
        count = -(-modulus.bit_length() // PART_BITS)
        limbs = np.array([[s >> PART_BITS * i & PART_MASK for i in range(count)] for s in reduced], dtype=np.float64)
        blocks = (slice(start, start + COLUMNS_AT_ONCE) for start in range(0, self.columns, COLUMNS_AT_ONCE))
        sums = [x % modulus for block in blocks for x in _from_limbs(self._entries(block) @ limbs, self.rows * modulus)]
        size = 8 * -(-modulus.bit_length() // 64)
        return np.frombuffer(b"".join([x.to_bytes(size, "little") for x in sums]), dtype="<u4").reshape(self.columns, size // 4)

    def weighted(self, scalars: Sequence[int], weights: Sequence[int], modulus: int) -> list[int]:
        """With columns in as many blocks of one length as there are weights: of each column of a block the sum over blocks and rows of
        weight times entry times scalar, in [0, modulus); a modulus of 2 to 512 bits.

        Raises:
            InvalidInput: for scalars, weights or a modulus of another size.
        """
        width, rest = divmod(self.columns, len(weights))
        if rest:
            raise InvalidInput("the columns are no blocks of one length")
        reduced, rows = [w % modulus for w in weights], 8 * self._groups
        fits = modulus % 2 == 1 and 2 <= modulus.bit_length() <= kernel.weighted_bits(rows)
        if kernel.usable() and fits and len(scalars) == self.rows:
            padded = [*(s % modulus for s in scalars), *[0] * (rows - self.rows)]
            return kernel.ternary_weighted(self._data, padded, reduced, modulus)
        words = self.transpose_words(scalars, modulus).view(np.uint16).reshape(len(weights), width, -1)
        return [x % modulus for x in exact.weighted(reduced, words)]

    def part(self, start: int, stop: int) -> Ternary:
        """Columns start..stop-1."""
        size = 2 * self._groups
        return Ternary(self._data[size * start : size * stop], self.rows, stop - start)

    def apply_matrix(self, values: Int64) -> Int64:
        """The matrix times `values`, of shape [columns, S]: shape [rows, S], right wherever the result is within int64."""
        if values.ndim != 2 or len(values) != self.columns:
            raise InvalidInput("a matrix with another number of rows than this one has columns")
        low, high = self._products(values)
        return low + (high << PART_BITS)

    def _products(self, values: Int64) -> tuple[Int64, Int64]:
        """(low, high) with matrix times values = low + high · 2^PART_BITS, both exact."""
        low = np.zeros((self.rows, values.shape[1]), dtype=np.int64)
        high = np.zeros_like(low)
        narrow = values.min(initial=0) > -(1 << PART_BITS) and values.max(initial=0) < 1 << PART_BITS
        for start in range(0, self.columns, COLUMNS_AT_ONCE):
            columns = slice(start, start + COLUMNS_AT_ONCE)
            entries, part = self._entries(columns), values[columns]
            if narrow:
                low += (entries.T @ part.astype(np.float64)).astype(np.int64)
            else:
                low += (entries.T @ (part & PART_MASK).astype(np.float64)).astype(np.int64)
                high += (entries.T @ (part >> PART_BITS).astype(np.float64)).astype(np.int64)
        return low, high

    def _entries(self, columns: slice) -> Float64:
        """These columns as rows of -1, 0 and 1."""
        data = np.frombuffer(self._data, dtype=np.uint8).reshape(self.columns, 2, self._groups)
        bits = np.unpackbits(data[columns], axis=2, count=self.rows, bitorder="little").view(np.int8)
        return (bits[:, 0] - bits[:, 1]).astype(np.float64)


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _from_limbs(sums: Float64, offset: int) -> list[int]:
    """Row by row offset + sum of sums[:, i] · 2^(PART_BITS · i), where that is not negative and less than twice the offset."""
    count = sums.shape[1] + 1
    words, carried = np.empty((len(sums), count), dtype="<u4"), np.zeros(len(sums), dtype=np.int64)
    for i in range(count):
        carried += offset >> PART_BITS * i & PART_MASK
        if i < count - 1:
            carried += sums[:, i].astype(np.int64)
        words[:, i] = carried & PART_MASK
        carried >>= PART_BITS
    return [int.from_bytes(row, "little") for row in _split(words.tobytes(), 4 * count)]
