"""Keccak-256 Merkle trees in the form OpenZeppelin's MerkleProof.sol checks: sorted pairs, doubly hashed leaves.

Leaves hash 33 bytes and inner nodes 64, so one can never pass for the other. An odd node at the end of a level is promoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from eth_hash.backends import pysha3  # not eth_hash.auto, which prefers a backend seven times slower

from defedbio.crypto import kernel
from defedbio.errors import InvalidInput

HASH_BYTES = 32
LEAST_FOR_KERNEL = 3  # of a list: it takes for eight messages as long as the library for two


def keccak256(data: bytes) -> bytes:
    """32 bytes of Ethereum's Keccak-256."""
    return pysha3.keccak256(data)


def _each(messages: Sequence[bytes]) -> list[bytes]:
    """keccak256 of each, several at a time where the kernel can and they are equally long."""
    if len(messages) >= LEAST_FOR_KERNEL and kernel.usable() and len(set(map(len, messages))) == 1:
        return kernel.keccak256(messages)
    return [keccak256(message) for message in messages]


def _leaves(preimages: Sequence[bytes]) -> list[bytes]:
    return _each([b"\x00" + inner for inner in _each(preimages)])


def leaf(index: int, value: bytes) -> bytes:
    """keccak256(0x00 ‖ keccak256(uint32 index ‖ value))."""
    return leaves([value], index)[0]


def leaves(values: Sequence[bytes], start: int = 0) -> list[bytes]:
    """The `leaf` of each, with indices from `start`."""
    return _leaves([_uint32(index) + value for index, value in enumerate(values, start)])


def prefix_leaves(rows: Sequence[Sequence[bytes]], start: int = 0) -> list[bytes]:
    """keccak256(0x00 ‖ keccak256(uint32 row ‖ uint32 position ‖ value)), rows from `start` and within each positions from 1."""
    numbered = ((_uint32(index), row) for index, row in enumerate(rows, start))
    return _leaves([index + _uint32(position) + value for index, row in numbered for position, value in enumerate(row, 1)])


def _uint32(value: int) -> bytes:
    if not 0 <= value < 1 << 32:
        raise InvalidInput("a leaf's index must fit 32 bits")
    return value.to_bytes(4, "big")


def _pair(a: bytes, b: bytes) -> bytes:
    return a + b if a < b else b + a


def _parents(level: Sequence[bytes]) -> list[bytes]:
    above = _each([_pair(a, b) for a, b in zip(level[::2], level[1::2], strict=False)])
    if len(level) % 2:
        above.append(level[-1])
    return above


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves of 32 bytes.

    Raises:
        InvalidInput: for no leaves, or one that is not 32 bytes.
    """
    _check(leaves)
    level = list(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


class Tree:
    """A tree whose leaves may be changed: what lies above them alone is hashed again."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Raises InvalidInput as `root`."""
        _check(leaves)
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            self._levels.append(_parents(self._levels[-1]))

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def put(self, changes: Mapping[int, bytes]) -> None:
        """Other leaves at these indices."""
        if not changes:
            return
        _check([*changes.values()])
        for index, node in changes.items():
            self._levels[0][index] = node
        changed = sorted(changes)
        for below, level in pairwise(self._levels):
            changed = sorted({index // 2 for index in changed})
            pairs = [index for index in changed if 2 * index + 1 < len(below)]
            for index, node in zip(pairs, _each([_pair(below[2 * i], below[2 * i + 1]) for i in pairs]), strict=True):
                level[index] = node
            if len(below) % 2 and changed[-1] == len(level) - 1:
                level[-1] = below[-1]

    def proof(self, index: int) -> list[bytes]:
        """The siblings from leaf `index` up to the root, for `verify` and for MerkleProof.verify on chain."""
        if not 0 <= index < len(self._levels[0]):
            raise InvalidInput(f"leaf {index} of {len(self._levels[0])}")
        path = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                path.append(level[index ^ 1])
            index //= 2
        return path


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """`Tree.proof` of these leaves."""
    return Tree(leaves).proof(index)


def verify(path: Sequence[bytes], expected_root: bytes, leaf_hash: bytes) -> bool:
    """Whether `path` leads from `leaf_hash` to `expected_root`. The leaf's position is inside its hash."""
    node = leaf_hash
    for sibling in path:
        if len(sibling) != HASH_BYTES:
            return False
        node = keccak256(_pair(node, sibling))
    return node == expected_root


def _check(leaves: Sequence[bytes]) -> None:
    if not leaves:
        raise InvalidInput("a Merkle tree needs a leaf")
    if any(len(node) != HASH_BYTES for node in leaves):
        raise InvalidInput("Merkle leaves must be 32 bytes")
