"""Where an aggregate that somebody posted is wrong, found from its final products and its root (P4, docs/crypto.md).

A root says nothing of its leaves. Those of somebody else's aggregate are known as far as they follow from what it published: the final
product of every ciphertext. If all of them that differ went wrong at one and the same update, in whatever way, then before it the prefix
products are those of the updates, and from it on each is off by the factor by which the final one is. So there is one tree for each update
at which that may be, and the posted root says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defedbio.crypto import merkle, numbers, roots
from defedbio.crypto.paillier import PublicKey
from defedbio.errors import InvalidInput


@dataclass(frozen=True)
class Value:
    """A number mod n² as it is in a tree, with its path there."""

    encoded: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class WrongStep:
    """`product` stands at ciphertext l (from 0) and position t (from 1), and is not what it should be: the product of the update's `factor`
    and of `before`, which stands at t - 1; at position 1, where nothing is before, the factor."""

    ciphertext: int
    position: int
    factor: Value
    before: Value | None
    product: Value


def find(updates: Sequence[Sequence[int]], claimed: Sequence[int], root: bytes, key: PublicKey) -> WrongStep | None:
    """The first wrong product of the aggregate with this root and these final products, `claimed`, numbers below n². None
    if they are right, or if the root is that of no tree which follows from them: then only its maker knows what is in it.

    Takes as long as two aggregates and, for each update, the hashes of so many leaves as there are ciphertexts, and of what is above.

    Raises:
        InvalidInput: for other than one final product for each ciphertext.
    """
    count = len(updates)
    products, leaves = roots.product_and_leaves(updates, key)
    if len(claimed) != len(products):
        raise InvalidInput(f"{len(claimed)} final products for {len(products)} ciphertexts")
    wrong = [index for index, product in enumerate(products) if claimed[index] != product]
    if not wrong:
        return None
    off = [1] * len(products)
    for index, inverse in zip(wrong, numbers.invert_all([products[i] for i in wrong], key.n_squared), strict=True):
        off[index] = claimed[index] * inverse % key.n_squared
    shifted = [numbers.column_products([updates[0], off], key.n, squared=True), *updates[1:]]
    tree, (_, after) = merkle.Tree(leaves), roots.product_and_leaves(shifted, key)
    for position in range(count, 0, -1):
        places = [index * count + position - 1 for index in wrong]
        tree.put({place: after[place] for place in places})
        if tree.root == root:
            return _at(key, updates, shifted, tree, wrong[0], position)
    return None


def _at(
    key: PublicKey, updates: Sequence[Sequence[int]], shifted: Sequence[Sequence[int]], tree: merkle.Tree, index: int, position: int
) -> WrongStep:
    """`tree` is that of a product that is right before `position`, and `shifted` from it on."""
    place = index * len(updates) + position - 1

    def prefix(of: Sequence[Sequence[int]], at: int) -> Value:
        product = numbers.product([update[index] for update in of[:at]], key.n, squared=True)
        return Value(numbers.to_bytes(product, key.ciphertext_bytes), tuple(tree.proof(place + at - position)))

    encoded = [numbers.to_bytes(c, key.ciphertext_bytes) for c in updates[position - 1]]
    factor = Value(encoded[index], tuple(merkle.proof(merkle.leaves(encoded), index)))
    return WrongStep(index, position, factor, prefix(updates, position - 1) if position > 1 else None, prefix(shifted, position))
