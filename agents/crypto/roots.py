"""The Merkle roots by which the chain knows updates, aggregates, shares and openings."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto import merkle, numbers
from defedbio.crypto.paillier import PublicKey, prefix_products
from defedbio.crypto.threshold import Opening


def update_root(ciphertexts: Sequence[int], key: PublicKey) -> bytes:
    """Merkle root over leaf(l, ciphertext_l), l from 0."""
    size = key.ciphertext_bytes
    return merkle.root(merkle.leaves([numbers.to_bytes(c, size) for c in ciphertexts]))


def share_root(values: Sequence[int], key: PublicKey) -> bytes:
    """Merkle root over leaf(l, x_l)."""
    return merkle.root(merkle.leaves([numbers.to_bytes(x, key.modulus_bytes) for x in values]))


def opening_root(openings: Sequence[Opening], key: PublicKey, start: int = 0) -> bytes:
    """Merkle root over leaf(l, w_l ‖ M_l), l from `start` on."""
    size = key.modulus_bytes
    return merkle.root(merkle.leaves([numbers.to_bytes(o.w, size) + numbers.to_bytes(o.m, size) for o in openings], start))


def product_and_leaves(updates: Sequence[Sequence[int]], key: PublicKey) -> tuple[list[int], list[bytes]]:
    """The updates' product, and the prefix leaves of every ciphertext index l, from 0 on, within it of each position t (P4)."""
    product: list[int] = []
    leaves: list[bytes] = []
    for rows in prefix_products(key, updates):
        leaves += merkle.prefix_leaves(rows, start=len(product))
        product += [numbers.from_bytes(row[-1]) for row in rows]
    return product, leaves


def product_and_root(updates: Sequence[Sequence[int]], key: PublicKey) -> tuple[list[int], bytes]:
    """The updates' product, and the Merkle root over its prefix leaves (P4)."""
    product, leaves = product_and_leaves(updates, key)
    return product, merkle.root(leaves)
