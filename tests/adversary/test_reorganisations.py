"""Blocks that a node has acted on are replaced by others: by bad luck of the chain, or by whoever makes its blocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from defedbio.chain.bindings.round_manager import RoundManager, commitment_hash
from defedbio.domain import BitSet, Phase
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.frame import NO_PROOF
from defedbio.protocol.view import Share, StudyView
from tests.adversary.arena import Arena, Member, reached
from tests.adversary.faults import DEEPEST, reorganise
from tests.adversary.frame import Attack

MakeArena = Callable[..., Arena]
PHASES = (Phase.OPEN, Phase.COMMITTED, Phase.REVEALED, Phase.FROZEN, Phase.AGGREGATED, Phase.DECRYPTED, Phase.FINALISED)


class Witness:
    """Every share that was on the chain at any time, however short: who saw a block keeps what was in it."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, str], set[Share]] = {}

    def look(self, study: StudyView) -> None:
        for view in study.rounds.values():
            for share in view.shares:
                self.seen.setdefault((view.id, share.holder), set()).add(share)


def height(arena: Arena) -> int:
    return arena.members[0].client.head().number


@pytest.mark.parametrize("depth", [1, *(pytest.param(depth, marks=pytest.mark.long) for depth in (2, 3, 4)), 5])
def test_every_phase_is_entered_and_taken_back(attack: Attack, arena: Arena, depth: int) -> None:
    attack.by("whoever makes the chain's blocks, or nobody: bad luck is enough")
    witness, lost = Witness(), []
    arena.anvil.mine(DEEPEST)  # enrolments stand: their reorganisation is their senders' to mend

    def watched(until: Callable[[StudyView], bool]) -> Callable[[StudyView], bool]:
        def look(study: StudyView) -> bool:
            witness.look(study)
            return until(study)

        return look

    with attack.sends("other blocks in place of the newest ones as soon as each phase is entered, without their transactions"):
        for phase in PHASES:
            arena.play(watched(reached(1, phase)))
            before = len(arena.events())
            reorganise(arena.anvil, depth)
            lost.append(before - len(arena.events()))
        assert all(lost), "each took something back"
    with attack.works("the round finalises with all four and can be verified"):
        arena.play(watched(lambda study: study.complete))
        number = arena.view().finalised[0].id
        assert len(arena.round(number).frozen) == 4
        assert all(check.ok for check in arena.verify(number))
    with attack.seen("by every node, which sends what was lost again"):
        assert all(any(member.node.turn() for _ in range(20)) for member in arena.members), "each finishes by itself"
    with attack.unlearnt("a second share of any holder, nor the same one with another proof"):
        assert len(witness.seen) >= 3 and all(len(shares) == 1 for shares in witness.seen.values())
        arena.check_opened()


def test_the_set_changes_after_a_release(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(holders=3, quorum=2)
    attack.by("an enrolled participant without a share, with whoever makes the chain's blocks")
    witness, cheat = Witness(), arena.members[3]
    honest = arena.members[:3]
    arena.play(reached(1, Phase.COMMITTED))
    arena.play(lambda study: len(study.rounds[1].reveals) == 3, who=honest)
    start = height(arena)
    with attack.sends("its reveal, until a holder has released; then blocks in which it never revealed"):
        assert arena.step(cheat) and len(arena.round(1).reveals) == 4
        while not arena.round(1).shares:
            assert any(arena.step(member) for member in honest), "somebody has something to do"
        witness.look(arena.view())
        (released,) = arena.round(1).shares
        reorganise(arena.anvil, height(arena) - start)
        assert len(arena.round(1).reveals) == 3
    with attack.seen("by the holder that had released: it says so once, and sits the rest of the round's releases out"):
        (holder,) = [member for member in honest if member.address == released.holder]
        arena.play(reached(1, Phase.AGGREGATED), who=honest)
        while arena.step(holder):
            pass
        assert holder.messages().count("made its one release for another aggregate") == 1
        assert not arena.round(1).shares
    with attack.works("the round finalises with the other three, opened by the holders that had released nothing"):
        arena.play(lambda study: bool(witness.look(study)) or study.complete, who=honest)
        view = arena.view().finalised[0]
        assert view.frozen == BitSet.of(0, 1, 2)
        assert all(check.ok for check in arena.verify(view.id))
    with attack.unlearnt("the difference of two sums: no holder's share of a second one was ever on the chain"):
        assert len(witness.seen) == 3 and all(len(shares) == 1 for shares in witness.seen.values())
        assert witness.seen[1, released.holder] == {released} and released.holder not in {share.holder for share in view.shares}


def test_another_update_at_the_same_position(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(changes={"rounds": 2})
    attack.by("an enrolled participant with a share, with whoever makes the chain's blocks")
    cheat, honest = arena.members[3], arena.members[:3]
    arena.play(lambda study: 1 in study.rounds and len(study.rounds[1].commitments) == 3, who=arena.members)
    assert cheat.address not in arena.round(1).commitments
    start = height(arena)
    with attack.sends("a good update until everyone has checked it; then blocks in which it committed to nothing that exists"):
        while cheat.address not in arena.round(1).commitments:
            assert arena.step(cheat)
        arena.play(reached(1, Phase.REVEALED))
        for member in honest:
            assert arena.step(member)
            assert len(member.tools.updates) == 4, "all are good so far"
        reorganise(arena.anvil, height(arena) - start)
        commit_and_reveal_junk(arena, cheat, honest)
    with attack.seen("by every honest node, which looks again: what it found of the first says nothing of the second"):
        arena.play(reached(1, Phase.FROZEN), who=honest)
        assert arena.round(1).frozen == BitSet.of(0, 1, 2)
        assert all("update refused" in member.messages() for member in honest)
    with attack.works("the round finalises with the three honest ones and can be verified"):
        arena.play(lambda study: bool(study.finalised), who=honest)
        assert all(check.ok for check in arena.verify(1))
    with attack.unlearnt("anything but the one sum"):
        arena.check_opened()


def commit_and_reveal_junk(arena: Arena, cheat: Member, honest: list[Member]) -> None:
    root, cid, salt = b"\x07" * 32, cheat.store.add(b"no update"), b"\x01" * 32
    commitment = commitment_hash(arena.frame.chain_id, arena.frame.contract, 1, cheat.address, root, cid, NO_PROOF, salt)
    arena.send(cheat, RoundManager.commit("junk", 1, commitment))
    arena.play(reached(1, Phase.COMMITTED), who=honest)
    arena.send(cheat, RoundManager.reveal("junk", 1, root, cid, NO_PROOF, salt))
    arena.play(reached(1, Phase.REVEALED), who=honest)


def test_a_root_that_someone_else_reveals_first(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=5, changes={"rounds": 2})
    attack.by("a member that orders transactions, and has a study or a place in this one whose commitments are still open")
    victim, *others, cheat = arena.members
    with attack.sends("the victim's update root as its own, in a block before the victim's reveal"):
        arena.play(reached(1, Phase.OPEN))
        while victim.address not in arena.round(1).commitments:
            assert arena.step(victim)
        record = victim.tools.memory.require(kinds.UPDATE, arena.round(1))
        root, salt = bytes.fromhex(record["root"]), b"\x01" * 32
        commitment = commitment_hash(arena.frame.chain_id, arena.frame.contract, 1, cheat.address, root, record["cid"], NO_PROOF, salt)
        arena.send(cheat, RoundManager.commit("copy", 1, commitment))
        arena.play(reached(1, Phase.COMMITTED), who=others)
        arena.send(cheat, RoundManager.reveal("copy", 1, root, record["cid"], NO_PROOF, salt))
    with attack.seen("by the victim's node, which says so once and sits the reveal out"):
        for _ in range(20):
            assert victim.node.turn() is False
        assert victim.messages().count("RoundManagerRootReused") == 1
    with attack.works("the round finalises with the others, and the next one with the victim"):
        arena.play(lambda study: study.complete, who=[victim, *others])
        first, second = arena.view().finalised
        assert first.frozen == BitSet.of(1, 2, 3) and 0 in second.frozen
        assert all(check.ok for check in arena.verify(second.id))
    with attack.unlearnt("the victim's update: no sum has it under another's name"):
        assert all(0 not in view.frozen and 4 not in view.frozen for view in (first,))
        arena.check_opened()
