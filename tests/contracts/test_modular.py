"""Arithmetic modulo large numbers, against Python's own."""

from __future__ import annotations

import random

import pytest

from tests.contracts.harness import harness

HARNESS = """
contract Harness {
    function less(bytes calldata a, bytes calldata b) external pure returns (bool) {
        return Modular.less(Modular.load(a, a.length), Modular.load(b, b.length));
    }
    function difference(bytes calldata a, bytes calldata b) external pure returns (bytes memory) {
        return Modular.difference(Modular.load(a, a.length), Modular.load(b, b.length));
    }
    function addMod(bytes calldata a, bytes calldata b, bytes calldata m) external pure returns (bytes memory) {
        return Modular.addMod(Modular.load(a, m.length), Modular.load(b, m.length), Modular.load(m, m.length));
    }
    function squareMod(bytes calldata a, bytes calldata m) external view returns (bytes memory) {
        return Modular.squareMod(Modular.load(a, m.length), Modular.load(m, m.length));
    }
    function square(bytes calldata a, uint256 length) external view returns (bytes memory) {
        return Modular.square(Modular.load(a, length), length);
    }
}
"""


@pytest.fixture(scope="module")
def modular(module_isolation, accounts):
    return harness(accounts[0], "Modular", HARNESS)


def number(value: int, words: int) -> bytes:
    return value.to_bytes(32 * words, "big")


def read(value) -> int:
    return int.from_bytes(bytes.fromhex(str(value).removeprefix("0x")), "big")


@pytest.mark.parametrize("words", [1, 2, 3, 16])
def test_sums_differences_and_squares_are_pythons(modular, words):
    choose = random.Random(words)
    top = 1 << 256 * words
    moduli = [top - 1, top - 3, (top >> 1) + 1, top - (1 << 256 * words - 256) if words > 1 else top - 5, choose.randrange(3, top) | 1]
    for modulus in moduli:
        values = [0, 1, modulus - 1, modulus >> 1, (modulus >> 1) + 1, (1 << 256 * words - 256) - 1, choose.randrange(modulus)]
        for a, b in zip(values, choose.sample(values, len(values)), strict=True):
            a, b = a % modulus, b % modulus
            assert read(modular.addMod(number(a, words), number(b, words), number(modulus, words))) == (a + b) % modulus
            assert read(modular.difference(number(a, words), number(b, words))) == abs(a - b)
            assert modular.less(number(a, words), number(b, words)) == (a < b)
        a = values[-1]
        assert read(modular.squareMod(number(a, words), number(modulus, words))) == a * a % modulus
    assert read(modular.square(number(top - 1, words), 2 * 32 * words)) == (top - 1) ** 2
    assert not modular.less(number(5, words), number(5, words))
