"""Attacks on what was agreed: the study's spec and the transcript of its key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from defedbio.client.studies import Studies
from defedbio.config import Home
from defedbio.network.acceptance import accept
from defedbio.network.shares import write_share
from defedbio.nodes.organisation import LoopOptions
from defedbio.nodes.participation import assemble
from tests.adversary.arena import Arena, Member
from tests.adversary.frame import Attack
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
