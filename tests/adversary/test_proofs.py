"""Attacks by what is inside of a contribution: another's numbers, numbers beyond the study's bounds, and proofs of none of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from defedbio.chain.bindings.round_manager import RoundManager, commitment_hash
from defedbio.crypto import numbers, paillier, roots, wire
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.proofs import contribution
from defedbio.crypto.proofs.statement import Int64, Statement, Witness
from defedbio.domain import BitSet, Phase
from defedbio.errors import OutsideRule
from defedbio.protocol.effects import sums, updates
from defedbio.protocol.frame import NO_PROOF
from defedbio.protocol.view import Reveal, RoundView
from tests.adversary.arena import Arena, Member, reached
from tests.adversary.frame import Attack
from tests.adversary.test_rounds import verified
from tests.agents.protocol.in_process import PROVEN, table

MakeArena = Callable[..., Arena]
SALT = bytes(32)
CHEATS = BitSet.of(4, 5, 6)


@dataclass(frozen=True)
class Sent:
    """What an attacker sends by hand. `told` is the hash that it commits to, if not that of its proof."""

    ciphertexts: list[int]
    proof: bytes
    told: bytes = b""


def by_hand(arena: Arena, number: int, sent: Mapping[int, Sent], honest: list[Member]) -> None:
    """Let these members, by position, commit to and reveal what they send in a round that takes commitments, beside the honest nodes."""
    frame, view, key = arena.frame, arena.round(number), arena.frame.key.public_key
    given: dict[int, tuple[bytes, str, bytes, bytes]] = {}
    for position, what in sent.items():
        member = arena.members[position]
        header = replace(frame.header(wire.BlobKind.UPDATE, view, member.address), proof_bytes=len(what.proof))
        cid = member.store.add(wire.encode_update(header, what.ciphertexts, what.proof))
        hash_ = what.told or (keccak256(what.proof) if what.proof else NO_PROOF)
        given[position] = roots.update_root(what.ciphertexts, key), cid, hash_, SALT
        commitment = commitment_hash(frame.chain_id, frame.contract, number, member.address, *given[position])
        arena.send(member, RoundManager.commit("by hand", number, commitment))
    arena.play(reached(number, Phase.COMMITTED), honest)
    for position, (root, cid, hash_, salt) in given.items():
        arena.send(arena.members[position], RoundManager.reveal("by hand", number, root, cid, hash_, salt))


def reasons(view: RoundView, honest: list[Member]) -> set[str]:
    """What the honest holders that attested said of those they left out."""
    return {view.reasons[member.address] for member in honest if member.address in view.attested}


def opened_sum(arena: Arena, number: int) -> list[int]:
    """What everybody can read once a round was opened: the plaintexts of its sum."""
    view, frame = arena.round(number), arena.frame
    post = next(post for post in view.openings if post.root == view.opening_root)
    raw = arena.members[0].store.get(post.cid, 1 << 20, 1.0)
    return [o.m for o in wire.decode_opening(raw, frame.header(wire.BlobKind.OPENING, view), frame.key.public_key)]


def weight_in(arena: Arena, number: int) -> int:
    """The total weight that an opened sum tells."""
    return int(arena.frame.layout(arena.round(number)).unpack(opened_sum(arena, number), arena.frame.key.n)[0])


def rows_of(*members: Member) -> int:
    return sum(len(member.tools.dataset) for member in members if member.tools.dataset is not None)


def update_of(arena: Arena, view: RoundView, position: int) -> wire.UpdatePayload:
    """What anybody can fetch of a revealed contribution."""
    return arena.reader(arena.members[6 if len(arena.members) > 6 else 3]).fetcher(arena.frame).update(view, view.reveals[position])


def encrypted(arena: Arena, view: RoundView, values: Int64) -> paillier.Encrypted:
    key = arena.frame.key.public_key
    pool = paillier.ObfuscatorPool(key, os.urandom, table())
    return paillier.encrypt_to_prove(key, arena.frame.layout(view).pack(values, key.n), pool)


def allowed(arena: Arena, view: RoundView) -> Int64:
    """A contribution that obeys the study's rules: one row, and zeros."""
    values = np.zeros(arena.frame.layout(view).length, dtype=np.int64)
    values[0] = 1
    return values


def proven(arena: Arena, view: RoundView, member: Member, values: Int64, own: paillier.Encrypted) -> bytes:
    """What the product's prover makes when it is told that these values are in the ciphertexts."""
    statement = arena.frame.statement(view, member.address, own.ciphertexts)
    return contribution.prove(statement, Witness(tuple(arena.frame.layout(view).split(values)), own.exponents), os.urandom)


def rerandomised(arena: Arena, ciphertexts: list[int], power: int = 1) -> list[int]:
    """The same plaintexts times `power`, under other randomness."""
    key = arena.frame.key.public_key
    fresh = paillier.encrypt(key, [0] * len(ciphertexts), paillier.ObfuscatorPool(key, os.urandom, table()))
    return [numbers.powmod(c, power, key.n_squared) * r % key.n_squared for c, r in zip(ciphertexts, fresh, strict=True)]


def proof_of_other_plaintexts(arena: Arena, view: RoundView, member: Member, ciphertexts: list[int]) -> bytes:
    """What the prover makes if it is told that other numbers are in these ciphertexts, numbers that obey the study's rules."""
    values = allowed(arena, view)
    own = paillier.Encrypted(ciphertexts, encrypted(arena, view, values).exponents)
    return proven(arena, view, member, values, own)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Statement]:
    """The statements whose proofs are looked at from now on, in any node."""
    looked_at: list[Statement] = []
    verify_all = contribution.verify_all

    def counting(statements: Any, *rest: Any) -> Any:
        looked_at.extend(statements)
        return verify_all(statements, *rest)

    monkeypatch.setattr(contribution, "verify_all", counting)
    return looked_at


@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.long) for turn in (1, 2, 3))])
def test_a_victims_ciphertexts_of_an_earlier_round_changed_and_sent_as_ones_own(attack: Attack, make_arena: MakeArena, turn: int) -> None:
    arena = make_arena(organisations=7, holders=5, quorum=3, changes=PROVEN | {"rounds": 2})
    honest, victim = arena.members[:4], arena.members[1]
    attack.by("three enrolled participants, one of them a key holder, that read the ciphertexts of an earlier round on IPFS")
    first = arena.play(reached(1, Phase.FINALISED)).rounds[1]
    theirs, others = update_of(arena, first, victim.position), update_of(arena, first, 2)
    view = arena.play(reached(2, Phase.OPEN), honest).rounds[2]
    key, size = arena.frame.key.public_key, arena.frame.proof_bytes(view)
    with attack.sends(
        "the victim's ciphertexts raised to 2^256 and re-randomised, so that its numbers would stand above all others in the opened sum; "
        "re-randomised where they are; and multiplied with another's: each with the victim's proof, with one that was made for other "
        "numbers, with random bytes and with none"
    ):
        copies = (
            rerandomised(arena, theirs.ciphertexts, 1 << 256),
            rerandomised(arena, theirs.ciphertexts),
            numbers.column_products([theirs.ciphertexts, others.ciphertexts], key.n, squared=True),
        )
        sent = {}
        for place, (cheat, copy) in enumerate(zip(arena.members[4:], copies, strict=True)):
            proofs = (theirs.proof, proof_of_other_plaintexts(arena, view, cheat, copy), os.urandom(size), b"")
            sent[cheat.position] = Sent(copy, proofs[(place + turn) % 4])
        by_hand(arena, 2, sent, honest)
    with attack.seen("by every honest holder before it attests: each attacker is left out and named, with the reason, on the chain"):
        frozen = arena.play(reached(2, Phase.FROZEN), honest).rounds[2]
        why = ";".join(f"{position}:{'BadProof' if what.proof else 'MalformedBlob'}" for position, what in sorted(sent.items()))
        assert reasons(frozen, honest) == {why}
        assert {frozen.refused[member.address] for member in honest if member.address in frozen.refused} == {CHEATS}
    with attack.works("the round, with the updates of all the honest"):
        final = arena.play(reached(2, Phase.FINALISED), honest).rounds[2]
        assert final.frozen == BitSet.of(0, 1, 2, 3) and verified(arena, 2)
    with attack.unlearnt("any number of the victim's: what is opened is the honest sum and nothing above it"):
        arena.check_opened()
        assert weight_in(arena, 2) == rows_of(*honest)
        assert all(min(m, key.n - m) >> 256 == 0 for m in opened_sum(arena, 2))


def test_what_a_study_without_proofs_risks(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(changes={"rounds": 2, "proofs": "none"})
    *honest, cheat = arena.members
    victim = honest[1]
    attack.by("an enrolled participant of a study whose spec asks for no proofs")
    first = arena.play(reached(1, Phase.FINALISED)).rounds[1]
    arena.play(reached(2, Phase.OPEN), honest)
    key = arena.frame.key
    with attack.sends("the victim's ciphertexts of the round before, raised to 2^256 and re-randomised, as its own update"):
        theirs = update_of(arena, first, victim.position)
        assert theirs.proof == b""
        by_hand(arena, 2, {cheat.position: Sent(rerandomised(arena, theirs.ciphertexts, 1 << 256), b"")}, honest)
    with attack.seen("by nobody until it is too late: the update is counted, and the sum is opened"):
        view = arena.play(reached(2, Phase.DECRYPTED), honest).rounds[2]
        assert view.frozen == BitSet.of(0, 1, 2, 3) and set(view.reasons.values()) == {""}
    with attack.works("the count of the round's updates, of which nobody is named"):
        assert not view.disputes
    with attack.unlearnt(
        "anything of a study with proofs; here everybody reads the victim's number of rows in the opened sum, as consent said"
    ):
        arena.play(lambda study: bool(study.rounds[2].openings) or study.rounds[2].phase.ended, honest)
        openings = sums.combine_shares(honest[0].tools, arena.round(2))
        assert openings is not None
        (m,) = (o.m for o in openings)
        above = (m if 2 * m < key.n else m - key.n) + (1 << 255) >> 256
        assert int(arena.frame.layout(view).unpack([above % key.n], key.n)[0]) == rows_of(victim)


def test_a_whole_contribution_again(attack: Attack, make_arena: MakeArena) -> None:
    arena = make_arena(changes=PROVEN | {"rounds": 2})
    *honest, cheat = arena.members
    victim, frame = honest[1], arena.frame
    attack.by("an enrolled participant that has another's whole contribution, proof and reveal of the round before")
    first = arena.play(reached(1, Phase.FINALISED)).rounds[1]
    theirs, reveal = update_of(arena, first, victim.position), first.reveals[victim.position]
    with attack.sends("the whole of it as its own in the next round, and the same in another study, contract, chain, key epoch and model"):
        arena.play(reached(2, Phase.OPEN), honest)
        given = reveal.update_root, reveal.cid, reveal.proof_hash, SALT
        commitment = commitment_hash(frame.chain_id, frame.contract, 2, cheat.address, *given)
        arena.send(cheat, RoundManager.commit("again", 2, commitment))
        arena.play(reached(2, Phase.COMMITTED), honest)
        refused = arena.refusal(cheat, RoundManager.reveal("again", 2, *given))
        elsewhere = {
            "another sender": (frame, first, replace(reveal, participant=cheat.address)),
            "another round": (frame, replace(first, id=2), reveal),
            "another model": (frame, replace(first, parent=1, parent_hash=b"\x07" * 32), reveal),
            "another study": (replace(frame, study=frame.study + 1), first, reveal),
            "another contract": (replace(frame, contract=cheat.address), first, reveal),
            "another chain": (replace(frame, chain_id=1), first, reveal),
            "another key epoch": (replace(frame, spec=replace(frame.spec, key_epoch=frame.spec.key_epoch + 1)), first, reveal),
        }
    with attack.seen("by the contract, for a root that was revealed before, and by whoever checks: the proof is of another contribution"):
        assert refused == "RoundManagerRootReused"
        fetcher = arena.reader(victim).fetcher
        assert fetcher(frame).check_proofs(first, [(reveal, theirs)]) == [None]
        for where, (other, view, told) in elsewhere.items():
            (fault,) = fetcher(other).check_proofs(view, [(told, theirs)])
            assert fault is not None and fault.peer == told.participant, where
    with attack.works("the round, without the attacker, whose reveal is missing"):
        final = arena.play(reached(2, Phase.FINALISED), honest).rounds[2]
        assert final.frozen == BitSet.of(0, 1, 2) and verified(arena, 2)
    with attack.unlearnt("any number of the victim's: its contribution is in no second sum"):
        arena.check_opened()
        assert weight_in(arena, 2) == rows_of(*honest)


Change = Callable[[Int64], None]


def put(index: int, value: int) -> Change:
    def change(values: Int64) -> None:
        values[index] = value

    return change


@pytest.mark.parametrize("kind", ["vectors", "counts"])
def test_numbers_beyond_what_the_study_allows(attack: Attack, make_arena: MakeArena, kind: str) -> None:
    counts = kind == "counts"
    arena = make_arena(organisations=7, holders=5, quorum=3, changes=PROVEN | ({"statistics": {"bins": 4, "rows": 1000}} if counts else {}))
    honest, cap = arena.members[:4], arena.frame.spec.weight_cap
    attack.by("three enrolled participants, one of them a key holder, whose software is their own")
    view = arena.play(reached(1, Phase.OPEN), honest).rounds[1]
    q = arena.frame.step(view).segments[0].quantisation
    unit = 5.0 * q.scale  # the clip norm
    changes: tuple[Change, ...] = (put(1, int(3 * unit)), put(1, int(unit)), put(0, cap + 1))
    if counts:
        changes = (put(3, -50 * int(q.scale)), put(3, q.largest + 1), put(0, 0))
    with attack.sends(
        "an update of three times the clip norm, one of the whole norm for the weight of a single row, a weight above the cap and one of "
        "none, counts below zero and above all rows: each with the proof of numbers that are allowed, as nothing can be proven of these"
    ):
        sent = {}
        for cheat, change in zip(arena.members[4:], changes, strict=True):
            values = allowed(arena, view)
            change(values)
            own = encrypted(arena, view, values)
            with pytest.raises(OutsideRule):
                proven(arena, view, cheat, values, own)
            sent[cheat.position] = Sent(own.ciphertexts, proven(arena, view, cheat, allowed(arena, view), own))
        by_hand(arena, 1, sent, honest)
    with attack.seen("by every honest holder, which leaves each of them out by name"):
        frozen = arena.play(reached(1, Phase.FROZEN), honest).rounds[1]
        assert reasons(frozen, honest) == {"4:BadProof;5:BadProof;6:BadProof"}
    with attack.works("the round, with the updates of all the honest"):
        final = arena.play(reached(1, Phase.FINALISED), honest).rounds[1]
        assert final.frozen == BitSet.of(0, 1, 2, 3) and verified(arena)
    with attack.unlearnt("anything beyond the honest sum, in which the attackers' numbers are not"):
        arena.check_opened()
        assert weight_in(arena, 1) == rows_of(*honest)


def test_another_proof_than_was_committed_to(attack: Attack, proven_arena: Arena) -> None:
    arena = proven_arena
    *honest, cheat = arena.members
    attack.by("an enrolled participant that wants to choose its proof once it has seen the others' updates")
    view = arena.play(reached(1, Phase.OPEN), honest).rounds[1]
    values = allowed(arena, view)
    with attack.sends("a commitment to the hash of one proof, and in its blob another one, which holds"):
        own = encrypted(arena, view, values)
        one, other = (proven(arena, view, cheat, values, own) for _ in range(2))
        by_hand(arena, 1, {cheat.position: Sent(own.ciphertexts, other, told=keccak256(one))}, honest)
    with attack.seen("by every honest holder, as bytes that are not those of the hash on the chain"):
        frozen = arena.play(reached(1, Phase.FROZEN), honest).rounds[1]
        assert reasons(frozen, honest) == {"3:BlobMismatch"}
    with attack.works("the round, with the updates of the other three"):
        assert arena.play(reached(1, Phase.FINALISED), honest).rounds[1].frozen == BitSet.of(0, 1, 2) and verified(arena)
    with attack.unlearnt("anything beyond the sum of the three"):
        arena.check_opened()
        assert weight_in(arena, 1) == rows_of(*honest)


def test_a_hundred_proofs_of_nothing(attack: Attack, make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = make_arena(changes=PROVEN)
    holder, frame = arena.members[0], arena.frame
    attack.by("a hundred enrolled participants, more than a round of this test can hold")
    view = arena.play(reached(1, Phase.REVEALED)).rounds[1]
    size, whole = frame.proof_bytes(view), update_of(arena, view, 1)
    looked_at = counted(monkeypatch)
    with attack.sends("updates whose ciphertexts are fine, with proofs a byte too short or too long, and a few of random bytes"):
        crowd = dict(view.reveals)
        for position in range(4, 104):
            proof = os.urandom(size + (0 if position >= 100 else 1 - 2 * (position % 2)))
            sender = f"0x{position:040x}"
            header = replace(frame.header(wire.BlobKind.UPDATE, view, sender), proof_bytes=len(proof))
            cid = holder.store.add(wire.encode_update(header, whole.ciphertexts, proof))
            crowd[position] = Reveal(position, sender, view.reveals[1].update_root, cid, keccak256(proof), SALT)
        updates.check_updates(holder.tools, replace(view, reveals=crowd))
    with attack.seen("by the holder: nothing of another length is even looked at, and each of the others once"):
        senders = [statement.sender for statement in looked_at]
        assert len(senders) == 8 and set(senders) == {
            *(m.address for m in arena.members),
            *(f"0x{position:040x}" for position in range(100, 104)),
        }
        good, refused = updates.checked(holder.tools, replace(view, reveals=crowd))
        assert (good, refused) == (BitSet.of(0, 1, 2, 3), BitSet.of(*range(4, 104)))
    with attack.works("the round: the good updates are known as good, and are not checked again"):
        arena.play(reached(1, Phase.FINALISED), arena.members)
        assert [s.sender for s in looked_at].count(arena.members[1].address) == 4, "once by each of four nodes"
        assert verified(arena)
    with attack.unlearnt("anything beyond the one sum"):
        arena.check_opened()
