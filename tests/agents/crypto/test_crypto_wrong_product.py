"""A wrong product is found where it is, by its root and its final products; a right one and one that nobody can know are not."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import merkle, roots, wrong_product
from defedbio.errors import InvalidInput


def updates_of(key, count: int, length: int) -> list[list[int]]:
    return [[pow(3 + 7 * t + index, 5 + t, key.n_squared) for index in range(length)] for t in range(count)]


def tree_of(rows: list[list[int]], key) -> list[bytes]:
    return merkle.prefix_leaves([[value.to_bytes(key.ciphertext_bytes, "big") for value in row] for row in rows])


def rows_of(updates: list[list[int]], key, wrong: dict[int, int], position: int) -> list[list[int]]:
    """Prefix products by plain multiplication, that of each ciphertext in `wrong` off by a factor from `position` on."""
    rows = []
    for index in range(len(updates[0])):
        factors = [update[index] for update in updates]
        factors[position - 1] = factors[position - 1] * wrong.get(index, 1)
        rows.append([prod(factors[: t + 1]) % key.n_squared for t in range(len(factors))])
    return rows


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 5), st.data())
def test_the_first_wrong_product_is_found(small, count, length, data) -> None:
    key = small.public
    updates = updates_of(key, count, length)
    position = data.draw(st.integers(1, count))
    wrong = data.draw(st.dictionaries(st.integers(0, length - 1), st.integers(2, 9), min_size=1))
    rows = rows_of(updates, key, wrong, position)
    leaves = tree_of(rows, key)
    root = merkle.root(leaves)

    found = wrong_product.find(updates, [row[-1] for row in rows], root, key)

    assert found is not None
    assert (found.ciphertext, found.position) == (min(wrong), position)
    index = found.ciphertext
    assert int.from_bytes(found.product.encoded, "big") == rows[index][position - 1]
    place = index * count + position - 1
    assert merkle.verify(found.product.path, root, leaves[place])
    assert int.from_bytes(found.factor.encoded, "big") == updates[position - 1][index]
    assert merkle.verify(found.factor.path, roots.update_root(updates[position - 1], key), merkle.leaf(index, found.factor.encoded))
    assert (found.before is None) == (position == 1)
    if found.before is not None:
        assert int.from_bytes(found.before.encoded, "big") == rows[index][position - 2]
        assert merkle.verify(found.before.path, root, leaves[place - 1])


def test_what_is_right_or_known_to_its_maker_alone_is_not_found(small) -> None:
    key = small.public
    updates = updates_of(key, 4, 3)
    product, root = roots.product_and_root(updates, key)
    assert wrong_product.find(updates, product, root, key) is None
    assert wrong_product.find(updates, product, merkle.keccak256(b"of nothing"), key) is None
    claimed = [product[0] * 2 % key.n_squared, *product[1:]]
    assert wrong_product.find(updates, claimed, root, key) is None
    twice = rows_of(updates, key, {0: 2}, 2)
    twice[0][3] = twice[0][3] * 3 % key.n_squared
    assert wrong_product.find(updates, [row[-1] for row in twice], merkle.root(tree_of(twice, key)), key) is None


def test_there_is_a_final_product_for_each_ciphertext(small) -> None:
    with pytest.raises(InvalidInput):
        wrong_product.find(updates_of(small.public, 3, 2), [1], bytes(32), small.public)
