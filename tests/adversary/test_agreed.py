"""Attacks on what was agreed: the study's spec and the transcript of its key."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.ceremony.dealer import confirm
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.client.studies import Studies
from defedbio.config import Home
from defedbio.crypto import ceremony, numbers
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.proofs import factors
from defedbio.domain import KeyEpochStatus, Phase
from defedbio.errors import BadTranscript
from defedbio.ipfs.cid import cid_of
from defedbio.network.acceptance import accept
from defedbio.network.shares import write_share
from defedbio.nodes.organisation import LoopOptions
from defedbio.nodes.participation import assemble
from tests.adversary.arena import CHAIN_ID, Arena, Member, reached
from tests.adversary.frame import Attack
from tests.agents.crypto.dishonest import SMALL, deal, proof_of
from tests.ipfs.memory_store import MemoryStore

PASSWORD = "correct horse"


def joined(arena: Arena, member: Member, home: Home) -> None:
    """What `study join` does at this member, on its own chain client and node."""

    @contextmanager
    def signing() -> Iterator[Any]:
        yield arena.reader(member)

    session: Any = SimpleNamespace(home=home, network=arena.network, signing=signing)
    enrolled = Studies(session).join(arena.study, accept=True)
    assert enrolled is not None and enrolled.position == member.position + 1


def started(arena: Arena, member: Member, home: Home) -> None:
    """What the start of its node does at a key holder that takes no part."""
    network, epoch = arena.network, arena.frame.spec.key_epoch
    reader = arena.reader(member)
    accept(home.study(network.chain_id, network.contracts["RoundManager"], arena.study), arena.study, reader.spec(arena.study)[0].spec_hash)
    share = member.tools.share
    assert share is not None
    write_share(home.share(network.chain_id, network.contracts["KeyRegistry"], epoch), share, epoch, PASSWORD)
    assemble(reader, home, arena.study, None, PASSWORD, member.journal, LoopOptions())


def test_a_coordinator_takes_the_spec_away(attack: Attack, make_arena: Callable[..., Arena], tmp_path: Path) -> None:
    arena = make_arena(holders=3, quorum=3, outside=1)
    coordinator, *others = arena.members
    attack.by("the coordinator of the study, who also dealt its key")
    for member in others:
        home = Home(tmp_path / f"home {member.position}")
        if member.position < arena.organisations:
            joined(arena, member, home)
        else:
            started(arena, member, home)
    with attack.sends("nothing any more: its node is gone once the others have enrolled, and they collect what they did not pin"):
        coordinator.store.running = False
        for member in others:
            member.store.collect_garbage()
    opened = arena.reader(others[0]).studies.opening_of(arena.study)
    with attack.seen("by every other participant and holder, who pinned spec and transcript when it joined or started"):
        proposal = arena.reader(others[0]).keys.proposal_of(opened.key_epoch)
        for member in others:
            assert member.store.is_pinned(opened.spec_cid) and member.store.is_pinned(proposal.transcript_cid)
    for kept in others[:1] + others[-1:]:
        for member in others:
            member.store.running = member is kept
        newcomer = Member(9, coordinator.address, MemoryStore(arena.memory, f"auditor {kept.position}"), None)
        newcomer.client = coordinator.client
        with attack.works("an auditor reads both from whichever of them is left, and so does a participant that starts again"):
            assert arena.reader(newcomer).frame(arena.study) == arena.frame
            assert arena.reader(kept).frame(arena.study) == arena.frame
    with attack.unlearnt("anything but what was agreed: no update or share is published to make up for it"):
        assert not arena.view().rounds


def test_a_dealer_that_hides_a_small_factor(attack: Attack, arena: Arena, tmp_path: Path) -> None:
    cheat, *holders = arena.members
    attack.by("a member that deals a key, and tells another a factor of 40 bits by which to prove what is wrong")
    factor, rest = SMALL, (1 << 2203) - 1
    n = factor * rest
    honest, most = proof_of(n, factor, rest), 1 << factors.answer_bits(n.bit_length())
    key, shares = deal(factor, rest, proof=replace(honest, answer_q=honest.answer_q % most))
    parties = [ceremony.Holder(m.address, arena.reader(m).registry.profile_of(m.address).transport_key) for m in holders]
    transcript = ceremony.publish(key, shares, parties, CHAIN_ID, arena.network.contracts["KeyRegistry"], os.urandom)
    former = json.loads(transcript.to_bytes()) | {"format": "defedbio-ceremony/1"}
    del former["factors"], former["square_roots"]
    with attack.sends("the key with a forged proof that no factor is small, and without one in the format of before"):
        proposed = []
        for raw in (transcript.to_bytes(), json.dumps(former, sort_keys=True, separators=(",", ":")).encode()):
            modulus, addresses = numbers.to_bytes(n, key.public_key.modulus_bytes), [m.address for m in holders]
            proposal = KeyRegistry.propose("key", modulus, addresses, 2, keccak256(raw), cheat.store.add(raw))
            proposed.append(KeyRegistry(cheat.client).proposed_in(arena.send(cheat, proposal)))
    with attack.seen("by every holder, which rejects the key on chain with the reason and the dealer's name"):
        for epoch, reason in zip(
            proposed, ("the proof of the factors does not hold", "not of the format defedbio-ceremony/2"), strict=True
        ):
            with pytest.raises(BadTranscript, match=reason) as caught:
                confirm(arena.reader(holders[0]), epoch, bytes(32), tmp_path / "share", PASSWORD)
            assert caught.value.peer == cheat.address
            assert arena.reader(cheat).keys.epoch_of(epoch).status == KeyEpochStatus.REJECTED
    with attack.works("the key of before, under which the study goes on"):
        before, agreed = arena.reader(holders[0]).transcript(arena.frame.spec.key_epoch)
        assert before.status == KeyEpochStatus.ACTIVE and agreed.key == arena.frame.key
        arena.play(reached(1, Phase.COMMITTED))
    with attack.unlearnt("anything: no study opens under a key that one holder rejected, and nobody encrypts under it"):
        rules = arena.reader(cheat).studies.study_of(arena.study).rules
        for epoch in proposed:
            opening = StudyRegistry.open("study", epoch, keccak256(b"spec"), cid_of(b"spec"), rules)
            assert arena.refusal(cheat, opening) == "StudyRegistryKeyNotActive"
