"""Sums of real numbers modulo a square, and what shows on chain that a posted one is wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from defedbio.crypto import merkle
from tests.contracts.consortium import CID

Rows = list[list[int]]


class Field:
    """Numbers modulo the square of an odd modulus of so many bits; no contract looks at its factors."""

    def __init__(self, bits: int, seed: int = 7, modulus: bytes = b"") -> None:
        self._choose = random.Random(f"{bits}/{seed}")
        self.n = int.from_bytes(modulus, "big") or self._choose.getrandbits(bits) | 1 << bits - 1 | 1
        self.squared = self.n * self.n
        self.modulus = self.n.to_bytes((bits + 7) // 8, "big")
        self.bytes = 2 * len(self.modulus)

    def encoded(self, value: int) -> bytes:
        return value.to_bytes(self.bytes, "big")

    def update(self, length: int) -> list[int]:
        return [self._choose.randrange(1, self.squared) for _ in range(length)]

    def update_leaves(self, update: Sequence[int]) -> list[bytes]:
        return merkle.leaves([self.encoded(value) for value in update])

    def prefixes(self, updates: Sequence[Sequence[int]], off: Mapping[tuple[int, int], int] | None = None) -> Rows:
        """[l][t - 1] is P_{l,t}, the product with `off[l, t]` in it from there on."""
        rows: Rows = []
        for index in range(len(updates[0])):
            product, row = 1, []
            for position, update in enumerate(updates, 1):
                product = product * update[index] * (off or {}).get((index, position), 1) % self.squared
                row.append(product)
            rows.append(row)
        return rows

    def aggregate_leaves(self, rows: Rows) -> list[bytes]:
        return merkle.prefix_leaves([[self.encoded(value) for value in row] for row in rows])


# In the order of `WrongProduct`.
FIELDS = (
    *("participant", "updateRoot", "cid", "proofHash", "salt", "ciphertext"),
    *("factor", "factorPath", "before", "beforePath", "product", "productPath", "modulus"),
)


def shown(
    field: Field, updates: Sequence[Sequence[int]], rows: Rows, who: Any, salt: bytes, index: int, position: int, /, **changes: Any
) -> tuple[Any, ...]:
    """The proof that what `rows` have at ciphertext l = `index` and t = `position` is wrong; `who` gave that update."""
    own, tree, place = field.update_leaves(updates[position - 1]), field.aggregate_leaves(rows), index * len(updates) + position - 1
    first = position == 1
    values = {
        "participant": getattr(who, "address", who),
        "updateRoot": merkle.root(own),
        "cid": CID,
        "proofHash": bytes(32),
        "salt": salt,
        "ciphertext": index,
        "factor": field.encoded(updates[position - 1][index]),
        "factorPath": merkle.proof(own, index),
        "before": b"" if first else field.encoded(rows[index][position - 2]),
        "beforePath": [] if first else merkle.proof(tree, place - 1),
        "product": field.encoded(rows[index][position - 1]),
        "productPath": merkle.proof(tree, place),
        "modulus": b"" if first else field.modulus,
    } | changes
    assert tuple(values) == FIELDS
    return tuple(values.values())
