"""Merkle trees against an independent hash, a naive tree and pinned roots; paths that must not verify."""

from __future__ import annotations

import pytest
from Crypto.Hash import keccak as independent
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import merkle
from defedbio.errors import InvalidInput


def digest(data: bytes) -> bytes:
    return independent.new(digest_bits=256, data=data).digest()


def naive_root(level: list[bytes]) -> bytes:
    if len(level) == 1:
        return level[0]
    pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
    return naive_root([digest(b"".join(sorted(pair))) if len(pair) == 2 else pair[0] for pair in pairs])


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf(i, b"value %d" % i) for i in range(count)]


def test_keccak_is_ethereums() -> None:
    assert merkle.keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_leaves_are_hashed_twice_with_their_index() -> None:
    assert merkle.leaf(258, b"v") == digest(b"\x00" + digest(b"\x00\x00\x01\x02v"))
    assert merkle.prefix_leaves([[b"u", b"v"]], 1)[1] == digest(b"\x00" + digest(b"\x00\x00\x00\x01\x00\x00\x00\x02v"))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.data())
def test_every_path_verifies_and_only_for_its_leaf(count, data) -> None:
    nodes = leaves(count)
    root = merkle.root(nodes)
    assert root == naive_root(nodes)
    index = data.draw(st.integers(0, count - 1))
    path = merkle.proof(nodes, index)
    assert merkle.verify(path, root, nodes[index])
    assert not merkle.verify(path, root, merkle.leaf(index, b"forged"))
    assert not merkle.verify(path, root, merkle.leaf(index + 1, b"value %d" % index))
    if path:
        assert not merkle.verify(path[:-1], root, nodes[index])
        changed = [bytes(32), *path[1:]]
        assert not merkle.verify(changed, root, nodes[index])


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    nodes = leaves(4)
    inner = merkle.root(nodes[:2])
    assert merkle.leaf(0, inner) != inner
    assert merkle.root(nodes) != merkle.root([merkle.leaf(0, inner), *nodes[2:]])


def test_order_of_values_changes_the_root() -> None:
    assert merkle.root([merkle.leaf(0, b"a"), merkle.leaf(1, b"b")]) != merkle.root([merkle.leaf(0, b"b"), merkle.leaf(1, b"a")])


def test_short_siblings_do_not_verify() -> None:
    nodes = leaves(2)
    assert not merkle.verify([nodes[1][:31]], merkle.root(nodes), nodes[0])


def test_what_is_no_tree_is_refused() -> None:
    for call in (
        lambda: merkle.root([]),
        lambda: merkle.root([b"short"]),
        lambda: merkle.proof(leaves(2), 2),
        lambda: merkle.leaf(1 << 32, b""),
    ):
        with pytest.raises(InvalidInput):
            call()


def test_pinned_trees(vectors) -> None:
    for case in vectors("merkle.json"):
        values = [bytes.fromhex(v) for v in case["values"]]
        nodes = [merkle.leaf(i, v) for i, v in enumerate(values)]
        assert [n.hex() for n in nodes] == case["leaves"]
        assert merkle.root(nodes).hex() == case["root"]
        path = [bytes.fromhex(n) for n in case["proof_of_last"]]
        assert merkle.proof(nodes, len(nodes) - 1) == path
        assert merkle.verify(path, bytes.fromhex(case["root"]), nodes[-1])
        assert merkle.prefix_leaves([values[-1:]], len(nodes) - 1)[0].hex() == case["prefix_leaf_of_last"]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.data())
def test_a_tree_with_other_leaves_is_the_tree_of_those_leaves(count, data) -> None:
    nodes = leaves(count)
    tree = merkle.Tree(nodes)
    for _ in range(2):
        changed = data.draw(st.sets(st.integers(0, count - 1)))
        nodes = [merkle.leaf(99, node) if index in changed else node for index, node in enumerate(nodes)]
        tree.put({index: nodes[index] for index in changed})
    assert tree.root == merkle.root(nodes)
    index = data.draw(st.integers(0, count - 1))
    assert merkle.verify(tree.proof(index), merkle.root(nodes), nodes[index])
