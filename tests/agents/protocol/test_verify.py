"""R5: what the auditor says of a round, and of the same round with one thing changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from defedbio.chain.bindings.round_manager import commitment_hash
from defedbio.crypto.merkle import keccak256
from defedbio.domain import BitSet, Phase
from defedbio.errors import BlobUnavailable, InvalidInput
from defedbio.protocol.verify import Check, verify_round
from defedbio.protocol.view import Post, Reveal, RoundView, StudyView, Wrong
from tests.agents.protocol.in_process import CHAIN, CONTRACT, PEOPLE, InProcess, proven, with_reveal

NAMES = ["commitments", "frozen set", "updates", "proofs", "aggregate", "opening", "model", "model bytes"]
ROOT = b"\x01" * 32


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A finished study of two rounds."""
    made = InProcess(tmp_path_factory.mktemp("audit"), proven())
    made.play(lambda study: study.complete)
    yield made
    made.close()


@pytest.fixture
def study(together: InProcess) -> StudyView:
    return together.ledger.study()


def verify(together: InProcess, study: StudyView, view: RoundView) -> list[Check]:
    return list(verify_round(together.tools[0].fetcher, study, view, PEOPLE))


def failed(checks: list[Check], name: str) -> Check:
    assert [c.name for c in checks] == NAMES[: NAMES.index(name) + 1] and [c.ok for c in checks] == [True] * (len(checks) - 1) + [False]
    return checks[-1]


@pytest.mark.parametrize("number", [1, 2])
def test_a_finished_round_passes_every_check(together: InProcess, study: StudyView, number: int) -> None:
    checks = verify(together, study, study.rounds[number])
    assert [(c.name, c.ok) for c in checks] == [(name, True) for name in NAMES]


def test_only_a_finalised_round_can_be_verified(together: InProcess, study: StudyView) -> None:
    with pytest.raises(InvalidInput, match="decrypted"):
        verify(together, study, replace(study.rounds[2], phase=Phase.DECRYPTED))


def test_p4_a_product_that_was_shown_wrong_is_named_with_its_poster(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    lie = replace(view, aggregates=(*view.aggregates, Post(PEOPLE[3], ROOT, "cid")), wrong=(Wrong(ROOT, PEOPLE[0], 0, 1),))
    checks = verify(together, study, lie)
    assert all(check.ok for check in checks) and f"what {PEOPLE[3]} posted" in checks[NAMES.index("aggregate")].detail
    opened = replace(lie, shares=tuple(replace(share, aggregate_root=ROOT) for share in view.shares))
    found = failed(verify(together, study, opened), "aggregate")
    assert found.peer == PEOPLE[3] and "shown to be wrong" in found.detail
    with pytest.raises(InvalidInput, match=f"voided; {PEOPLE[3]} posted a product that was shown to be wrong"):
        verify(together, study, replace(opened, phase=Phase.VOIDED))


def test_p1_a_changed_commitment_names_its_participant(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    found = failed(verify(together, study, replace(view, commitments={**view.commitments, PEOPLE[2]: ROOT})), "commitments")
    assert found.peer == PEOPLE[2]


def test_p3_a_set_attested_by_too_few_or_by_strangers(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    few = dict(list(view.attested.items())[:2])
    assert "2 holders attested" in failed(verify(together, study, replace(view, attested=few)), "frozen set").detail
    stranger = {**few, "0x" + "99" * 20: view.frozen}
    assert "2 holders attested" in failed(verify(together, study, replace(view, attested=stranger)), "frozen set").detail
    assert "hash" in failed(verify(together, study, replace(view, set_hash=ROOT)), "frozen set").detail
    two = BitSet.of(0, 1)
    small = replace(view, frozen=two, attested=dict.fromkeys(PEOPLE, two))
    assert "too small" in failed(verify(together, study, small), "frozen set").detail


def test_p3_a_set_below_the_share_of_the_good_updates(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    more = {p: replace(view.reveals[0], position=p, participant=f"0x{p:040x}") for p in range(4, 7)}
    seen = replace(view, reveals={**view.reveals, **more}, commitments={**view.commitments, **committed(view, more)})
    assert "too small" in failed(verify(together, study, seen), "frozen set").detail, "4 of 7"
    two, bad = dict.fromkeys(PEOPLE[:2], BitSet.of(4, 5, 6)), dict.fromkeys(PEOPLE[:3], BitSet.of(4, 5, 6))
    strangers = {**two, "0x" + "99" * 20: BitSet.of(4, 5, 6)}
    for refused in (two, strangers):
        assert "too small" in failed(verify(together, study, replace(seen, refused=refused)), "frozen set").detail
    assert verify(together, study, replace(seen, refused=bad))[1].ok, "three of them were bad"


def committed(view: RoundView, reveals: dict[int, Reveal]) -> dict[str, bytes]:
    return {
        r.participant: commitment_hash(CHAIN, CONTRACT, view.id, r.participant, r.update_root, r.cid, r.proof_hash, r.salt)
        for r in reveals.values()
    }


def test_c3_tampered_update_bytes_name_their_participant(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    cid = view.reveals[1].cid
    kept = [(i, together.store(i).blobs[cid]) for i in range(4) if cid in together.store(i).blobs]
    for index, blob in kept:
        together.store(index).blobs[cid] = blob[:-1] + bytes([blob[-1] ^ 1])
    found = failed(verify(together, study, view), "updates")
    for index, blob in kept:
        together.store(index).blobs[cid] = blob
    assert found.peer == PEOPLE[1]


def test_p3_a_proof_that_does_not_hold_names_its_sender(together: InProcess, study: StudyView) -> None:
    """Committed to, revealed, and even attested to by all holders."""
    view = study.rounds[2]
    reveal, size = view.reveals[1], together.study.proof_bytes(view)
    blob = together.store(1).blobs[reveal.cid]
    cid = together.store(1).add(blob[:-size] + bytes(size))
    lying = with_reveal(view, 1, cid=cid, proof_hash=keccak256(bytes(size)))
    found = failed(verify(together, study, replace(lying, commitments=committed(lying, dict(lying.reveals)))), "proofs")
    assert found.peer == PEOPLE[1]


def test_a_missing_update_claims_nothing(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    cid = view.reveals[1].cid
    kept = [(i, together.store(i).blobs.pop(cid)) for i in range(4) if cid in together.store(i).blobs]
    with pytest.raises(BlobUnavailable):
        verify(together, study, view)
    for index, blob in kept:
        together.store(index).blobs[cid] = blob


def test_p4_another_aggregate_root(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    shares = tuple(replace(share, aggregate_root=ROOT) for share in view.shares)
    assert "another root" in failed(verify(together, study, replace(view, shares=shares)), "aggregate").detail


def test_p6_openings(together: InProcess, study: StudyView) -> None:
    view, other = study.rounds[2], study.rounds[1]
    assert "no opening" in failed(verify(together, study, replace(view, openings=())), "opening").detail
    foreign = Post(PEOPLE[3], view.opening_root, other.openings[0].cid)
    assert all(c.ok for c in verify(together, study, replace(view, openings=(NOTHING, foreign, *view.openings)))), (
        "one that holds is enough"
    )


NOTHING = Post(PEOPLE[3], ROOT, "bafkreidon73zkcrwdb5iafqtijxildoonbwnpv7dyd6ef3qdgads2jc4su")


def test_p6_an_opening_that_nobody_delivers_is_that_of_t_shares(together: InProcess, study: StudyView) -> None:
    view, other = study.rounds[2], study.rounds[1]
    foreign = Post(PEOPLE[2], view.opening_root, other.openings[0].cid)
    gone = replace(NOTHING, root=view.opening_root)
    for posts in ((gone,), (foreign,), (foreign, gone)):
        checks = verify(together, study, replace(view, openings=posts))
        assert [(c.name, c.ok) for c in checks] == [(name, True) for name in NAMES]
        assert "that of t shares" in checks[5].detail
    few = replace(view, openings=(foreign,), shares=view.shares[:3])
    cid = few.shares[0].cid
    kept = [(i, together.store(i).blobs.pop(cid)) for i in range(4) if cid in together.store(i).blobs]
    with pytest.raises(BlobUnavailable):
        verify(together, study, few)
    for index, blob in kept:
        together.store(index).blobs[cid] = blob
    assert (
        "do not give"
        in failed(verify(together, study, replace(view, openings=(replace(gone, root=ROOT),), opening_root=ROOT)), "opening").detail
    )


def test_p6_an_opening_comes_from_a_holder_when_its_poster_does_not_serve_it(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    (post,) = view.openings
    reader, stores = together.tools[0], [together.store(i) for i in range(4)]
    attestor = next(a.holder for a in view.attestations if a.holder not in (PEOPLE[0], post.sender))
    kept = [store.blobs.pop(post.cid) for store in stores if post.cid in store.blobs]
    together.store(PEOPLE.index(attestor)).blobs[post.cid] = kept[0]
    stores[0].connected.clear()
    reader.fetcher.peers._dial_after.clear()
    checks = verify(together, study, view)
    assert "holds" in checks[5].detail
    for store in stores:
        store.blobs[post.cid] = kept[0]


def test_p6_another_model_hash_or_too_few_attestors(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    assert "another model" in failed(verify(together, study, replace(view, model_hash=ROOT)), "model").detail
    assert "fewer than t" in failed(verify(together, study, replace(view, attestations=view.attestations[:2])), "model").detail


def test_p6_model_bytes_that_are_others(together: InProcess, study: StudyView) -> None:
    view = study.rounds[2]
    wrong = tuple(replace(a, cid=view.reveals[0].cid) for a in view.attestations)
    assert "no attested CID" in failed(verify(together, study, replace(view, attestations=wrong)), "model bytes").detail


def test_p2_a_reveal_that_was_changed_fails_its_commitment(together: InProcess, study: StudyView) -> None:
    for field in ("update_root", "salt", "proof_hash"):
        view = with_reveal(study.rounds[2], 3, **{field: ROOT})
        assert failed(verify(together, study, view), "commitments").peer == PEOPLE[3]
