"""A whole round of four organisations in one process: real journals, cryptography and learning over a recorded chain."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from defedbio.chain import events as ev
from defedbio.chain.bindings.round_manager import commitment_hash
from defedbio.crypto import encoding, roots, threshold, wire
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.proofs import contribution
from defedbio.crypto.proofs.statement import Statement, Witness
from defedbio.crypto.threshold import KeyShare
from defedbio.domain import NO_ONE, BitSet, Phase
from defedbio.errors import BadProof, BlobUnavailable, ChainUnreachable, CidMismatch, InternalFault, InvalidInput, OutsideRule
from defedbio.learning.data.port import Dataset
from defedbio.learning.global_update import Sums, finalise
from defedbio.learning.state import genesis
from defedbio.protocol import actions as act
from defedbio.protocol import catalogue as kinds
from defedbio.protocol import parts
from defedbio.protocol.decide import Clock, Role, decide
from defedbio.protocol.effects import models, sums, updates
from defedbio.protocol.frame import NO_PROOF
from defedbio.protocol.memory import key_of
from defedbio.protocol.perform import facts_of, perform
from defedbio.protocol.tools import seen, seen_in
from defedbio.protocol.verify import verify_round
from defedbio.protocol.view import RoundView
from tests.agents.protocol.in_process import (
    CHAIN,
    CONTRACT,
    NOW,
    PEOPLE,
    PROVEN,
    QUORUM,
    InProcess,
    frame,
    frame_of,
    proven,
    reached,
    with_reveal,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    yield made
    made.close()


@pytest.fixture
def proving(tmp_path: Path) -> Iterator[InProcess]:
    """A study with proofs."""
    made = InProcess(tmp_path, proven())
    yield made
    made.close()


def commit_prepared(world: InProcess, index: int) -> None:
    """Open the round and bring one organisation to where its next action is its commitment."""
    while not isinstance(world.next_action(index), act.Commit):
        assert world.step(1 if not world.ledger.study().rounds else index) or world.step(0)


def test_p6_the_models_are_those_of_the_plain_sums(world: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: list[Any] = []
    encode = encoding.encode

    def recorded(*args: Any) -> Any:
        plain.append(encode(*args))
        return plain[-1]

    monkeypatch.setattr(encoding, "encode", recorded)
    study = world.play(lambda s: s.complete)
    state = genesis(frame().spec)
    for view, sent in zip(study.finalised, (plain[:4], plain[4:]), strict=True):
        step = frame().step(view)
        decoded = encoding.decode(np.sum(sent, axis=0), step.segments, 4)
        state = finalise(frame().spec, step, state, Sums({step.segments[0].name: decoded.vectors[0]}, decoded.weight))
        assert world.tools[0].fetcher.model_bytes(view) == state.to_bytes()
    assert len(plain) == 8 and decoded.weight == 20 + 25 + 30 + 35


def test_c4_after_a_crash_before_the_commitment_the_same_update_is_committed(world: InProcess) -> None:
    commit_prepared(world, 2)
    record = world.tools[2].memory.require(kinds.UPDATE, world.ledger.round(1))
    world.recorder(2).refuse["commit"] = ChainUnreachable("killed here")
    with pytest.raises(ChainUnreachable):
        world.step(2)
    assert not world.ledger.calls("commit", PEOPLE[2])
    world.restart(2)
    study = world.play(reached(1, Phase.REVEALED))
    reveal = study.rounds[1].reveals[2]
    expected = commitment_hash(
        CHAIN, CONTRACT, 1, PEOPLE[2], *(bytes.fromhex(record[k]) if k != "cid" else record[k] for k in ("root", "cid", "proof", "salt"))
    )
    assert study.rounds[1].commitments[PEOPLE[2]] == expected
    assert (reveal.update_root.hex(), reveal.cid, reveal.salt.hex()) == (record["root"], record["cid"], record["salt"])


def test_c4_a_commitment_that_was_sent_before_the_crash_is_not_sent_twice(world: InProcess) -> None:
    world.play(reached(1, Phase.COMMITTED))
    perform(world.restart(2), world.ledger.study(), act.Commit(1))
    assert len(world.ledger.calls("commit", PEOPLE[2])) == 1


def test_p2_a_blob_that_the_ipfs_node_lost_is_there_again_at_the_reveal(world: InProcess) -> None:
    world.play(reached(1, Phase.COMMITTED))
    cid = world.tools[2].memory.require(kinds.UPDATE, world.ledger.round(1))["cid"]
    assert not any(store.blobs for store in map(world.store, range(4))), "before the reveals nothing has left a node"
    world.recorder(2).refuse["reveal"] = ChainUnreachable("killed here")
    with pytest.raises(ChainUnreachable):
        perform(world.tools[2], world.ledger.study(), act.Reveal(1))
    del world.store(2).blobs[cid]
    perform(world.restart(2), world.ledger.study(), act.Reveal(1))
    assert cid in world.store(2).blobs


def test_p5_after_a_crash_the_same_share_is_released_and_computed_once(world: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    world.play(reached(1, Phase.AGGREGATED))
    while not isinstance(world.next_action(2), act.ReleaseShare):
        assert world.step(2)
    world.recorder(2).refuse["release_share"] = ChainUnreachable("killed here")
    with pytest.raises(ChainUnreachable):
        world.step(2)
    journalled = world.tools[2].memory.require(kinds.SHARE, world.ledger.round(1))
    world.restart(2)
    monkeypatch.setattr(sums, "_make_share", None)
    world.step(2)
    [(_, _, share_root, cid, _)] = world.ledger.calls("release_share", PEOPLE[2])
    assert (share_root.hex(), cid) == (journalled["root"], journalled["cid"])


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("released", [False, True], ids=["journalled only", "released"])
def test_p5_a_second_release_for_another_aggregate_is_refused_and_nothing_leaves(world: InProcess, released: bool, restarted: bool) -> None:
    world.play(reached(1, Phase.AGGREGATED))
    while not isinstance(world.next_action(2), act.ReleaseShare):
        assert world.step(2)
    if not released:
        world.recorder(2).refuse["release_share"] = ChainUnreachable("killed here")
        with pytest.raises(ChainUnreachable):
            world.step(2)
    else:
        world.step(2)
    tools = world.restart(2) if restarted else world.tools[2]
    view = world.ledger.round(1)
    tools.memory.put(kinds.AGGREGATE, view, {**tools.memory.require(kinds.AGGREGATE, view), "root": "ab" * 32})
    tools.memory.journal.delete(key_of(kinds.SHARE, view))
    sent, blobs = list(world.ledger.sent), dict(world.store(2).blobs)
    perform(tools, world.ledger.study(), act.ReleaseShare(1))
    assert world.ledger.sent == sent and world.store(2).blobs == blobs
    assert "made its one release for another aggregate" in str(world.notes[-1]["message"])
    assert not isinstance(world.next_action(2), act.ReleaseShare), "and is not tried again"


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum's three ciphertexts are enough for three parts."""
    monkeypatch.setattr(parts, "LEAST", 1)
    assert frame().ciphertexts(RoundView(1, 1, 0, 0, "")) == 3


@pytest.mark.usefixtures("in_parts")
def test_p6_the_openers_combine_a_part_each_and_all_check_them(world: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    combined = []
    combine = threshold.combine

    def counted(key: Any, ciphertexts: Any, *rest: Any) -> Any:
        combined.append(len(ciphertexts))
        return combine(key, ciphertexts, *rest)

    monkeypatch.setattr(threshold, "combine", counted)
    view = world.play(reached(1, Phase.FINALISED), who=(2, 3, 0, 1)).rounds[1]
    first = [share.holder for share in view.shares]
    assert {post.sender for post in view.parts} == set(first) and len({post.root for post in view.parts}) == 3
    assert [post.sender for post in view.openings] == first[:1], "one posts the whole"
    assert combined == [1, 1, 1], "nothing is combined twice"
    assert world.tools[1].fetcher.opening(view, view.openings[0], sums.own_aggregate(world.tools[1], view))


@pytest.mark.usefixtures("in_parts")
def test_p6_a_part_that_was_combined_before_a_crash_is_posted_and_not_combined_again(
    world: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = PEOPLE.index(world.play(reached(1, Phase.DECRYPTED)).rounds[1].shares[1].holder)
    world.recorder(index).refuse["post_opening_part"] = ChainUnreachable("killed here")
    with pytest.raises(ChainUnreachable):
        world.step(index)
    journalled = world.tools[index].memory.require(kinds.PART, world.ledger.round(1))
    world.restart(index)
    monkeypatch.setattr(sums, "combine_shares", None)
    world.step(index)
    assert world.ledger.calls("post_opening_part", PEOPLE[index]) == [(1, bytes.fromhex(journalled["root"]), journalled["cid"])]


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("wrong", ["w", "m", "nothing there"])
def test_p6_a_wrong_part_is_refused_by_name_and_the_sum_is_opened_without_it(world: InProcess, wrong: str) -> None:
    view = world.play(reached(1, Phase.DECRYPTED)).rounds[1]
    first, cheat, third = (PEOPLE.index(share.holder) for share in view.shares)
    world.step(third)
    tools = world.tools[cheat]
    span = sums.parts_of(tools, world.ledger.study(), view)[PEOPLE[cheat]]
    true = sums.combine_shares(tools, view, span)
    assert true is not None
    false = [replace(o, w=o.w * o.w % frame().key.n) if wrong == "w" else replace(o, m=o.m + 1) for o in true]
    blob = wire.encode_opening(frame().part_header(view, PEOPLE[cheat], span), false)
    cid = tools.store.add(blob)
    if wrong == "nothing there":
        del world.store(cheat).blobs[cid]
    world.recorder(cheat).post_opening_part("false", 1, roots.opening_root(false, frame().key.public_key, span.start), cid)
    while not isinstance(world.next_action(first), act.AssembleParts):
        assert world.step(first)
    if wrong == "nothing there":
        with pytest.raises(BlobUnavailable):
            world.step(first)
        world.waited = 59.0  # everyone has had its turn
    final = world.play(reached(1, Phase.FINALISED)).rounds[1]
    refused = [note for note in world.notes if "part of the opening refused" in note.get("message", "")]
    assert all(note["peer"] == PEOPLE[cheat] for note in refused) and bool(refused) == (wrong != "nothing there")
    assert world.tools[0].fetcher.opening(final, final.openings[0], sums.own_aggregate(world.tools[0], final))


@pytest.mark.usefixtures("in_parts")
def test_p6_a_sum_that_does_not_decode_is_put_together_once(world: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def oversized(*_: Any) -> Any:
        raise InvalidInput("a slot is outside")

    view = world.play(reached(1, Phase.DECRYPTED)).rounds[1]
    openers = [PEOPLE.index(share.holder) for share in view.shares]
    for index in openers:
        assert world.step(index)
    monkeypatch.setattr(models, "next_model", oversized)
    for index in range(4):
        assert isinstance(world.next_action(index), act.AssembleParts)
        world.step(index)
        assert world.next_action(index) is None, "the round runs into its deadline"
    assert not world.ledger.round(1).openings


@pytest.mark.usefixtures("in_parts")
def test_p7_a_part_that_never_comes_costs_a_turn(world: InProcess) -> None:
    view = world.play(reached(1, Phase.DECRYPTED)).rounds[1]
    dead = PEOPLE.index(view.shares[0].holder)
    alive = tuple(i for i in range(4) if i != dead)
    for index in alive:
        while world.step(index):
            pass
    assert {post.sender for post in world.ledger.round(1).parts} == {s.holder for s in view.shares[1:]}
    assert not world.ledger.round(1).openings
    world.waited = 15.0
    final = world.play(reached(1, Phase.FINALISED), who=alive).rounds[1]
    assert [post.sender for post in final.openings] == [view.shares[1].holder]


def wrongly(world: InProcess, index: int, position: int) -> tuple[bytes, str]:
    """Post, for the organisation, the product with one factor wrong at this position; its blob says so."""
    key, view = world.study.key.public_key, world.ledger.round(1)
    summed = [list(update) for update in updates.load_updates(world.tools[index], view, view.frozen_reveals())]
    summed[position - 1][0] = summed[position - 1][0] * 2 % key.n_squared
    product, root = roots.product_and_root(summed, key)
    cid = world.store(index).add(wire.encode_aggregate(world.study.header(wire.BlobKind.AGGREGATE, view), product))
    world.recorder(index).post_aggregate("wrong", 1, root, cid)
    return root, cid


@pytest.mark.parametrize("position", [1, 3])
def test_p4_whoever_posts_a_wrong_product_is_named_and_the_round_goes_on(world: InProcess, position: int) -> None:
    world.play(reached(1, Phase.FROZEN))
    root, cid = wrongly(world, 2, position)
    world.waited = 15.0
    final = world.play(reached(1, Phase.FINALISED), who=(0, 1, 3)).rounds[1]
    ((sender, (number, shown_root, shown)),) = [(who, args) for who, name, args in world.ledger.sent if name == "show_wrong_product"]
    assert (number, shown_root, shown.ciphertext) == (1, root, 0)
    assert [(post.sender, post.cid) for post in final.wrongly_posted] == [(PEOPLE[2], cid)]
    assert [(wrong.prover, wrong.position) for wrong in final.wrong] == [(sender, position)]
    assert final.aggregate_root(QUORUM) != root


def test_p4_a_wrong_product_that_t_holders_open_is_shown_and_ends_the_study(world: InProcess) -> None:
    world.play(reached(1, Phase.FROZEN))
    root, _ = wrongly(world, 2, 2)
    for holder in (0, 1, 2):
        world.recorder(holder).release_share("colluding", 1, root, bytes([1 + holder]) * 32, "nothing", bytes(32))
    while world.step(3) and not world.ledger.round(1).phase.ended:
        pass
    view = world.ledger.round(1)
    assert (view.phase, [post.sender for post in view.wrongly_posted]) == (Phase.VOIDED, [PEOPLE[2]])
    assert isinstance(world.next_action(3), act.Halt)


@pytest.mark.parametrize("blob", ["nothing", "junk", "another's"])
def test_p4_a_wrong_product_that_nobody_can_know_is_looked_at_once(world: InProcess, blob: str) -> None:
    world.play(reached(1, Phase.FROZEN))
    view, store = world.ledger.round(1), world.store(2)
    right = sums.own_aggregate(world.tools[2], view)
    blobs = {"junk": b"junk", "another's": wire.encode_aggregate(world.study.header(wire.BlobKind.AGGREGATE, view), right)}
    cid = store.add(blobs[blob]) if blob in blobs else "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    world.recorder(2).post_aggregate("wrong", 1, bytes([7]) * 32, cid)
    world.waited = 15.0
    world.play(reached(1, Phase.FINALISED), who=(0, 1, 3))
    assert not world.ledger.calls("show_wrong_product")
    told = [note for note in world.notes if "another product" in str(note.get("message"))]
    assert told and {note["peer"] for note in told} == {PEOPLE[2]}
    assert len(told) <= 3


def test_p6_a_wrong_share_is_disputed_by_name_and_the_others_open_the_sum(world: InProcess) -> None:
    honest = world.tools[2].share
    assert honest is not None
    world.play(reached(1, Phase.AGGREGATED))
    world.tools[2].share = KeyShare(honest.index, honest.value + 1)
    study = world.play(reached(1, Phase.DECRYPTED), who=(1, 2, 3))
    assert {s.holder for s in study.rounds[1].shares} == set(PEOPLE[1:])
    final = world.play(reached(1, Phase.FINALISED), who=(0, 1, 3)).rounds[1]
    disputes = world.ledger.calls("dispute_share")
    assert disputes and all(holder == PEOPLE[2] and reason.startswith("BadShare") for _, holder, reason in disputes)
    assert {s.holder for s in final.shares} == set(PEOPLE), "the fourth holder stepped in"


def test_p6_a_false_dispute_does_not_make_a_node_drop_an_honest_share(world: InProcess) -> None:
    study = world.play(reached(1, Phase.DECRYPTED), who=(1, 2, 3, 0))
    view = study.rounds[1]
    accused = view.shares[0].holder
    liar = next(p for p in range(4) if PEOPLE[p] != accused)
    world.recorder(liar).dispute_share("lie", 1, accused, "BadShare: a lie")
    openings = sums.combine_shares(world.tools[1], world.ledger.round(1))
    assert openings is not None and len(view.shares) == 3
    assert world.ledger.calls("dispute_share") == [(1, accused, "BadShare: a lie")]


@pytest.mark.parametrize("delivered", [True, False], ids=["good", "not delivered"])
def test_p6_an_accused_share_is_looked_at_once_and_not_refused_for_it(world: InProcess, delivered: bool) -> None:
    view = world.play(reached(1, Phase.DECRYPTED)).rounds[1]
    accused = view.shares[0]
    looking, liar = (p for p in range(4) if PEOPLE[p] not in {share.holder for share in view.shares[:2]})
    world.recorder(liar).dispute_share("lie", 1, accused.holder, "BadShare: a lie")
    if not delivered:
        del world.store(PEOPLE.index(accused.holder)).blobs[accused.cid]
    facts = replace(facts_of(world.tools[looking], world.ledger.study()), shares_tried=4)
    role = Role(PEOPLE[looking], looking, looking + 1, QUORUM)
    assert decide(role, world.ledger.study(), facts, Clock(NOW, 0.0)) == act.CheckShare(1, accused.holder)
    perform(world.tools[looking], world.ledger.study(), act.CheckShare(1, accused.holder))
    facts = replace(facts_of(world.restart(looking), world.ledger.study()), shares_tried=4)
    assert (facts.weighed, facts.refused) == ({accused.holder}, set())
    assert decide(role, world.ledger.study(), facts, Clock(NOW, 0.0)) is None, "it neither looks again nor releases what nobody needs"


def test_p6_a_wrong_share_is_refused_by_whoever_looks_and_disputed_once(world: InProcess) -> None:
    view = world.play(reached(1, Phase.DECRYPTED)).rounds[1]
    accused, looking = view.shares[0], next(p for p in range(4) if PEOPLE[p] != view.shares[0].holder)
    wrong = world.store(PEOPLE.index(accused.holder)).add(b"no share")
    world.ledger.events = [
        replace(event, cid=wrong) if isinstance(event, ev.ShareReleased) and event.holder == accused.holder else event
        for event in world.ledger.events
    ]
    for _ in range(2):  # the second time after a restart that lost what it found
        perform(world.tools[looking], world.ledger.study(), act.CheckShare(1, accused.holder))
        assert facts_of(world.tools[looking], world.ledger.study()).refused == {accused.holder}
        world.tools[looking].memory.journal.delete(key_of(kinds.REFUSED_SHARES, world.ledger.round(1)))
    assert len(world.ledger.calls("dispute_share", PEOPLE[looking])) == 1


def test_p1_one_that_was_away_three_times_asks_trains_and_is_in_the_sum(tmp_path: Path) -> None:
    away = 2
    with closing(InProcess(tmp_path, frame_of({"rounds": 4, "preprocessing": None}), waited=15.0)) as world:
        others = tuple(p for p in range(4) if p != away)
        for number in (1, 2, 3):
            world.play(lambda study, n=number: n in study.rounds and len(study.rounds[n].commitments) == 3, who=others)
            world.ledger.enter(number, Phase.COMMITTED)  # by its deadline
            world.play(reached(number, Phase.FINALISED), who=others)
        study = world.play(lambda study: study.complete)
    assert study.rounds[4].absent == BitSet() and study.rounds[4].returned == BitSet.of(away) and away in study.rounds[4].frozen
    assert [function for who, function, _ in world.ledger.sent if who == PEOPLE[away]][:2] == ["come_back", "commit"]


def test_p6_a_finalised_model_that_is_not_the_own_one_stops_the_node(world: InProcess) -> None:
    world.play(reached(1, Phase.FINALISED))
    attestor = PEOPLE.index(world.ledger.round(1).attestations[0].holder)
    tools = world.tools[attestor]
    view = world.ledger.round(1)
    tools.memory.put(kinds.MODEL, view, {**tools.memory.require(kinds.MODEL, view), "hash": "ab" * 32})
    with pytest.raises(InternalFault, match="finalised with model"):
        perform(tools, world.ledger.study(), act.AdoptModel(1))
    assert tools.memory.journal.get("round/1/adopted") is None


def test_p3_an_update_that_never_arrives_is_left_out_with_the_reason(world: InProcess) -> None:
    study = world.play(reached(1, Phase.REVEALED))
    del world.store(3).blobs[study.rounds[1].reveals[3].cid]
    perform(world.tools[0], study, act.CheckUpdates(1))
    assert updates.checked(world.tools[0], study.rounds[1]) == (BitSet.of(0, 1, 2), BitSet())
    updates.attest_set(world.tools[0], study.rounds[1], BitSet.of(0, 1, 2), NO_ONE)
    assert world.ledger.round(1).reasons[PEOPLE[0]] == "3:unavailable"


def test_p3_other_bytes_in_a_blobs_place_do_not_make_its_update_a_bad_one(world: InProcess) -> None:
    study = world.play(reached(1, Phase.REVEALED))
    cid = study.rounds[1].reveals[3].cid
    true = world.store(3).blobs[cid]
    world.store(3).blobs[cid] = true[:-1]
    perform(world.tools[0], study, act.CheckUpdates(1))
    assert updates.checked(world.tools[0], study.rounds[1]) == (BitSet.of(0, 1, 2), NO_ONE)
    for index in (0, 3):
        world.store(index).blobs[cid] = true
    perform(world.tools[0], study, act.CheckUpdates(1))
    assert updates.checked(world.tools[0], study.rounds[1]) == (BitSet.of(0, 1, 2, 3), NO_ONE)


def test_p6_other_bytes_in_a_shares_place_accuse_nobody(world: InProcess) -> None:
    view = world.play(reached(1, Phase.DECRYPTED)).rounds[1]
    holder = view.shares[0]
    other = next(i for i in range(4) if PEOPLE[i] != holder.holder)
    store = world.store(PEOPLE.index(holder.holder))
    store.blobs[holder.cid] = store.blobs[holder.cid][:-1]
    with pytest.raises(CidMismatch):
        sums.combine_shares(world.tools[other], view)
    assert not world.ledger.calls("dispute_share")


def test_p3_a_false_update_is_rejected_for_good_and_named_in_the_attestation(world: InProcess) -> None:
    study = world.play(reached(1, Phase.REVEALED))
    reveal = study.rounds[1].reveals[3]
    number = len(world.ledger.events)
    for at, event in enumerate(world.ledger.events[:number]):
        if isinstance(event, ev.UpdateRevealed) and event.participant == PEOPLE[3]:
            bad = world.store(3).add(world.store(3).blobs[reveal.cid][:-1])
            world.ledger.events[at] = ev.UpdateRevealed(
                1, PEOPLE[3], 4, reveal.update_root, bad, reveal.proof_hash, reveal.salt, meta=event.meta
            )
    final = world.play(reached(1, Phase.FINALISED), who=(0, 1, 2)).rounds[1]
    assert final.frozen.positions() == (0, 1, 2)
    assert {final.reasons[PEOPLE[i]] for i in range(3)} == {"3:MalformedBlob"}


def with_proof(world: InProcess, position: int, proof: bytes, told: bytes | None = None) -> None:
    """The revealed update with another proof, whose hash (or what is `told` instead) was committed to."""
    view = world.ledger.round(1)
    reveal, key, frame_ = view.reveals[position], world.study.key.public_key, world.study
    header = frame_.header(wire.BlobKind.UPDATE, view, reveal.participant)
    ciphertexts = wire.decode_update(world.store(position).blobs[reveal.cid], header, key).ciphertexts
    blob = wire.encode_update(replace(header, proof_bytes=len(proof)), ciphertexts, proof)
    for at, event in enumerate(world.ledger.events):
        if isinstance(event, ev.UpdateRevealed) and event.participant == reveal.participant:
            cid = world.store(position).add(blob)
            world.ledger.events[at] = replace(event, cid=cid, proof_hash=told or keccak256(proof))


@pytest.mark.parametrize("tampered", ["all of it", "one bit"])
def test_p3_a_proof_that_does_not_hold_leaves_its_sender_out_by_name_and_nobody_else(proving: InProcess, tampered: str) -> None:
    study = proving.play(reached(1, Phase.REVEALED))
    reveal = study.rounds[1].reveals[3]
    proof = bytearray(proving.store(3).blobs[reveal.cid][-proving.study.proof_bytes(study.rounds[1]) :])
    proof[len(proof) // 2] ^= 1
    with_proof(proving, 3, os.urandom(len(proof)) if tampered == "all of it" else bytes(proof))
    final = proving.play(reached(1, Phase.FINALISED), who=(0, 1, 2)).rounds[1]
    assert final.frozen.positions() == (0, 1, 2)
    assert {final.reasons[PEOPLE[i]] for i in range(3)} == {"3:BadProof"}
    assert [final.refused[PEOPLE[i]] for i in range(3)] == [BitSet.of(3)] * 3
    assert any(note.get("peer") == PEOPLE[3] and "update refused" in note["message"] for note in proving.notes if note["status"] == "note")


def test_p3_another_proof_than_was_committed_to_is_refused_before_it_is_checked(
    proving: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    proving.play(reached(1, Phase.REVEALED))
    with_proof(proving, 3, bytes(proving.study.proof_bytes(proving.ledger.round(1))), told=b"\x07" * 32)
    given = count_proofs(monkeypatch)
    final = proving.play(reached(1, Phase.FINALISED), who=(0, 1, 2)).rounds[1]
    assert {final.reasons[PEOPLE[i]] for i in range(3)} == {"3:BlobMismatch"}
    assert PEOPLE[3] not in {statement.sender for statement in given}


def count_proofs(monkeypatch: pytest.MonkeyPatch) -> list[Statement]:
    """The statements whose proofs are checked from now on, in any node."""
    given: list[Statement] = []
    verify_all = contribution.verify_all

    def counted(statements: Sequence[Statement], *rest: Any) -> Any:
        given.extend(statements)
        return verify_all(statements, *rest)

    monkeypatch.setattr(contribution, "verify_all", counted)
    return given


def test_p3_a_node_checks_a_proof_once_a_round_and_not_again_after_a_restart(proving: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    given = count_proofs(monkeypatch)
    proving.play(reached(1, Phase.FROZEN))
    assert len(given) == QUORUM * 4, "those who attested checked all, their own too"
    for index in range(4):
        proving.restart(index)
    proving.play(reached(1, Phase.FINALISED))
    assert len(given) == 4 * 4, "the fourth did so before it multiplied"


def test_p5_no_share_is_released_for_a_sum_with_a_contribution_that_is_not_proven(proving: InProcess) -> None:
    """Even if t holders froze a set with it: whoever did not check it before checks it before the product is computed."""
    view = proving.play(reached(1, Phase.FROZEN)).rounds[1]
    with_proof(proving, 3, bytes(proving.study.proof_bytes(view)))
    fresh = proving.restart(1)
    with pytest.raises(BadProof) as caught:
        perform(fresh, proving.ledger.study(), act.ComputeAggregate(1))
    assert caught.value.peer == PEOPLE[3] and fresh.memory.get(kinds.AGGREGATE, proving.ledger.round(1)) is None


def test_c1_what_was_found_of_a_proof_says_nothing_of_the_round_from_another_parent(proving: InProcess) -> None:
    """A reorganisation gives the round another parent model, and somebody brings the update again that was proven for the first."""
    view = proving.play(reached(1, Phase.FROZEN)).rounds[1]
    tools = proving.tools[PEOPLE.index(next(iter(view.attested)))]
    other = replace(view, parent=7, parent_hash=b"\x07" * 32)
    assert updates.checked(tools, view)[0] == BitSet.of(0, 1, 2, 3) and updates.checked(tools, other)[0] is None
    assert updates.load_updates(tools, view, view.frozen_reveals())
    with pytest.raises(BadProof):
        updates.load_updates(tools, other, other.frozen_reveals())
    updates.check_updates(tools, other)
    assert updates.checked(tools, other) == (NO_ONE, BitSet.of(0, 1, 2, 3))
    assert updates.checked(tools, view)[0] == BitSet.of(0, 1, 2, 3)


def refuse_to_prove(monkeypatch: pytest.MonkeyPatch, times: int) -> list[tuple[Statement, Witness]]:
    """What is to be proven from now on, of which the first `times` are refused as outside of their rules."""
    asked: list[tuple[Statement, Witness]] = []
    prove = contribution.prove

    def unlucky(statement: Statement, witness: Witness, *rest: Any) -> bytes:
        asked.append((statement, witness))
        if len(asked) <= times:
            raise OutsideRule("the sums over its rows are too long")
        return prove(statement, witness, *rest)

    monkeypatch.setattr(contribution, "prove", unlucky)
    return asked


def test_p3_a_vector_that_cannot_be_proven_by_bad_luck_goes_a_little_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = InProcess(tmp_path, frame_of(PROVEN | {"preprocessing": None}))
    try:
        asked = refuse_to_prove(monkeypatch, times=2)
        study = world.play(reached(1, Phase.REVEALED))
        first, second, third = (np.concatenate(witness.values)[1:].astype(float) for _, witness in asked[:3])
        sizes = [float(np.linalg.norm(values)) for values in (first, second, third)]
        assert sizes[1] / sizes[0] == pytest.approx(0.98, rel=1e-6) and sizes[2] / sizes[1] == pytest.approx(0.98, rel=1e-6)
        used = [c for statement, _ in asked[:3] for c in statement.ciphertexts] + [r for _, witness in asked[:3] for r in witness.exponents]
        assert len(set(used)) == len(used), "every attempt has obfuscators of its own"
        sender = asked[0][0].sender
        reveal = next(r for r in study.rounds[1].reveals.values() if r.participant == sender)
        assert reveal.update_root == roots.update_root(asked[2][0].ciphertexts, world.study.key.public_key)
        final = world.play(reached(1, Phase.FINALISED)).rounds[1]
        assert len(final.frozen) == 4
    finally:
        world.close()


def test_p3_numbers_that_can_never_be_proven_are_not_sent_and_the_reason_is_said(
    proving: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove = contribution.prove

    def prove_all_but_one(statement: Statement, *rest: Any) -> bytes:
        if statement.sender == PEOPLE[2]:
            raise OutsideRule("a count is below 0")
        return prove(statement, *rest)

    monkeypatch.setattr(contribution, "prove", prove_all_but_one)
    study = proving.play(reached(1, Phase.OPEN), who=(0, 1, 2))
    study = proving.play(lambda s: len(s.rounds[1].commitments) == 3)
    assert PEOPLE[2] not in study.rounds[1].commitments
    tools = proving.tools[2]
    assert tools.memory.get(kinds.UPDATE_BLOB, study.rounds[1]) is None
    said = [n["message"] for n in proving.notes if n.get("event") == "node.trouble"]
    assert said == ["sits round 1 out: no proof could be made of the update in 8 attempts: a count is below 0"]


def test_a_study_without_proofs_goes_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = count_proofs(monkeypatch)
    world = InProcess(tmp_path, frame_of({"proofs": "none", "preprocessing": None}))
    try:
        final = world.play(reached(1, Phase.FINALISED)).rounds[1]
        assert {reveal.proof_hash for reveal in final.reveals.values()} == {NO_PROOF} and given == []
        checks = list(verify_round(world.tools[0].fetcher, world.ledger.study(), final, PEOPLE))
        assert "proofs" not in [check.name for check in checks] and all(check.ok for check in checks)
    finally:
        world.close()


def test_p7_a_site_whose_training_is_not_finite_says_so_and_sits_the_round_out(world: InProcess) -> None:
    """Its update is neither kept nor committed; the others commit theirs."""
    healthy = world.tools[0].dataset
    assert healthy is not None
    world.tools[0].dataset = Dataset(healthy.x, np.full_like(healthy.y, np.nan))
    world.play(lambda study: len(study.rounds) == 1 and len(study.rounds[1].commitments) == 4)
    study = world.play(reached(1, Phase.FINALISED))
    study = world.play(lambda s: 2 in s.rounds and len(s.rounds[2].commitments) == 3)
    assert set(study.rounds[2].commitments) == set(PEOPLE[1:])
    tools = world.tools[0]
    assert world.step(0)
    assert tools.memory.get(kinds.UPDATE, study.rounds[2]) is None
    assert world.next_action(0) is None
    said = [n["message"] for n in world.notes if n.get("round") == 2 and n["status"] == "note"]
    assert any("sits round 2 out: local training diverged" in message and "not finite" in message for message in said), said


def test_p3_updates_are_fetched_side_by_side(world: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is delivered only once the last was: one after the other, the first would never come."""
    view = world.play(reached(1, Phase.REVEALED)).rounds[1]
    store, last_came = world.store(1), threading.Event()
    first, last = view.reveals[0].cid, view.reveals[3].cid
    get = store.get

    def delayed(cid: str, max_bytes: int, timeout: float, sources: Sequence[str]) -> bytes:
        if cid == first and not last_came.wait(5):
            raise BlobUnavailable("the last never came")
        raw = get(cid, max_bytes, timeout, sources)
        if cid == last:
            last_came.set()
        return raw

    monkeypatch.setattr(store, "get", delayed)
    perform(world.tools[1], world.ledger.study(), act.CheckUpdates(1))
    assert updates.checked(world.tools[1], view) == (BitSet.of(0, 1, 2, 3), BitSet())


def test_c1_what_is_kept_of_a_round_counts_for_what_it_rests_on_alone(world: InProcess) -> None:
    """A reorganisation gives the round's number another parent, a position another update, the sum another set."""
    view = world.play(reached(1, Phase.DECRYPTED)).rounds[1]
    index = PEOPLE.index(view.shares[0].holder)
    tools, study = world.tools[index], world.ledger.study()
    for parts_of_it, other in (
        (("update", "aggregate"), replace(view, parent=7)),
        (("update", "aggregate"), replace(view, parent_hash=b"\x07" * 32)),
        (("update", "aggregate"), replace(view, step=1)),
        (("aggregate",), with_reveal(view, 2, cid="another")),
        (("aggregate",), with_reveal(view, 2, update_root=b"\x07" * 32)),
        (("aggregate",), replace(view, frozen=BitSet.of(0, 1, 2))),
    ):
        for kind in (kinds.UPDATE, kinds.AGGREGATE):
            kept = tools.memory.get(kind, other)
            assert (kept is None) == (kind.name in parts_of_it) and tools.memory.get(kind, view) is not None
        assert tools.memory.get(kinds.RELEASE, other) is not None, "one release a round, whatever the chain says"
        changed = replace(study, rounds={1: other})
        facts = facts_of(tools, changed)
        assert facts.aggregate is None and facts.prepared == ("update" not in parts_of_it)
    assert updates.checked(tools, with_reveal(view, 2, cid="another"))[0] is None, "it has to be looked at"


def test_c1_other_posts_in_the_place_of_those_looked_at_are_looked_at(world: InProcess) -> None:
    view = world.play(reached(1, Phase.DECRYPTED)).rounds[1]
    kept = seen(view.shares)
    assert seen_in(kept, view.shares) == seen_in(kept, (*view.shares, view.shares[0])) == len(view.shares)
    assert seen_in(kept, view.shares[:-1]) == seen_in(kept, view.shares[::-1]) == seen_in(None, view.shares) == 0
