"""Encryption against phe's private key, and refusals of bad keys and ciphertexts."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import paillier
from defedbio.crypto.merkle import keccak256
from defedbio.errors import BadCiphertext, InvalidInput, InvalidKey


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_phe_opens_what_we_encrypt(small, data) -> None:
    m = data.draw(st.integers(0, small.public.n - 1))
    (c,) = small.encrypt(m)
    assert small.oracle.raw_decrypt(c) == m


def test_equal_plaintexts_have_different_ciphertexts(small) -> None:
    assert len(set(small.encrypt(*[5] * 20))) == 20


def test_we_open_what_phe_encrypts_too(small) -> None:
    c = small.public.phe.raw_encrypt(77)
    assert small.oracle.raw_decrypt(c * small.encrypt(1)[0] % small.public.n_squared) == 78


def test_the_base_is_an_nth_power_of_minus_a_square(small) -> None:
    assert small.oracle.raw_decrypt(small.public.hs) == 0
    assert [pow(small.public.hs, (r - 1) // 2, r) for r in (small.p, small.q)] == [small.p - 1, small.q - 1]


@pytest.mark.parametrize("bits", ["512", "2048", "3072"])
def test_what_is_hashed_from_a_modulus_is_pinned(bits, vectors) -> None:
    primes, want = vectors(f"keys_{bits}.json"), vectors("derived.json")[bits]
    key = paillier.PublicKey.from_modulus(int(primes["p"], 16) * int(primes["q"], 16), 512)
    assert key.hash.hex() == want["modulus_hash"]
    assert keccak256(key.hs.to_bytes(key.ciphertext_bytes, "big")).hex() == want["hs_hash"]


@pytest.mark.parametrize(("updates", "length"), [(1, 1), (4, 3), (2, paillier.AT_ONCE + 1)])
def test_aggregating_ciphertexts_adds_plaintexts(small, updates, length) -> None:
    plain = [[100 * t + i for i in range(length)] for t in range(updates)]
    encrypted = [small.encrypt(*row) for row in plain]
    total = paillier.aggregate(small.public, encrypted)
    assert [small.oracle.raw_decrypt(c) for c in total] == [sum(column) for column in zip(*plain, strict=True)]
    slices = paillier.prefix_products(small.public, encrypted)
    prefixes = [[int.from_bytes(c, "big") for c in row] for rows in slices for row in rows]
    assert [row[-1] for row in prefixes] == total
    assert [row[0] for row in prefixes] == encrypted[0]
    assert all(len(row) == updates for row in prefixes)


def test_updates_of_different_lengths_do_not_aggregate(small) -> None:
    with pytest.raises(InvalidInput, match="different lengths"):
        paillier.aggregate(small.public, [small.encrypt(1, 2), small.encrypt(1)])
    with pytest.raises(InvalidInput, match="nothing"):
        paillier.prefix_products(small.public, [])


def test_p3_only_units_below_n_squared_are_ciphertexts(small) -> None:
    """P3: every ciphertext is a unit below n^2."""
    good = small.encrypt(1, 2, 3)
    paillier.check_ciphertexts(small.public, good)
    square = small.public.n_squared
    for bad, reason in ((0, "outside"), (square, "outside"), (square + good[0], "outside"), (-1, "outside"), (7 * small.p, "not a unit")):
        with pytest.raises(BadCiphertext, match=f"ciphertext 1 is {reason}"):
            paillier.check_ciphertexts(small.public, [good[0], bad, good[1]])


@pytest.mark.parametrize("plaintext", [-1, "n"])
def test_plaintexts_out_of_range_are_refused(small, plaintext) -> None:
    with pytest.raises(InvalidInput, match="plaintext 1"):
        paillier.encrypt(small.public, [0, small.public.n if plaintext == "n" else plaintext], small.pool)


def test_production_refuses_short_and_even_moduli(small) -> None:
    with pytest.raises(InvalidKey, match="512 bits"):
        paillier.PublicKey.from_modulus(small.public.n)
    with pytest.raises(InvalidKey, match="odd"):
        paillier.PublicKey.from_modulus(small.public.n + 1, 512)


def test_obfuscators_are_used_once_even_while_the_pool_is_filled(small) -> None:
    pool = paillier.ObfuscatorPool(small.public, os.urandom)
    filler = threading.Thread(target=pool.fill, args=(50,))
    filler.start()
    taken = [pool.take() for _ in range(80)]
    filler.join()
    taken += [pool.take() for _ in range(len(pool))]
    assert len(set(taken)) == len(taken) >= 80
    assert len(pool) == 0


def test_a_wiped_pool_is_empty_and_makes_new_ones(small) -> None:
    pool = paillier.ObfuscatorPool(small.public, os.urandom)
    pool.fill(2)
    assert len(pool) == 2
    pool.wipe()
    assert len(pool) == 0
    assert small.oracle.raw_decrypt(pool.take().value) == 0


def test_a_pool_of_another_key_is_refused(small, make_material) -> None:
    other = paillier.PublicKey.from_modulus(small.public.n + 2, 512)
    with pytest.raises(InvalidInput, match="another key"):
        paillier.encrypt(other, [1], small.pool)
    with pytest.raises(InvalidInput, match="another key"):
        paillier.ObfuscatorPool(other, os.urandom, paillier.FixedBaseTable(small.public))
