"""P8: sets of participants are counted right, at the same cost whatever is in them."""

from __future__ import annotations

import random

import pytest

from tests.contracts.harness import harness

HARNESS = """
contract Harness {
    function size(uint256 set) external pure returns (uint256) { return BitSet.size(set); }
    function has(uint256 set, uint256 position) external pure returns (bool) { return BitSet.has(set, position); }
    function add(uint256 set, uint256 position) external pure returns (uint256) { return BitSet.add(set, position); }
    function remove(uint256 set, uint256 position) external pure returns (uint256) { return BitSet.remove(set, position); }
    function first(uint256 size) external pure returns (uint256) { return BitSet.first(size); }
    function isSubsetOf(uint256 set, uint256 whole) external pure returns (bool) { return BitSet.isSubsetOf(set, whole); }
    function inAtLeast(uint256[] calldata sets, uint256 count) external pure returns (uint256) {
        uint256[4] memory planes;
        for (uint256 i = 0; i < sets.length; ++i) BitSet.tally(planes, sets[i]);
        return BitSet.atLeast(planes, count);
    }
}
"""
ALL = 2**256 - 1


@pytest.fixture(scope="module")
def sets(module_isolation, accounts):
    return harness(accounts[0], "BitSet", HARNESS)


def examples():
    choose = random.Random(20)
    return [0, 1, ALL, ALL - 1, ALL >> 1, 1 << 255, *(choose.getrandbits(256) & choose.getrandbits(256) for _ in range(12))]


@pytest.mark.parametrize("example", examples(), ids=hex)
def test_P8_size_and_membership(sets, example):
    assert sets.size(example) == example.bit_count()
    for position in (0, 100, 255):
        assert sets.has(example, position) == bool(example >> position & 1)
        assert sets.add(example, position) == example | 1 << position
        assert sets.remove(example, position) == example & ~(1 << position)
    assert sets.isSubsetOf(example, example)
    assert sets.isSubsetOf(example, ALL)
    assert sets.isSubsetOf(example, 0) == (example == 0)


@pytest.mark.parametrize("size", [1, 3, 255, 256])
def test_P8_the_first_positions(sets, size):
    assert sets.first(size) == 2**size - 1


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 8, 14, 15])
def test_P3_positions_that_so_many_sets_hold(sets, number):
    choose = random.Random(number)
    given = [choose.getrandbits(256) | choose.getrandbits(256) for _ in range(number)]
    for count in range(1, 16):
        expected = sum(1 << p for p in range(256) if sum(s >> p & 1 for s in given) >= count)
        assert sets.inAtLeast(given, count) == expected, count


def test_P8_the_cost_does_not_depend_on_the_set(sets):
    costs = {sets.size.estimate_gas(example) for example in (1 << 5, 1 << 7, 3, 0xFF)}  # one byte of calldata each
    assert len(costs) == 1
