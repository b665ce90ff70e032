"""The frame itself: what it asks of an attack, and that an arena without one runs as a study does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from defedbio.domain import Phase
from tests.adversary.arena import Arena, reached
from tests.adversary.faults import faulty_rpc, reorganise
from tests.adversary.frame import Attack
from tests.anvil import Anvil


def test_an_attack_that_leaves_a_part_out_fails() -> None:
    attack = Attack()
    attack.by("a member with a share")
    with attack.sends("nothing at all"):
        pass
    with pytest.raises(AssertionError, match="seen, works, unlearnt"):
        attack.check_whole()


def test_an_attack_says_a_sentence_of_each_part() -> None:
    with pytest.raises(AssertionError, match="sentence"):
        Attack().by("someone")


def test_a_study_without_attackers_ends_and_verifies(arena: Arena) -> None:
    study = arena.play(lambda study: study.complete)
    (view,) = study.finalised
    assert len(view.frozen) == 4
    assert all(check.ok for check in arena.verify(view.id))
    arena.check_opened()


def test_holders_outside_the_study_hold_shares(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena(organisations=3, holders=0, quorum=2, outside=3)
    assert [member.holder for member in arena.members] == [None] * 3 + [1, 2, 3]
    assert arena.play(reached(1, Phase.REVEALED)).latest is not None


def test_an_rpc_that_lies_and_heals(anvil: Anvil) -> None:
    with faulty_rpc(anvil) as faulty:
        through = Anvil(faulty.url, anvil.process)
        true = through.rpc("eth_chainId")
        faulty.lie = lambda method, answer: {**answer, "result": "0x7"} if method == "eth_chainId" else answer
        assert through.rpc("eth_chainId") == "0x7"
        faulty.heal()
        assert through.rpc("eth_chainId") == true == hex(31337)


@pytest.mark.parametrize("depth", [1, *(pytest.param(depth, marks=pytest.mark.long) for depth in (2, 3, 4)), 5])
def test_a_reorganisation_replaces_the_newest_blocks(arena: Arena, depth: int) -> None:
    arena.anvil.mine(6)
    client = arena.members[0].client
    newest = client.head().number
    before = [client.block(number) for number in range(newest - 5, newest + 1)]
    reorganise(arena.anvil, depth)
    after = [client.block(number) for number in range(newest - 5, newest + 1)]
    assert client.head().number == newest
    assert [x == y for x, y in zip(before, after, strict=True)] == [True] * (6 - depth) + [False] * depth
