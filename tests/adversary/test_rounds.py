"""Who posts first, and what if it lies: attacks on the posts of a round, and on whose updates are summed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import pytest

from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.round_manager import RoundManager, commitment_hash
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.records import Transaction
from defedbio.crypto import numbers, roots
from defedbio.crypto.merkle import keccak256
from defedbio.domain import NO_ONE, BitSet, KeyEpochStatus, Phase
from defedbio.errors import BlobMismatch, BlobUnavailable, InvalidSpec
from defedbio.ipfs.cid import cid_of
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.effects import sums
from defedbio.protocol.frame import NO_PROOF
from tests.adversary.arena import Arena, Member, reached
from tests.adversary.frame import Attack

MakeArena = Callable[..., Arena]
NOTHING = cid_of(b"a blob that nobody has")
JUNK = keccak256(b"junk")


def verified(arena: Arena, number: int = 1) -> bool:
    return all(check.ok for check in arena.verify(number))


def withhold(member: Member, cids: Collection[str]) -> Callable[[], None]:
    """Nobody delivers these blobs to this member's node until what is returned is called."""
    store, find = member.store, member.store._find

    def denied(cid: str, sources: Sequence[str]) -> bytes:
        if cid in cids:
            raise BlobUnavailable(f"no connected node delivered {cid} in time")
        return find(cid, sources)

    store._find = denied  # type: ignore[method-assign]

    def heal() -> None:
        store._find = find  # type: ignore[method-assign]
        member.tools.checked_at.clear()

    return heal


def past_half(arena: Arena) -> None:
    arena.skip(arena.seconds * 0.55)


def settle(arena: Arena, *members: Member) -> None:
    """Let these nodes do what they find to do now."""
    while any(arena.step(member) for member in members):
        pass


# -- the right root with the CID of nothing ----------------------------------------------------------------------------------------------


def test_the_right_root_of_the_opening_with_the_cid_of_nothing(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(holders=3, quorum=2)
    *honest, cheat = arena.members
    attack.by("an enrolled participant that holds no share of the key")
    arena.play(reached(1, Phase.DECRYPTED))
    with attack.sends("the right root of the opening with the CID of nothing, before anyone else posts it"):
        openings = sums.combine_shares(cheat.tools, arena.round(1))
        assert openings is not None
        root = roots.opening_root(openings, arena.frame.key.public_key)
        arena.send(cheat, RoundManager.post_opening("nothing", 1, root, NOTHING))
    with attack.seen("by every honest node as another post than its own, so that one of them posts root and CID again"):
        view = arena.play(reached(1, Phase.FINALISED), honest).rounds[1]
        assert [post.root for post in view.openings] == [root, root]
        assert view.openings[0].cid == NOTHING != view.openings[1].cid and view.openings[1].sender != cheat.address
    with attack.works("the round, which `defedbio verify` re-checks from the posted blob"):
        assert verified(arena) and "holds" in arena.verify(1)[-3].detail
    with attack.unlearnt("anything beyond the one sum: no holder released a second share"):
        arena.check_opened()


def test_the_right_root_of_the_product_with_the_cid_of_nothing(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(holders=3, quorum=2)
    *honest, cheat = arena.members
    attack.by("an enrolled participant that holds no share of the key")
    arena.play(reached(1, Phase.FROZEN))
    with attack.sends("the right root of the product with the CID of nothing, before anyone else posts it"):
        sums.compute_aggregate(cheat.tools, arena.round(1))
        root = bytes.fromhex(cheat.tools.memory.require(kinds.AGGREGATE, arena.round(1))["root"])
        arena.send(cheat, RoundManager.post_aggregate("nothing", 1, root, NOTHING))
    with attack.seen("by whoever comes next in turn as another post than its own, so that it posts root and CID again"):
        # The holders are slower than the turns: only one of them is there.
        settle(arena, honest[0])
        past_half(arena)
        settle(arena, honest[0])
        (again,) = [post for post in arena.round(1).aggregates if post.sender != cheat.address]
        assert again.root == root and again.cid != NOTHING
    with attack.works("the round, which finalises and verifies"):
        arena.play(reached(1, Phase.FINALISED), honest)
        assert verified(arena)
    with attack.unlearnt("anything beyond the one sum: every share is for the same product"):
        arena.check_opened()


def test_a_share_with_the_cid_of_nothing(attack: Attack, arena: Arena) -> None:
    *honest, cheat = arena.members
    attack.by("a key holder")
    arena.play(reached(1, Phase.AGGREGATED))
    with attack.sends("a share with the CID of nothing, among the first t of the round"):
        root = arena.round(1).aggregates[0].root
        arena.send(cheat, RoundManager.release_share("nothing", 1, root, JUNK, NOTHING, JUNK))
        view = arena.play(reached(1, Phase.DECRYPTED), honest[:2]).rounds[1]
    with attack.seen("by the holder that was not needed until then, which steps in with its share at half time"):
        assert honest[2].address not in {share.holder for share in view.shares}
        final = arena.play(reached(1, Phase.FINALISED), honest).rounds[1]
        assert honest[2].address in {share.holder for share in final.shares}
    with attack.works("the round, which three honest holders finalise, and which verifies"):
        assert verified(arena)
    with attack.unlearnt("anything beyond the one sum: the fourth share is of the same product"):
        arena.check_opened()
        assert {share.aggregate_root for share in final.shares} == {root}


def test_the_right_model_with_the_cid_of_nothing(attack: Attack, arena: Arena) -> None:
    *honest, cheat = arena.members
    attack.by("a key holder that is as quick as it likes")
    arena.play(lambda study: study.rounds.get(1) is not None and bool(study.rounds[1].attestations))
    with attack.sends("an attestation of the right opening and the right model with the CID of nothing"):
        said = arena.round(1).attestations[0]
        assert said.holder != cheat.address
        arena.send(cheat, RoundManager.attest_model("nothing", 1, said.opening_root, said.model_hash, NOTHING))
    with attack.seen("by the contract as another word than that of the honest, which does not add to it"):
        assert arena.round(1).phase == Phase.DECRYPTED
        final = arena.play(reached(1, Phase.FINALISED), honest).rounds[1]
        assert len(final.attestations) == 4
    with attack.works("the round: the chain names the CID of the model, and `defedbio verify` fetches it"):
        assert final.model_cid == said.cid and verified(arena)
    with attack.unlearnt("anything at all: the model is public"):
        arena.check_opened()


# -- whose updates are summed ------------------------------------------------------------------------------------------------------------


def test_a_set_of_the_attackers_and_one_victim(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=7, holders=5, quorum=3)
    members = arena.members
    alone, victim = members[0], members[5]
    cheats, honest = members[3:5], [*members[:3], *members[5:]]
    attack.by("two of five key holders, who take part themselves and keep the blobs of the others from one honest holder")
    arena.play(reached(1, Phase.REVEALED))
    with attack.sends("an attestation of the victim's update and their own two, and a refusal of all others"):
        heal = withhold(alone, {arena.round(1).reveals[p].cid for p in (1, 2, 6)})
        tiny, others = BitSet.of(3, 4, victim.position), BitSet.of(0, 1, 2, 6)
        for cheat in cheats:
            arena.send(cheat, RoundManager.attest_set("tiny", 1, tiny, others, "0:BadCiphertext"))
        settle(arena, alone)
        past_half(arena)
        settle(arena, alone)
    with attack.seen("by the holder that is cut off: it joins no set without its own update, and none below the study's share"):
        view = arena.round(1)
        assert view.phase == Phase.REVEALED
        assert view.attested[alone.address] == BitSet.of(0, 3, 4, 5)
        assert arena.refusal(alone, RoundManager.attest_set("t", 1, tiny, BitSet.of(3), "")) == "RoundManagerNotSubset"
        for cheat in cheats:
            arena.send(cheat, RoundManager.attest_set("small", 1, BitSet.of(0, 3, 4, 5), BitSet.of(1, 2, 6), ""))
        assert arena.round(1).phase == Phase.REVEALED, "t equal attestations of 4 of 7 freeze nothing"
    with attack.works("the round, once the blobs arrive, with every update in its sum"):
        heal()
        frozen = arena.play(reached(1, Phase.FROZEN), honest).rounds[1].frozen
        assert frozen == BitSet.of(*range(7))
        arena.play(reached(1, Phase.FINALISED), honest)
        assert verified(arena)
    with attack.unlearnt("the victim's update from a sum of which all but it is theirs: the one sum that was opened is of all"):
        arena.check_opened()


def test_updates_that_each_holder_is_denied_differently(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=7, holders=5, quorum=3)
    honest, cheats = arena.members[:3], arena.members[5:]
    attack.by("two participants who serve their updates to one key holder each, while two other holders say nothing")
    view = arena.play(reached(1, Phase.REVEALED)).rounds[1]
    with attack.sends("each its update to another one of three honest holders, so that no two of these found the same set good"):
        first, second = (view.reveals[cheat.position].cid for cheat in cheats)
        for member, denied in zip(honest, ({second}, {first}, {first, second}), strict=True):
            withhold(member, denied)
        settle(arena, *honest)
        assert arena.round(1).phase == Phase.REVEALED
    with attack.seen("by each of the three as updates that it lacks; past half time they meet in what all three found good"):
        frozen = arena.play(reached(1, Phase.FROZEN), honest).rounds[1].frozen
        assert frozen == BitSet.of(0, 1, 2, 3, 4)
    with attack.works("the round, with the five updates that were served: they are two thirds of seven"):
        arena.play(reached(1, Phase.FINALISED), [*honest, *arena.members[3:5]])
        assert verified(arena)
    with attack.unlearnt("any one update: the sum holds all five of those that were not held back"):
        arena.check_opened()


def test_updates_that_are_denied_to_everyone_until_too_few_are_left(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=7, holders=5, quorum=3)
    honest, cheats = arena.members[:4], arena.members[4:]
    attack.by("three of seven participants, one of them a key holder")
    view = arena.play(reached(1, Phase.REVEALED)).rounds[1]
    with attack.sends("nothing: after revealing they serve their updates to nobody"):
        cids = {view.reveals[cheat.position].cid for cheat in cheats}
        for member in honest:
            withhold(member, cids)
        settle(arena, *honest)
        past_half(arena)
        settle(arena, *honest)
    with attack.seen("by every holder as updates that it lacks, which it does not refuse: they may be good"):
        held = arena.round(1)
        assert {held.attested[m.address] for m in honest} == {BitSet.of(0, 1, 2, 3)}
        assert {held.refused[m.address] for m in honest} == {NO_ONE} and held.phase == Phase.REVEALED
    with attack.works("the study: this round is void and the next begins"):
        arena.play(lambda study: 2 in study.rounds, honest)
        assert arena.round(1).phase == Phase.VOIDED
    with attack.unlearnt("anything: who keeps updates away stops the round, and no smaller sum is opened"):
        assert not arena.round(1).shares


def test_updates_that_are_junk_on_purpose(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=7, holders=5, quorum=3)
    honest, cheats = arena.members[:4], arena.members[4:]
    attack.by("three of seven participants, who are more than a third")
    arena.play(reached(1, Phase.OPEN))
    with attack.sends("a commitment to junk, and its reveal"):
        junk = {cheat.position: (keccak256(cheat.address.encode()), cheat.store.add(cheat.address.encode())) for cheat in cheats}
        salt = bytes(32)
        for cheat in cheats:
            root, cid = junk[cheat.position]
            given = arena.frame.chain_id, arena.frame.contract, 1, cheat.address, root, cid, NO_PROOF, salt
            arena.send(cheat, RoundManager.commit("junk", 1, commitment_hash(*given)))
        arena.play(reached(1, Phase.COMMITTED), honest)
        for cheat in cheats:
            arena.send(cheat, RoundManager.reveal("junk", 1, *junk[cheat.position], NO_PROOF, salt))
    with attack.seen("by every honest holder, which refuses it on the chain: t refusals take it out of what a set is measured by"):
        frozen = arena.play(reached(1, Phase.FROZEN), honest).rounds[1]
        assert frozen.frozen == BitSet.of(0, 1, 2, 3)
        assert list(frozen.refused.values()) == [BitSet.of(4, 5, 6)] * 3
    with attack.works("the round, with the four good updates of seven"):
        arena.play(reached(1, Phase.FINALISED), honest)
        assert verified(arena)
    with attack.unlearnt("any one update: all the good ones are in the sum"):
        arena.check_opened()


def test_an_attestation_that_moves(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=7, holders=5, quorum=3)
    honest, cheat = arena.members[:2], arena.members[4]
    attack.by("a key holder that attests as often as it likes")
    arena.play(reached(1, Phase.REVEALED))
    five, four = BitSet.of(0, 1, 2, 3, 4), BitSet.of(0, 1, 2, 3)
    with attack.sends("one set after another, and refusals that it takes back, to be counted more than once"):
        for number, (chosen, refused) in enumerate(
            [(five, BitSet.of(5, 6)), (four, BitSet.of(4, 5, 6)), (four, BitSet.of(5)), (four, BitSet.of(5, 6))]
        ):
            arena.send(cheat, RoundManager.attest_set(f"{number}", 1, chosen, refused, ""))
        for member in honest:
            arena.send(member, RoundManager.attest_set("four", 1, four, NO_ONE, ""))
    with attack.seen("by the contract as one holder's word, the last one"):
        view = arena.round(1)
        assert (view.attested[cheat.address], view.refused[cheat.address]) == (four, BitSet.of(5, 6))
        assert view.phase == Phase.REVEALED, "three agree on 4 of 7, and one refuses"
    with attack.works("the round, which the honest freeze with every update of theirs"):
        others = [member for member in arena.members if member != cheat]
        frozen = arena.play(reached(1, Phase.FROZEN), others).rounds[1].frozen
        assert {member.position for member in others} <= set(frozen.positions())
        arena.play(reached(1, Phase.FINALISED), others)
        assert verified(arena)
    with attack.unlearnt("a smaller sum than that of all the honest"):
        arena.check_opened()


def test_a_holder_that_says_two_things_by_turns(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=7, holders=5, quorum=3)
    victim, cheat = arena.members[0], arena.members[4]
    honest = [member for member in arena.members if member != cheat]
    attack.by("a key holder, who keeps an update from one other of four")
    view = arena.play(reached(1, Phase.REVEALED)).rounds[1]
    heal = withhold(victim, {view.reveals[5].cid})
    six, five = BitSet.of(0, 1, 2, 3, 4, 6), BitSet.of(0, 1, 2, 3, 4)
    followed = []
    with attack.sends("one set and another by turns, past half of the phase, so that the other follows to where it was before"):
        settle(arena, victim)
        past_half(arena)
        for number, word in enumerate([five, six] * 2):
            arena.send(cheat, RoundManager.attest_set(f"{number}", 1, word, NO_ONE, ""))
            while len(followed) <= number and arena.step(victim):
                followed.append(arena.round(1).attested[victim.address])
    with attack.seen("by the other as often as it changes: what it says once more is a transaction of its own"):
        assert followed == [five, six] * 2
        assert not arena.step(victim), "it has said all that it wants to say"
    with attack.works("the round, with every update once the last one arrives"):
        heal()
        assert arena.play(reached(1, Phase.FROZEN), honest).rounds[1].frozen == BitSet.of(*range(7))
        arena.play(reached(1, Phase.FINALISED), honest)
        assert verified(arena)
    with attack.unlearnt("anything beyond the one sum"):
        arena.check_opened()


def test_an_early_word_against_a_slow_update(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=7, holders=5, quorum=3)
    honest, cheat, victim = arena.members[:4], arena.members[4], arena.members[5]
    attack.by("a key holder that is as quick as it likes")
    view = arena.play(reached(1, Phase.REVEALED)).rounds[1]
    heals = [withhold(member, {view.reveals[victim.position].cid}) for member in honest]
    with attack.sends("an attestation without the update of an organisation whose line is slow, before that arrives anywhere"):
        arena.send(cheat, RoundManager.attest_set("early", 1, BitSet.of(0, 1, 2, 3, 4, 6), NO_ONE, ""))
        settle(arena, *honest)
    with attack.seen("by the other holders, who wait and try again as they would without it"):
        assert list(arena.round(1).attested) == [cheat.address]
        for heal in heals:
            heal()
        frozen = arena.play(reached(1, Phase.FROZEN), honest).rounds[1].frozen
        assert frozen == BitSet.of(*range(7))
    with attack.works("the round, with every update"):
        arena.play(reached(1, Phase.FINALISED), honest)
        assert verified(arena)
    with attack.unlearnt("anything beyond the one sum"):
        arena.check_opened()


# -- duties that follow from what is missing ---------------------------------------------------------------------------------------------


def test_a_product_of_nothing_where_no_holder_takes_part(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=3, holders=0, quorum=2, outside=3)
    cheat = arena.participants[1]
    honest = [member for member in arena.members if member != cheat]
    attack.by("a participant of a study whose key holders do not take part")
    arena.play(reached(1, Phase.FROZEN))
    with attack.sends("a product of nothing, as the post that begins the phase of the shares"):
        arena.send(cheat, RoundManager.post_aggregate("junk", 1, JUNK, NOTHING))
    with attack.seen("by the participants as a product that is not theirs: the next in turn posts its own"):
        view = arena.play(reached(1, Phase.DECRYPTED), honest).rounds[1]
        assert len(view.aggregates) == 2 and {share.aggregate_root for share in view.shares} == {view.aggregates[1].root}
    with attack.works("the round, which finalises with the sum of all three"):
        final = arena.play(reached(1, Phase.FINALISED), honest).rounds[1]
        assert len(final.frozen) == 3 and verified(arena)
    with attack.unlearnt("anything: no holder released a share for the product of nothing"):
        arena.check_opened()


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_wrong_opening_of_whoever_should_post_it(attack: Attack, arena: Arena, which: str) -> None:
    view = arena.play(reached(1, Phase.DECRYPTED)).rounds[1]
    opener = view.shares[("first", "second").index(which)].holder
    (cheat,) = [member for member in arena.members if member.address == opener]
    honest = [member for member in arena.members if member != cheat]
    attack.by("the enrolled key holder whose turn it is to open the sum, or the next one")
    with attack.sends("a wrong opening, and then nothing"):
        arena.send(cheat, RoundManager.post_opening("junk", 1, JUNK, NOTHING))
    with attack.seen("by every other node, which combines the shares itself; one of them posts"):
        final = arena.play(reached(1, Phase.FINALISED), honest).rounds[1]
        assert len(final.openings) == 2 and final.openings[0].sender == cheat.address
    with attack.works("the round, which finalises and verifies"):
        assert verified(arena)
    with attack.unlearnt("anything beyond the one sum"):
        arena.check_opened()


def test_openings_that_nobody_delivers_one_after_another(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(organisations=7, holders=4, quorum=3)
    cheats = arena.members[4:]
    attack.by("three participants that hold no share of the key")
    view = arena.play(reached(1, Phase.DECRYPTED)).rounds[1]
    openers = [member for share in view.shares for member in arena.members if member.address == share.holder]
    junk = [cid_of(cheat.address.encode()) for cheat in cheats]
    looked_for: set[str] = set()

    def slowly(find: Callable[[str, Sequence[str]], bytes]) -> Callable[[str, Sequence[str]], bytes]:
        def found(cid: str, sources: Sequence[str]) -> bytes:
            if cid in junk and cid not in looked_for:
                looked_for.add(cid)
                arena.skip(arena.seconds * 0.4)  # all nodes wait for it at the same time
            return find(cid, sources)

        return found

    with attack.sends("an opening of nothing each, which every node waits for as long as it waits for any blob"):
        for cheat, cid in zip(cheats, junk, strict=True):
            arena.send(cheat, RoundManager.post_opening("junk", 1, keccak256(cid.encode()), cid))
        for member in openers:
            member.node.clock(member.node.refresh())  # each sees at once that the phase has begun
            member.store._find = slowly(member.store._find)  # type: ignore[method-assign]
    with attack.seen("by the nodes whose turn it is, which look at one of them and then combine the shares themselves"):
        final = arena.play(lambda study: study.rounds[1].phase.ended, openers).rounds[1]
        assert len(looked_for) == 1
    with attack.works("the round, which finalises in time and verifies"):
        assert final.phase == Phase.FINALISED and verified(arena)
    with attack.unlearnt("anything beyond the one sum"):
        arena.check_opened()


def test_a_model_of_its_own_attested_first(attack: Attack, arena: Arena) -> None:
    *honest, cheat = arena.members
    attack.by("a key holder that posts an opening of its own and attests to a model of its own")
    arena.play(reached(1, Phase.DECRYPTED))
    with attack.sends("both, before anyone else posts or attests"):
        arena.send(cheat, RoundManager.post_opening("junk", 1, JUNK, NOTHING))
        arena.send(cheat, RoundManager.attest_model("junk", 1, JUNK, JUNK, NOTHING))
    with attack.seen("by the contract as one word of the three that a model needs"):
        final = arena.play(reached(1, Phase.FINALISED), honest).rounds[1]
        assert final.model_hash != JUNK
    with attack.works("the round, which the other three finalise"):
        assert verified(arena)
    with attack.unlearnt("anything beyond the one sum"):
        arena.check_opened()


def test_steps_out_of_turn(attack: Attack, arena: Arena) -> None:
    cheat, victim = arena.members[0], arena.members[1]
    attack.by("an enrolled participant that acts before it is time, and with what is another's")
    with attack.sends("another round beside the running one, an early end of a phase, and the reveal of what another committed to"):
        arena.play(reached(1, Phase.OPEN))
        refused = [
            arena.refusal(cheat, RoundManager.open_round("beside", arena.study)),
            arena.refusal(cheat, RoundManager.advance("early", 1)),
        ]
        arena.play(reached(1, Phase.COMMITTED))
        arena.play(lambda study: victim.position in study.rounds[1].reveals, [victim])
        theirs = arena.round(1).reveals[victim.position]
        copied = RoundManager.reveal("copy", 1, theirs.update_root, theirs.cid, theirs.proof_hash, theirs.salt)
        refused.append(arena.refusal(cheat, copied))
    with attack.seen("by the contract, which refuses each by name"):
        assert refused == ["RoundManagerRoundRunning", "RoundManagerNotDue", "RoundManagerCommitmentMismatch"]
    with attack.works("the round, in which the attacker's own node then does its part"):
        arena.play(reached(1, Phase.FINALISED))
        assert verified(arena) and len(arena.round(1).frozen) == 4
    with attack.unlearnt("anything beyond the one sum"):
        arena.check_opened()


def test_a_key_proposed_first_with_the_transcript_of_nothing(attack: Attack, arena: Arena) -> None:
    cheat, holder = arena.members[3], arena.members[0]
    reader = arena.reader(holder)
    before = reader.keys.epoch_of(arena.frame.spec.key_epoch)
    attack.by("a member that proposes keys")
    with attack.sends("a key with the CID of nothing, and one whose CID holds the transcript of another key"):
        modulus = numbers.to_bytes(arena.frame.key.n, arena.frame.key.public_key.modulus_bytes)
        cid = reader.keys.proposal_of(before.epoch).transcript_cid
        proposed = [
            KeyRegistry(cheat.client).proposed_in(arena.send(cheat, KeyRegistry.propose("junk", modulus, before.holders, 3, JUNK, given)))
            for given in (NOTHING, cid)
        ]
    with attack.seen("by every holder, which confirms no share of a key without the transcript of the chain's hash"):
        with pytest.raises(BlobUnavailable):
            reader.transcript(proposed[0])
        with pytest.raises(BlobMismatch) as caught:
            reader.transcript(proposed[1])
        assert caught.value.peer == cheat.address
    with attack.works("the key of before, and the studies under it"):
        assert [reader.keys.epoch_of(number).status for number in (before.epoch, *proposed)] == [
            KeyEpochStatus.ACTIVE,
            KeyEpochStatus.PROPOSED,
            KeyEpochStatus.PROPOSED,
        ]
        arena.play(reached(1, Phase.FINALISED))
        assert verified(arena)
    with attack.unlearnt("anything: nothing is encrypted under a key that a holder did not confirm"):
        rules = reader.studies.study_of(arena.study).rules
        opening = StudyRegistry.open("junk", proposed[1], JUNK, NOTHING, rules)
        assert arena.refusal(cheat, opening) == "StudyRegistryKeyNotActive"


def test_a_study_whose_rules_are_not_those_of_its_spec(attack: Attack, arena: Arena) -> None:
    cheat, reader = arena.members[3], arena.reader(arena.members[0])
    attack.by("a coordinator that wants a smaller sum than the operators agreed to")
    agreed = reader.studies.study_of(arena.study)
    opened = reader.studies.opening_of(arena.study)

    def opening(**changes: int) -> Transaction:
        return StudyRegistry.open(f"{changes}", agreed.key_epoch, agreed.spec_hash, opened.spec_cid, replace(agreed.rules, **changes))

    with attack.sends("the agreed spec with rules by which half of the updates are enough, and then a few more than half"):
        half = arena.refusal(cheat, opening(least_share=5_000))
        study = StudyRegistry(cheat.client).opened_in(arena.send(cheat, opening(least_share=5_001)))
    with attack.seen("by the contract, and by every node that is to join: the rules on the chain are not the spec's"):
        assert half == "StudyRegistryInvalidRule"
        with pytest.raises(InvalidSpec, match="are not its spec's"):
            reader.spec(study)
    with attack.works("the study of before"):
        assert reader.spec(arena.study)[1].least_share == 6_666
        arena.play(reached(1, Phase.FINALISED))
        assert verified(arena)
    with attack.unlearnt("anything: nobody's node takes part"):
        assert not arena.reader(cheat).study_view(study).participants
