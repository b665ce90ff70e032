"""Everything that a contributor draws comes out of its seed (D3), and what is of one candidate out of the candidate's leaf (D7).

The seed of a batch is the root of a binary tree in which each node gives its two children by a hash, so that all leaves but one are
opened by the nodes beside its path (Goldreich, Goldwasser, Micali 1986).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from defedbio.crypto import merkle
from defedbio.crypto.numbers import Rand
from defedbio.crypto.transcript import Transcript, challenges_bytes

SEED_BYTES = 32


def drawn(seed: bytes, terms: bytes, use: str, context: bytes, length: int) -> bytes:
    """`length` bytes for one use. `context` is the hash of all posts of the steps before the one in which the use begins."""
    return _stream(seed, terms, use, context).challenge_bytes("draw", length)


def drawn_each(seeds: Sequence[bytes], terms: bytes, use: str, context: bytes, length: int) -> list[bytes]:
    """`drawn` of each seed."""
    return challenges_bytes([_stream(seed, terms, use, context) for seed in seeds], "draw", length)


def source(seed: bytes, terms: bytes, use: str, context: bytes) -> Rand:
    """Random bytes for one use, one run after the other."""
    return partial(_stream(seed, terms, use, context).challenge_bytes, "draw")


def leaves(root: bytes, depth: int) -> list[bytes]:
    """The 2^depth leaves under a node."""
    level = [root]
    for _ in range(depth):
        level = [child for pair in challenges_bytes([_node(node) for node in level], "children", 2 * SEED_BYTES) for child in _halves(pair)]
    return level


def beside(root: bytes, depth: int, kept: int) -> list[bytes]:
    """The nodes beside the path to leaf `kept`, from the top: they open all other leaves."""
    nodes = []
    for level in reversed(range(depth)):
        children = _halves(_node(root).challenge_bytes("children", 2 * SEED_BYTES))
        bit = kept >> level & 1
        nodes.append(children[1 - bit])
        root = children[bit]
    return nodes


def opened(nodes: Sequence[bytes], kept: int) -> list[bytes | None]:
    """All leaves that the nodes beside the path to leaf `kept` open; None for that one."""
    found: list[bytes | None] = [None]
    for height, node in enumerate(reversed(nodes)):
        others: list[bytes | None] = [*leaves(node, height)]
        found = others + found if kept >> height & 1 else found + others
    return found


def leaf_hash(index: int, leaf: bytes) -> bytes:
    return merkle.leaf(index, leaf)


def commitment(hashes: Sequence[bytes]) -> bytes:
    """The Merkle root over the hashes of all leaves."""
    return merkle.root(hashes)


def leaf_hashes(found: Sequence[bytes]) -> list[bytes]:
    return merkle.leaves(found)


def _stream(seed: bytes, terms: bytes, use: str, context: bytes) -> Transcript:
    transcript = Transcript("defedbio/ceremony-stream/1")
    for label, data in (("seed", seed), ("terms", terms), ("use", use.encode()), ("context", context)):
        transcript.append(label, data)
    return transcript


def _node(node: bytes) -> Transcript:
    transcript = Transcript("defedbio/ceremony-tree/1")
    transcript.append("node", node)
    return transcript


def _halves(pair: bytes) -> tuple[bytes, bytes]:
    return pair[:SEED_BYTES], pair[SEED_BYTES:]
