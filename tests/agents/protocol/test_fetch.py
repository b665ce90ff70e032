"""C3: what another organisation published is checked in order (CID, length, header, values, root), and who is at fault is named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.crypto import paillier, roots, threshold, wire
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.threshold import Opening
from defedbio.domain import Phase, RoundContext
from defedbio.errors import (
    BadCiphertext,
    BadOpening,
    BadShare,
    BlobMismatch,
    BlobUnavailable,
    MalformedBlob,
    PeerFault,
)
from defedbio.protocol.effects.fetching import FETCHES, LEAST_SECONDS, patience
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import NO_PROOF
from defedbio.protocol.view import ModelAttestation, Post, Reveal, RoundView, Share
from tests.agents.protocol.in_process import CHAIN, CONTRACT, PEOPLE, STUDY, InProcess, dealt, frame, primes, proven, table

VIEW = RoundView(1, STUDY, 0, 0, PEOPLE[0], Phase.REVEALED, 5_060)
SENDER = PEOPLE[1]


@pytest.fixture
def together(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path, proven())
    yield made
    made.close()


@pytest.fixture(scope="module")
def good() -> list[int]:
    """Ciphertexts of 1, 2, … as many as an update has."""
    key = dealt()[0].public_key
    header = proven().header(wire.BlobKind.UPDATE, VIEW, SENDER)
    return paillier.encrypt(key, list(range(1, header.count + 1)), paillier.ObfuscatorPool(key, os.urandom, table()))


def reader(together: InProcess) -> Fetcher:
    return together.tools[0].fetcher


def revealed(together: InProcess, blob: bytes, root: bytes, proof: bytes | None = None) -> Reveal:
    return Reveal(1, SENDER, root, together.store(1).add(blob), keccak256(junk()) if proof is None else proof, bytes(32))


def junk() -> bytes:
    """A proof of the right length that shows nothing."""
    return bytes(proven().proof_bytes(VIEW))


def encoded(values: list[int], **changes: object) -> bytes:
    return wire.encode_update(header(**changes), values, junk())


def header(**changes: object) -> wire.Header:
    return replace(proven().header(wire.BlobKind.UPDATE, VIEW, SENDER), **changes)


def test_a_good_update_arrives(together: InProcess, good: list[int]) -> None:
    root = roots.update_root(good, dealt()[0].public_key)
    assert reader(together).update(VIEW, revealed(together, encoded(good), root)) == wire.UpdatePayload(good, junk())


def shorter(values: list[int]) -> bytes:
    return encoded(values)[:-1]


def longer(values: list[int]) -> bytes:
    return encoded(values) + b"\0"


def with_header(**changes: object) -> Callable[[list[int]], bytes]:
    return lambda values: encoded(values, **changes)


def with_last(value: int) -> Callable[[list[int]], bytes]:
    return lambda values: encoded([*values[:-1], value])


N = primes()[0] * primes()[1]
REFUSED = [
    ("one byte too long", longer, MalformedBlob, "longer than"),
    ("truncated", shorter, MalformedBlob, "bytes, .* are expected"),
    ("empty", lambda values: b"", MalformedBlob, "0 bytes"),
    ("another round's", with_header(context=RoundContext(CHAIN, CONTRACT, STUDY, 2)), MalformedBlob, "round differs"),
    ("another study's", with_header(context=RoundContext(CHAIN, CONTRACT, 2, 1)), MalformedBlob, "study differs"),
    ("another chain's", with_header(context=RoundContext(1, CONTRACT, STUDY, 1)), MalformedBlob, "chain id differs"),
    ("another contract's", with_header(context=RoundContext(CHAIN, PEOPLE[0], STUDY, 1)), MalformedBlob, "contract differs"),
    ("another sender's", with_header(sender=PEOPLE[2]), MalformedBlob, "sender differs"),
    ("zero", with_last(0), BadCiphertext, "ciphertext"),
    ("n squared", with_last(N * N), BadCiphertext, "ciphertext"),
    ("above n squared", with_last(N * N + 1), BadCiphertext, "ciphertext"),
    ("shares the factor p with n", with_last(primes()[0] * 12345), BadCiphertext, "ciphertext"),
    ("shares all of n", with_last(N), BadCiphertext, "ciphertext"),
]


@pytest.mark.parametrize(("make", "kind", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_p3_p9_an_update_is_refused_for_the_right_reason(
    together: InProcess, good: list[int], make: Callable[[list[int]], bytes], kind: type[PeerFault], reason: str
) -> None:
    root = roots.update_root(good, dealt()[0].public_key)
    with pytest.raises(kind, match=reason) as caught:
        reader(together).update(VIEW, revealed(together, make(good), root))
    assert type(caught.value) is kind and caught.value.peer == SENDER
    if kind is BadCiphertext:
        assert str(len(good) - 1) in caught.value.message, "it names the ciphertext"


def test_p2_another_root_than_revealed(together: InProcess, good: list[int]) -> None:
    with pytest.raises(BlobMismatch, match="root is not the revealed one") as caught:
        reader(together).update(VIEW, revealed(together, encoded(good), b"\x01" * 32))
    assert caught.value.peer == SENDER


def test_p3_another_proof_than_revealed(together: InProcess, good: list[int]) -> None:
    root = roots.update_root(good, dealt()[0].public_key)
    with pytest.raises(BlobMismatch, match="proof is not the one") as caught:
        reader(together).update(VIEW, revealed(together, encoded(good), root, NO_PROOF))
    assert caught.value.peer == SENDER


def test_p3_a_proof_of_another_length_is_not_even_fetched(together: InProcess, good: list[int]) -> None:
    root = roots.update_root(good, dealt()[0].public_key)
    for proof in (b"", junk() + b"\0"):
        blob = wire.encode_update(header(proof_bytes=len(proof)), good, proof)
        with pytest.raises(MalformedBlob) as caught:
            reader(together).update(VIEW, revealed(together, blob, root, keccak256(proof)))
        assert caught.value.peer == SENDER


def test_p3_of_many_proofs_that_do_not_hold_each_sender_is_named(together: InProcess, good: list[int]) -> None:
    reveals = [Reveal(i, PEOPLE[i], bytes(32), "", keccak256(junk()), bytes(32)) for i in (1, 3)]
    found = reader(together).check_proofs(VIEW, [(reveal, wire.UpdatePayload(good, junk())) for reveal in reveals])
    assert [error.peer for error in found if error is not None] == [PEOPLE[1], PEOPLE[3]]


def test_a_study_without_proofs_takes_none(tmp_path: Path, good: list[int]) -> None:
    together = InProcess(tmp_path, frame())
    root, plain = roots.update_root(good, dealt()[0].public_key), header(proof_bytes=0)
    try:
        revealed_plainly = revealed(together, wire.encode_update(plain, good), root, NO_PROOF)
        assert reader(together).update(VIEW, revealed_plainly) == wire.UpdatePayload(good, b"")
        with pytest.raises(BlobMismatch, match="asks for none") as caught:
            reader(together).update(VIEW, revealed(together, wire.encode_update(plain, good), root, b"\x01" * 32))
        assert caught.value.peer == SENDER
    finally:
        together.close()


def test_c3_bytes_that_are_not_the_cids(together: InProcess, good: list[int]) -> None:
    reveal = revealed(together, encoded(good), bytes(32))
    together.store(1).blobs[reveal.cid] = encoded(good)[:-1] + b"\xff"
    with pytest.raises(BlobMismatch) as caught:
        reader(together).update(VIEW, reveal)
    assert caught.value.peer == SENDER


@pytest.mark.parametrize("cid", ["", "not a cid", "Qm" + "1" * 44, "bafkrei" + "\u00e9" * 10, "b" * 128])
def test_a_cid_that_is_none_is_its_publishers_fault(together: InProcess, cid: str) -> None:
    with pytest.raises((MalformedBlob, BlobUnavailable)) as caught:
        reader(together).update(VIEW, Reveal(1, SENDER, bytes(32), cid, NO_PROOF, bytes(32)))
    if isinstance(caught.value, MalformedBlob):
        assert caught.value.peer == SENDER


def test_nobody_is_blamed_for_a_blob_that_does_not_arrive(together: InProcess, good: list[int]) -> None:
    reveal = revealed(together, encoded(good), bytes(32))
    together.store(1).running = False
    with pytest.raises(BlobUnavailable):
        reader(together).update(VIEW, reveal)


def test_r1_peers_are_dialled_by_the_registry_and_a_bad_entry_is_only_noted(together: InProcess, good: list[int]) -> None:
    root = roots.update_root(good, dealt()[0].public_key)
    reveal = revealed(together, encoded(good), root)
    together.store(2).blobs[reveal.cid] = together.store(1).blobs[reveal.cid]
    together.store(0).connect(together.book.multiaddrs[PEOPLE[2]])
    together.book.multiaddrs[SENDER] = "nonsense"
    assert reader(together).update(VIEW, reveal).ciphertexts == good, "from another peer"
    assert any(n.get("peer") == SENDER and "cannot dial" in n["message"] for n in together.notes)


def shared(together: InProcess, values: list[int], proof: bytes, root: bytes | None = None, proof_hash: bytes | None = None) -> Share:
    key = dealt()[0].public_key
    blob = wire.encode_share(proven().header(wire.BlobKind.SHARE, VIEW, SENDER), values, proof)
    cid = together.store(1).add(blob)
    return Share(SENDER, 2, bytes(32), root or roots.share_root(values, key), cid, proof_hash or keccak256(proof))


@pytest.fixture(scope="module")
def share_and_proof(good: list[int]) -> tuple[list[int], bytes]:
    key, shares = dealt()
    values = threshold.share(key, shares[1], good)
    statement = share_proof.ShareStatement(key, proven().context(1), 2, b"\x09" * 32, good, values)
    return values, share_proof.prove(statement, shares[1], os.urandom).to_bytes(2048)


def test_p5_shares(together: InProcess, share_and_proof: tuple[list[int], bytes]) -> None:
    values, proof = share_and_proof
    fetched = reader(together).share(VIEW, shared(together, values, proof))
    assert fetched.values == values and fetched.proof == proof
    for bad in (
        shared(together, values, proof, root=b"\x01" * 32),
        shared(together, values, proof, proof_hash=b"\x01" * 32),
    ):
        with pytest.raises(BlobMismatch, match="root and proof") as caught:
            reader(together).share(VIEW, bad)
        assert caught.value.peer == SENDER
    for value in (0, N, primes()[0]):
        with pytest.raises(BadShare) as wrong:
            reader(together).share(VIEW, shared(together, [*values[:-1], value], proof))
        assert wrong.value.peer == SENDER
    other = replace(shared(together, values, proof), holder=PEOPLE[2])
    with pytest.raises(MalformedBlob, match="sender differs") as copied:
        reader(together).share(VIEW, other)
    assert copied.value.peer == PEOPLE[2], "who passes another's share off as its own is the one to blame"


@pytest.fixture(scope="module")
def openings(good: list[int]) -> list[Opening]:
    key, shares = dealt()
    return threshold.combine(key, good, {s.index: threshold.share(key, s, good) for s in shares[:3]})


def posted(together: InProcess, values: list[Opening], root: bytes | None = None) -> Post:
    blob = wire.encode_opening(proven().header(wire.BlobKind.OPENING, VIEW), values)
    return Post(SENDER, root or roots.opening_root(values, dealt()[0].public_key), together.store(1).add(blob))


def test_p6_openings(together: InProcess, good: list[int], openings: list[Opening]) -> None:
    fetcher = reader(together)
    assert fetcher.opening(VIEW, posted(together, openings), good) == openings
    first = openings[0]
    assert [o.m for o in openings] == list(range(1, len(good) + 1))
    for wrong in (Opening(first.w, first.m + 1), Opening(first.w % (N // 2) + 1, first.m), Opening(N - first.w, first.m), Opening(0, 1)):
        with pytest.raises(BadOpening, match="opening 0") as caught:
            fetcher.opening(VIEW, posted(together, [wrong, *openings[1:]]), good)
        assert caught.value.peer == SENDER
    with pytest.raises(BadOpening):
        fetcher.opening(VIEW, posted(together, [*openings[1:], openings[0]]), good)
    with pytest.raises(BlobMismatch, match="root is not the one on the chain") as rooted:
        fetcher.opening(VIEW, posted(together, openings, b"\x01" * 32), good)
    assert rooted.value.peer == SENDER


MODEL = b"the model's bytes"


def finalised(*cids: str) -> RoundView:
    made = tuple(ModelAttestation(PEOPLE[i + 1], bytes(32), keccak256(MODEL), cid) for i, cid in enumerate(cids))
    return replace(VIEW, phase=Phase.FINALISED, attestations=made, model_hash=keccak256(MODEL), model_cid=cids[-1])


def test_model_bytes_from_the_first_attestor_that_delivers(together: InProcess) -> None:
    cid = together.store(2).add(MODEL)
    other = together.store(1).add(b"other bytes")
    for first in (other, "not a cid", together.store(1).add(bytes(1 << 20))):
        assert reader(together).model_bytes(finalised(first, cid)) == MODEL, first[:20]
    gone = together.store(3).add(b"gone")
    together.store(3).blobs.clear()
    assert reader(together).model_bytes(finalised(gone, cid)) == MODEL
    tampered = together.store(1).add(b"tampered with")
    together.store(1).blobs[tampered] = b"tampered WITH"
    assert reader(together).model_bytes(finalised(tampered, cid)) == MODEL
    assert sum("model refused" in n.get("message", "") and n["peer"] == PEOPLE[1] for n in together.notes) == 3


def test_model_bytes_that_nobody_delivers(together: InProcess) -> None:
    other = together.store(1).add(b"other bytes")
    with pytest.raises(BlobMismatch, match="no attested CID"):
        reader(together).model_bytes(finalised(other))
    gone = together.store(2).add(MODEL)
    together.store(2).running = False
    with pytest.raises(BlobUnavailable):
        reader(together).model_bytes(finalised(other, gone))


def test_an_attestation_of_another_model_is_not_looked_at(together: InProcess) -> None:
    view = finalised(together.store(1).add(MODEL))
    stray = ModelAttestation(PEOPLE[3], bytes(32), b"\x01" * 32, "not a cid")
    assert reader(together).model_bytes(replace(view, attestations=(stray, *view.attestations))) == MODEL


@given(count=st.integers(1, 256), whole=st.floats(1, 1e7), most=st.floats(1, 30))
def test_p3_updates_that_nobody_delivers_leave_most_of_the_phase(count: int, whole: float, most: float) -> None:
    seconds = patience(count, whole, most)
    assert LEAST_SECONDS <= seconds <= most
    assert seconds == LEAST_SECONDS or seconds * -(-count // FETCHES) <= whole / 4
