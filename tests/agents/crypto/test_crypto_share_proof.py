"""The share proof names a liar, and fails in every other round, aggregate and place (P9)."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from defedbio.crypto import threshold
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.proofs.share import ShareProof, ShareStatement, prove, verify
from defedbio.domain import RoundContext
from defedbio.errors import BadShare, InvalidInput, InvalidKey

ROOT = b"\x07" * 32


@pytest.fixture(scope="session")
def statement(small, context) -> ShareStatement:
    ciphertexts = small.encrypt(*range(40))
    shares = threshold.share(small.key, small.shares[1], ciphertexts)
    return ShareStatement(small.key, context, 2, ROOT, tuple(ciphertexts), tuple(shares))


@pytest.fixture(scope="session")
def proof(small, statement) -> ShareProof:
    return prove(statement, small.shares[1], os.urandom)


def test_an_honest_share_verifies(statement, proof) -> None:
    verify(statement, proof)


@pytest.mark.parametrize(("index", "quorum", "holders"), [(1, 2, 2), (15, 8, 15)])
def test_every_holder_count_fits_the_fixed_length(make_material, context, index, quorum, holders) -> None:
    material = make_material(512, quorum, holders)
    ciphertexts = material.encrypt(1)
    own = material.shares[index - 1]
    statement = ShareStatement(material.key, context, index, ROOT, ciphertexts, threshold.share(material.key, own, ciphertexts))
    data = prove(statement, own, os.urandom).to_bytes(512)
    assert len(data) == share_proof.size(512)
    verify(statement, ShareProof.from_bytes(data, 512))


def test_signs_of_shares_do_not_matter(small, statement) -> None:
    for turned in range(24):
        flipped = replace(statement, shares=tuple(small.key.n - x if i == turned else x for i, x in enumerate(statement.shares)))
        verify(flipped, prove(flipped, small.shares[1], os.urandom))


def changed_share(statement: ShareStatement, n: int) -> tuple[int, ...]:
    return (statement.shares[0], statement.shares[1] * 4 % n, *statement.shares[2:])


def test_a_wrong_share_cannot_be_proved(small, statement) -> None:
    lie = replace(statement, shares=changed_share(statement, small.key.n))
    with pytest.raises(BadShare, match="holder 2"):
        verify(lie, prove(lie, small.shares[1], os.urandom))


def test_a_share_made_with_another_key_share_cannot_be_proved(small, statement) -> None:
    other = threshold.KeyShare(2, small.shares[2].value)
    lie = replace(statement, shares=tuple(threshold.share(small.key, other, statement.ciphertexts)))
    for witness in (other, small.shares[1]):
        with pytest.raises(BadShare, match="does not hold"):
            verify(lie, prove(lie, witness, os.urandom))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: {"context": replace(s.context, chain_id=1)},
        lambda s: {"context": RoundContext(31337, "0x" + "c1" * 20, 7, 9)},
        lambda s: {"context": replace(s.context, study=8)},
        lambda s: {"context": replace(s.context, round=10)},
        lambda s: {"index": 3},
        lambda s: {"aggregate_root": b"\x08" * 32},
        lambda s: {"ciphertexts": (*s.ciphertexts[1:], s.ciphertexts[0])},
        lambda s: {"shares": changed_share(s, s.key.n)},
        lambda s: {"shares": (s.key.n - s.shares[0], *s.shares[1:])},
    ],
)
def test_p9_a_proof_holds_only_where_it_was_made(statement, proof, change) -> None:
    """P9: replays across chains, contracts, studies, rounds and senders fail."""
    with pytest.raises(BadShare, match="does not hold"):
        verify(replace(statement, **change(statement)), proof)


def test_tampered_proofs_are_refused(statement, proof) -> None:
    for bad in (replace(proof, challenge=proof.challenge ^ 1), replace(proof, response=proof.response + 1)):
        with pytest.raises(BadShare, match="does not hold"):
            verify(statement, bad)
    with pytest.raises(BadShare, match="too large"):
        verify(statement, replace(proof, response=1 << (share_proof.mask_bits(512) + 1)))
    with pytest.raises(BadShare, match="too large"):
        verify(statement, replace(proof, response=-1))
    with pytest.raises(BadShare, match="challenge is out of range"):
        verify(statement, replace(proof, challenge=proof.challenge + (1 << 128)))


def test_encoding_is_exact(proof) -> None:
    data = proof.to_bytes(512)
    assert ShareProof.from_bytes(data, 512) == proof
    for bad in (data[:-1], data + b"\x00", b""):
        with pytest.raises(BadShare, match="wrong length"):
            ShareProof.from_bytes(bad, 512)
    with pytest.raises(BadShare, match="too large"):
        ShareProof.from_bytes(data[:16] + b"\xff" * (len(data) - 16), 512)


def test_values_that_are_no_units_are_refused(small, statement, proof) -> None:
    for value, reason in ((0, "outside"), (small.p, "not a unit")):
        with pytest.raises(BadShare, match=reason):
            verify(replace(statement, shares=(value, *statement.shares[1:])), proof)
    with pytest.raises(BadShare, match="39 shares for 40"):
        verify(replace(statement, shares=statement.shares[1:]), proof)


def test_a_foreign_key_share_cannot_prove(small, statement) -> None:
    with pytest.raises(InvalidKey, match="another holder"):
        prove(statement, small.shares[0], os.urandom)
    with pytest.raises(InvalidInput, match="index"):
        replace(statement, index=6)


def test_responses_hide_the_secret_behind_the_mask(small, statement) -> None:
    """The mask is 256 bits and more longer than the secret: a response's top bits come from it alone."""
    assert share_proof.mask_bits(3072) >= 3072 + 41 + 256
    again = prove(statement, small.shares[1], os.urandom)
    first = prove(statement, small.shares[1], os.urandom)
    assert again.response != first.response
    assert again.challenge != first.challenge
