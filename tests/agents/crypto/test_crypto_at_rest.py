"""Sealing to a transport key and vaults under a password."""

from __future__ import annotations

import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import sealing, vault
from defedbio.errors import InvalidInput, InvalidKey, WrongPassword

COST = 1 << 10


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=200), st.binary(max_size=50))
def test_only_the_owner_in_the_same_context_opens(plaintext, context) -> None:
    private, public = sealing.generate_transport_key(os.urandom)
    box = sealing.seal(public, plaintext, context, os.urandom)
    assert len(box) == len(plaintext) + sealing.OVERHEAD
    assert sealing.unseal(private, box, context) == plaintext
    other, _ = sealing.generate_transport_key(os.urandom)
    for key, where in ((other, context), (private, context + b"x")):
        with pytest.raises(InvalidKey, match="does not open"):
            sealing.unseal(key, box, where)


@pytest.mark.parametrize("index", [0, 31, 32, -1])
def test_changed_boxes_do_not_open(index) -> None:
    private, public = sealing.generate_transport_key(os.urandom)
    box = bytearray(sealing.seal(public, b"secret", b"", os.urandom))
    box[index] ^= 1
    with pytest.raises(InvalidKey, match="does not open"):
        sealing.unseal(private, bytes(box), b"")


def test_unusable_transport_keys_are_refused() -> None:
    private, _ = sealing.generate_transport_key(os.urandom)
    with pytest.raises(InvalidKey, match="not a usable"):
        sealing.seal(bytes(32), b"secret", b"", os.urandom)
    with pytest.raises(InvalidKey, match="not a usable"):
        sealing.unseal(private, bytes(60), b"")
    with pytest.raises(InvalidKey, match="32 bytes"):
        sealing.seal(bytes(31), b"secret", b"", os.urandom)
    with pytest.raises(InvalidKey, match="too short"):
        sealing.unseal(private, bytes(47), b"")


def test_the_public_key_is_x25519s() -> None:
    private, public = sealing.generate_transport_key(os.urandom)
    assert X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw() == public


def test_a_vault_opens_after_a_trip_through_json() -> None:
    box = json.loads(json.dumps(vault.seal_with_password(b"secret \x00", "pass wörd", "key share", os.urandom, COST)))
    assert vault.open_with_password(box, "pass wörd", "key share") == b"secret \x00"
    assert b"secret".hex() not in json.dumps(box)


def test_a_wrong_password_is_refused() -> None:
    box = vault.seal_with_password(b"secret", "right", "key share", os.urandom, COST)
    with pytest.raises(WrongPassword):
        vault.open_with_password(box, "wrong", "key share")


@pytest.mark.parametrize("field", ["salt", "nonce", "ciphertext"])
def test_a_changed_vault_does_not_open(field) -> None:
    box = vault.seal_with_password(b"secret", "right", "l", os.urandom, COST)
    box[field] = f"{int(box[field][:2], 16) ^ 1:02x}" + box[field][2:]
    with pytest.raises(WrongPassword, match="changed"):
        vault.open_with_password(box, "right", "l")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "other"}, "holds 'other'"),
        ({"format": "x"}, "format"),
        ({"r": 1}, "format"),
        ({"n": 1 << 40}, "out of range"),
        ({"n": 1000}, "out of range"),
        ({"n": True}, "ill-typed"),
        ({"salt": "zz"}, "not hexadecimal"),
        ({"nonce": "00"}, "wrong length"),
        ({"extra": 1}, "unknown"),
    ],
)
def test_an_unreadable_vault_says_why(change, reason) -> None:
    box = vault.seal_with_password(b"secret", "right", "l", os.urandom, COST)
    with pytest.raises(InvalidKey, match=reason):
        vault.open_with_password({**box, **change}, "right", "l")


def test_a_weakened_cost_does_not_open() -> None:
    box = vault.seal_with_password(b"secret", "right", "l", os.urandom, COST)
    with pytest.raises(WrongPassword):
        vault.open_with_password({**box, "n": 2}, "right", "l")


def test_vaults_need_a_password_and_a_sane_cost() -> None:
    with pytest.raises(InvalidInput, match="password"):
        vault.seal_with_password(b"s", "", "l", os.urandom, COST)
    with pytest.raises(InvalidInput, match="power of two"):
        vault.seal_with_password(b"s", "p", "l", os.urandom, 1000)


def test_the_default_cost_is_the_documented_one() -> None:
    box = vault.seal_with_password(b"s", "p", "l", os.urandom)
    assert (box["n"], box["r"], box["p"]) == (131072, 8, 1)
    assert vault.open_with_password(box, "p", "l") == b"s"
