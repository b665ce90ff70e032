"""Wrong products of the frozen set: whoever posts one with its blob is named on the chain, and no model rests on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.chain.records import Transaction
from defedbio.client.rounds import record_of
from defedbio.crypto import merkle, roots, wire, wrong_product
from defedbio.crypto.merkle import keccak256
from defedbio.domain import Phase
from defedbio.errors import InvalidInput, StudyHalted
from defedbio.ipfs.cid import cid_of
from defedbio.protocol.effects import products, updates
from defedbio.protocol.view import RoundView
from tests.adversary.arena import Arena, Member, reached
from tests.adversary.frame import Attack

MakeArena = Callable[..., Arena]
NOTHING = cid_of(b"a blob that nobody has")
JUNK = keccak256(b"junk")


def without(arena: Arena, cheat: Member, position: int) -> bytes:
    """Post, with its blob, a product that goes on without the update at this position in the set's order (from 1); its root."""
    view, key = arena.round(1), arena.frame.key.public_key
    summed = updates.load_updates(cheat.tools, view, view.frozen_reveals())
    left = [[1] * len(update) if at == position else update for at, update in enumerate(summed, 1)]
    product, root = roots.product_and_root(left, key)
    cid = cheat.store.add(wire.encode_aggregate(arena.frame.header(wire.BlobKind.AGGREGATE, view), product))
    arena.send(cheat, RoundManager.post_aggregate("wrong", 1, root, cid))
    return root


def test_a_product_without_one_of_the_updates(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(holders=3, quorum=2)
    *honest, cheat = arena.members
    attack.by("an enrolled participant that holds no share of the key")
    arena.play(reached(1, Phase.FROZEN))
    with attack.sends("a product that goes on without one of the updates, with its blob, before anyone else posts"):
        root = without(arena, cheat, 3)
    with attack.seen("by an honest node, which shows the wrong step to the contract: that names the poster"):
        view = arena.play(lambda study: bool(study.rounds[1].wrong), honest).rounds[1]
        assert [(post.sender, post.root) for post in view.wrongly_posted] == [(cheat.address, root)]
        assert (view.wrong[0].ciphertext, view.wrong[0].position) == (0, 3)
    with attack.works("the round, which finalises with the sum of all four and verifies, its wrong post named"):
        arena.play(reached(1, Phase.FINALISED), honest)
        checks = arena.verify(1)
        assert [part.participant for part in record_of(arena.view(), arena.round(1)).participants if part.wrong_product] == [cheat.address]
        assert all(check.ok for check in checks) and any(cheat.address in check.detail for check in checks)
    with attack.unlearnt("anything beyond the one sum: no holder released a share for the other product"):
        arena.check_opened()


def test_a_wrong_product_that_t_key_holders_release_their_shares_for(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=5, holders=4, quorum=3)
    cheats, honest = arena.members[:3], arena.members[3:]
    attack.by("three of four key holders, which are enough to open whatever they like")
    arena.play(reached(1, Phase.FROZEN))
    with attack.sends("a product without one of the updates, with its blob, and their three shares of it"):
        root = without(arena, cheats[0], 2)
        for cheat in cheats:
            arena.send(cheat, RoundManager.release_share("for it", 1, root, keccak256(cheat.address.encode()), NOTHING, JUNK))
        assert arena.round(1).phase == Phase.DECRYPTED
    with attack.seen("by the honest holder, which shows the wrong step: the poster is named and the round is void"):
        view = arena.play(lambda study: study.rounds[1].phase.ended, honest).rounds[1]
        assert view.phase == Phase.VOIDED
        assert [post.sender for post in view.wrongly_posted] == [cheats[0].address]
        with pytest.raises(InvalidInput, match=cheats[0].address):
            arena.verify(1)
    with attack.works("the consent of the honest: their nodes end the study, and load no model of it"):
        for member in honest:
            with pytest.raises(StudyHalted, match="3 key holders released shares of a product in round 1"):
                arena.play(lambda study: len(study.rounds) > 1, [member])
        assert arena.view().head is None
    with attack.unlearnt("anything through the honest holder, which released no share for the wrong product"):
        assert {share.holder for share in arena.round(1).shares} == {cheat.address for cheat in cheats}


def claims(arena: Arena, view: RoundView, summed: list[list[int]], position: int) -> list[Transaction]:
    """That the right product is wrong at a position: its own values there, and those of another tree."""
    member, key, right = arena.members[0], arena.frame.key.public_key, view.aggregates[0].root
    own = wrong_product._at(key, summed, summed, merkle.Tree(roots.product_and_leaves(summed, key)[1]), 0, position)
    other = [[c * 2 % key.n_squared for c in update] if at == position else update for at, update in enumerate(summed, 1)]
    product, root = roots.product_and_root(other, key)
    foreign = wrong_product.find(summed, product, root, key)
    assert foreign is not None
    return [RoundManager.show_wrong_product("lie", 1, right, products._shown(member.tools, view, step)) for step in (own, foreign)]


def test_a_right_product_that_is_called_wrong(attack: Attack, arena: Arena) -> None:
    *honest, cheat = arena.members
    attack.by("a key holder that has every update, as all of them have")
    view = arena.play(reached(1, Phase.DECRYPTED)).rounds[1]
    summed = updates.load_updates(cheat.tools, view, view.frozen_reveals())
    with attack.sends("each step of the product that everyone computed, as if it were wrong, and steps of another tree"):
        each = [claims(arena, view, summed, position) for position in range(1, len(summed) + 1)]
        taken = {tuple(arena.refusal(cheat, claim) for claim in pair) for pair in each}
    with attack.seen("by the contract, which does each multiplication again and follows every value's path"):
        assert taken == {("RoundManagerProductHolds", "RoundManagerNotInTree")}
    with attack.works("the round, which finalises and verifies, and nobody is named for anything"):
        final = arena.play(reached(1, Phase.FINALISED), honest).rounds[1]
        assert not final.wrong and all(check.ok for check in arena.verify(1))
    with attack.unlearnt("anything beyond the one sum"):
        arena.check_opened()
