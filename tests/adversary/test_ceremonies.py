"""Those who make a key with others, up to t-1 of them together, and whoever else can write to the chain or to a disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gmpy2
import pytest

from defedbio.ceremony.taking_part import terms_of
from defedbio.ceremony.verdict import Verdict
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.network import Network
from defedbio.crypto.keygen import boxes, exponent
from defedbio.crypto.keygen.candidates import base
from defedbio.crypto.keygen.machine import recipient
from defedbio.crypto.keygen.messages import Body, Kind
from defedbio.crypto.keygen.record import Record
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.paillier import ObfuscatorPool, PublicKey, encrypt
from defedbio.crypto.proofs import two_primes
from defedbio.crypto.threshold import combine
from defedbio.crypto.threshold import share as release
from defedbio.crypto.vault import seal_with_password
from defedbio.domain import BitSet, CeremonyStatus, KeyEpochStatus
from defedbio.errors import BadTranscript
from defedbio.ipfs.cid import cid_of
from defedbio.network.shares import load_share
from defedbio.protocol.catalogue import ACTIVE
from tests.adversary.canaries import Canaries
from tests.adversary.council import PASSWORD, STEP_SECONDS, Council, Member, Seat, Small, cheating, seeds_that_survive
from tests.adversary.faults import reorganise
from tests.adversary.frame import Attack
from tests.agents.ceremony.fakes import NAMES, FakeMachine
from tests.anvil import Anvil, undone

LIAR = 1
DEPTHS = (1, pytest.param(2, marks=pytest.mark.long), 3)
STEPS = tuple(range(len(NAMES)))


@pytest.fixture
def council(anvil: Anvil, contracts: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Council]:
    """Four organisations that may make a key, with passwords that are checked in little time."""
    for user in ("defedbio.network.shares", "defedbio.ceremony.consent"):
        monkeypatch.setattr(f"{user}.seal_with_password", partial(seal_with_password, n=2))
    with undone(anvil):
        found = Council(anvil, contracts, tmp_path)
        yield found
        found.close()


def honest(council: Council, ceremony: int, *members: Member, **options: Any) -> list[Seat]:
    return [council.sit(member, ceremony, **options) for member in members]


def small(council: Council, ceremony: int, makers: Sequence[type[Small]], survives: bool = True) -> list[Seat]:
    """Seats at keygen on small numbers, with seeds of which a candidate survives at once. Whoever cheats judges honestly."""
    seeds = seeds_that_survive(terms_of(council.connection(council.members[0]), ceremony)) if survives else [b""] * len(makers)
    seats = [council.sit(council.members[i], ceremony, make, seeds[i]) for i, make in enumerate(makers)]
    for seat in seats:
        seat.holder.make = Small
    return seats


def judged(council: Council, seats: list[Seat], by: int, last: Seat | None = None) -> Verdict:
    """Let a ceremony fail and the seeds be shown, and one of them find whose fault it is: the others would find the same."""
    council.play(seats, until=lambda: len(council.now(seats[0].holder.terms.ceremony).seeds) == 2, last=last)
    council.play([seats[by]])
    return council.verdict([seats[by]])


def again(council: Council, *members: Member) -> None:
    """These make a key in another ceremony, of other seeds."""
    ceremony = council.announce(members, by=members[0])
    seats = honest(council, ceremony, *members)
    council.play(seats)
    assert council.keys.epoch_of(council.made(seats)).status is KeyEpochStatus.ACTIVE


def begin_again(council: Council, *members: Member) -> None:
    """These begin another ceremony, and all have posted in its first step."""
    ceremony = council.announce(members, by=members[0])
    council.play(honest(council, ceremony, *members), until=lambda: council.now(ceremony).step == 1)


def no_key(council: Council, ceremony: int) -> None:
    """Nothing is or can become active that this ceremony made."""
    found = council.now(ceremony)
    assert found.status is CeremonyStatus.FAILED
    assert not found.epoch or council.keys.epoch_of(found.epoch).status is KeyEpochStatus.REJECTED


def with_numbers(body: Body, **fields: list[int]) -> Body:
    return Body({**body.numbers, **{name.replace("_", " "): values for name, values in fields.items()}}, body.strings)


# -- what is posted ------------------------------------------------------------------------------------------------------------------------


def swapped(heard: Callable[[], list[bytes]]) -> tuple[int, type[Small]]:
    """A biprime of the attacker's own, and who brings it in as the first candidate, completes its test and shows its square roots."""
    p, q = (next(x for x in range(start, 1 << 224, 8) if gmpy2.is_prime(x)) for start in ((7 << 221) + 3, (15 << 220) + 3))
    n, order = p * q, (p - 1) * (q - 1)

    def completed(target: int, others: int) -> int:
        return pow(target, (order + 4) // 8, n) * pow(others, -1, n) % n

    def share(record: Record, body: Body, before: list[Body]) -> Body:
        found = list(body.numbers["shares"])
        found[0] = (n - before[0].numbers["shares"][0]) % record.terms.share_modulus
        return with_numbers(body, shares=found)

    def trial(record: Record, body: Body, before: list[Body]) -> Body:
        found = list(body.numbers["factors"])
        found[0] = completed(base(n), before[0].numbers["factors"][0])
        return with_numbers(body, factors=found)

    def roots(record: Record, body: Body, before: list[Body]) -> Body:
        others = before[0].numbers["square roots"]
        return with_numbers(body, square_roots=[completed(y, x) for y, x in zip(two_primes.targets(n), others, strict=True)])

    return n, cheating({Kind.SHARES: share, Kind.TRIALS: trial, Kind.OPENING: roots}, heard)


def test_a_modulus_whose_factors_the_last_to_speak_knows(attack: Attack, council: Council) -> None:
    attack.by("a contributor that posts last in every step, after it has read what the others posted")
    ceremony = council.announce(council.members[:3])
    with attack.sends(
        "a share of the first candidate that makes it a product of two primes of its own, with a passed test and square roots"
    ):
        n, swapper = swapped(lambda: council.heard(ceremony))
        seats = small(council, ceremony, [Small, swapper, Small])
        found = judged(council, seats, by=2, last=seats[LIAR])
        made = Small(seats[2].holder.terms, 2, bytes(32))._progress.after(seats[2].holder._posts)
        assert made.survivor.n == n, "it survived the filter and the square roots"
    with attack.seen("by everybody, as no product of the numbers that were asked for, and its seed names it"):
        assert found.positions == (LIAR,)
        ((_, reason),) = council.view(ceremony).complaints
        assert reason.startswith("post: step 5") and "not the product of the numbers" in reason
    with attack.works("the others make a key without it"):
        again(council, *council.members[2:], council.members[0])
    with attack.unlearnt("anything under that modulus: no key has it"):
        no_key(council, ceremony)


@pytest.mark.parametrize("of", ["another contributor", "another attempt", pytest.param("another chain", marks=pytest.mark.long)])
def test_a_message_that_was_made_elsewhere(attack: Attack, council: Council, of: str) -> None:
    attack.by("a contributor of the ceremony")
    ceremony = council.announce(council.members[:3])

    class Replay(Small):
        def message(self, posts: Any) -> bytes:
            if of == "another contributor":
                return council.heard(ceremony)[0]
            elsewhere = {"ceremony": 99} if of == "another attempt" else {"chain_id": 1}
            terms = terms_of(council.connection(council.members[0]), ceremony)
            return Small(type(terms)(**{**vars(terms), **elsewhere}), self.position, self.seed).message(posts)

    with attack.sends("in the first step the bytes of another contributor's message, or its own of another attempt or another chain"):
        seats = small(council, ceremony, [Small, Replay, Small], survives=False)
        found = judged(council, seats, by=0, last=seats[LIAR])
        first, second = (council.view(ceremony).steps[0].posts[i].hash for i in (0, LIAR))
        assert (first == second) is (of == "another contributor")
    with attack.seen("by every holder in the message itself, which says whose it is and of what"):
        assert found.positions == (LIAR,)
        assert "in its message" in council.view(ceremony).complaints[0][1]
    with attack.works("the others begin another ceremony without it"):
        begin_again(council, council.members[0], *council.members[2:])
    with attack.unlearnt("anything: a message answers the posts of its own ceremony only"):
        no_key(council, ceremony)


def test_one_post_and_other_bytes_for_one_of_the_holders(attack: Attack, council: Council) -> None:
    attack.by("a contributor, whose node sends each peer what it likes")
    ceremony = council.announce(council.members[:3])
    first, _, last = seats = honest(council, ceremony, *council.members[:3])
    with attack.sends("its message to one holder, and to the other, under the same CID, one that differs in its last byte"):
        while council.now(ceremony).step == 0:
            assert any(council.step(seat) for seat in seats)
        post = council.view(ceremony).steps[0].posts[LIAR]
        raw = council.blob(post.cid)
        assert council.step(first) and first.holder.name == NAMES[1]
        for store in (member.store for member in council.members):
            store.blobs[post.cid] = raw[:-1] + b"\0"
    with attack.seen("by the other, which takes no bytes that are not those of the hash and the CID, and says that it has no message"):
        council.play([last], until=lambda: council.now(ceremony).status is CeremonyStatus.FAILED)
        ((who, reason),) = council.view(ceremony).complaints
        assert who == last.member.address and reason.startswith("withheld: step 0")
        council.play(seats)
        assert council.verdict([first, last]).positions == (), "who keeps a message back cannot be told from who says so"
    with attack.works("the others begin another ceremony without it"):
        begin_again(council, council.members[0], *council.members[2:])
    with attack.unlearnt("two answers of one holder: the other has answered nothing"):
        no_key(council, ceremony)
        assert last.holder.journal.get("step/1/message") is None
        assert all(len(hashes) == 1 for hashes in council.seen.values())


def test_a_message_that_is_kept_from_one_of_the_holders(attack: Attack, council: Council) -> None:
    attack.by("a contributor, whose node answers one peer alone")
    ceremony = council.announce(council.members[:3])
    first, liar, _ = seats = honest(council, ceremony, *council.members[:3])
    with attack.sends("each of its messages to one holder, and nothing to the other"):
        for _ in STEPS:
            step = council.now(ceremony).step
            while council.now(ceremony).step == step:
                assert any(council.step(seat) for seat in seats)
            cid = council.view(ceremony).steps[step].posts[LIAR].cid
            assert council.step(first) and cid in first.member.store.pins
            assert liar.member.store.blobs.pop(cid)
    with attack.seen("by nobody: whoever has checked a message keeps it, and the other has it from there"):
        council.play(seats)
        assert not council.view(ceremony).complaints
    with attack.works("the key becomes active"):
        assert council.keys.epoch_of(council.made(seats)).status is KeyEpochStatus.ACTIVE
    with attack.unlearnt("who would answer what is kept from it: all three answered the same posts"):
        council.view(ceremony)
        assert all(len(hashes) == 1 for hashes in council.seen.values())


def wrong_box(record: Record, body: Body, before: list[Body]) -> Body:
    """A sub-share for the first holder that is one more than it should be, sealed as it should be."""
    terms, sealed = record.terms, list(body.strings["boxes"])
    size = boxes.value_bytes(terms.bits, terms.threshold, len(terms.holders))
    value, public = 1 << 64, PublicKey(record.survivor.n, terms.bits)
    sealed[0] = boxes.seal(value, size, recipient(terms, 0), LIAR, record.transport[0], public, lambda length: bytes(range(length)))
    return Body(body.numbers, {"boxes": sealed})


def test_a_sub_share_that_is_not_what_its_dealer_committed_to(attack: Attack, council: Council) -> None:
    attack.by("a contributor of the ceremony")
    ceremony = council.announce(council.members[:3])
    with attack.sends("a wrong sub-share to one holder, under a promise of just that, and right ones to the others"):
        seats = small(council, ceremony, [Small, cheating({}, list, dealing=wrong_box), Small])
        found = judged(council, seats, by=2)
    with attack.seen("by the holder, whose word ends the ceremony, and by everybody from the dealer's seed"):
        assert found.positions == (LIAR,) and "sub-share" not in found.reason and "its seed gives" in found.reason
        ((who, reason),) = council.view(ceremony).complaints
        assert who == seats[0].member.address and reason.startswith("share: ") and "sub-share for holder 1" in reason
    with attack.works("the others begin another ceremony without it"):
        begin_again(council, council.members[0], *council.members[2:])
    with attack.unlearnt("who would be opened with fewer shares than said: no such key is active"):
        no_key(council, ceremony)


def test_a_right_share_that_is_called_wrong(attack: Attack, council: Council) -> None:
    attack.by("a holder that contributes nothing")
    ceremony = council.announce(council.members[:3])

    class Slanderer(Small):
        def share(self, posts: Any) -> Any:
            raise BadTranscript("holder 1 of the ceremony: its sub-share for holder 3 is not what it committed to")

    with attack.sends("the word that its share of a right key is wrong"):
        seats = small(council, ceremony, [Small, Small, Slanderer])
        found = judged(council, seats, by=1)
    with attack.seen("by everybody: all messages are what the seeds give, so that it is named and not the one whom it named"):
        assert found.positions == (2,)
        assert set(council.view(ceremony).seeds) == {0, 1}
    with attack.works("the others begin another ceremony without it"):
        begin_again(council, *council.members[:2], council.members[3])
    with attack.unlearnt("the key of which all seeds are known now: it can never be active"):
        no_key(council, ceremony)
        epoch, confirm = council.now(ceremony).epoch, partial(KeyRegistry.confirm, "confirm")
        transcript = council.keys.epoch_of(epoch).transcript_hash
        assert council.refusal(council.members[0], confirm(epoch, transcript)) == "KeyRegistryUnexpectedStatus"


@pytest.mark.parametrize("reason", ["post: step 0: holder 1: no message", "I do not like it"])
def test_a_right_post_that_is_called_wrong(attack: Attack, council: Council, reason: str) -> None:
    attack.by("a holder, with a transaction of its own")
    ceremony = council.announce(council.members[:3])
    seats = honest(council, ceremony, *council.members[:3])
    with attack.sends("a complaint of a post that is as it should be, or of nothing that a complaint can be of"):
        council.play(seats, until=lambda: council.now(ceremony).step == 1)
        council.quickly(council.members[2], KeyRegistry.complain("complain", ceremony, reason))
        council.play(seats)
    with attack.seen("by everybody: all messages are what the seeds give, and so it is named"):
        assert council.verdict(seats).positions == (2,)
    with attack.works("the others begin another ceremony without it"):
        begin_again(council, *council.members[:2], council.members[3])
    with attack.unlearnt("anything that protects something: the ceremony can make no key any more"):
        no_key(council, ceremony)


# -- what is not posted --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silent_from", STEPS)
def test_a_contributor_that_falls_silent(attack: Attack, council: Council, silent_from: int) -> None:
    attack.by("a contributor, whose node is off from one of the steps on")
    ceremony = council.announce(council.members[:3])
    first, silent, last = honest(council, ceremony, *council.members[:3])
    with attack.sends("nothing, until the step's time is over"):
        council.play([first, silent, last], until=lambda: council.now(ceremony).step == silent_from)
        council.play([first, last])
    with attack.seen("on the chain, which names it by itself"):
        found = council.verdict([first, last])
        assert found.positions == (LIAR,) and found.reason == f"did not post in step {silent_from} in time"
    with attack.works("the others begin again with another holder in its place"):
        begin_again(council, council.members[0], *council.members[2:])
    with attack.unlearnt("what the others drew, of a key that lives: theirs died with the ceremony"):
        no_key(council, ceremony)
        assert council.refusal(silent.member, KeyRegistry.post("late", ceremony, silent_from, bytes(32), b"\1" * 32, "bafy")) in (
            "CeremonyUnexpectedStatus"
        )


def test_a_holder_that_never_confirms(attack: Attack, council: Council) -> None:
    attack.by("a holder, whose node is off once all has been posted")
    ceremony = council.announce(council.members[:3])
    first, second, silent = honest(council, ceremony, *council.members[:3])
    with attack.sends("no confirmation of the proposed key"):
        council.play([first, second, silent], until=lambda: bool(council.now(ceremony).epoch))
        council.play([first, second])
    with attack.seen("on the chain, which names it by itself"):
        found = council.verdict([first, second])
        assert found.positions == (2,) and found.reason == "did not confirm the epoch in time"
    with attack.works("the others make a key with another holder in its place"):
        again(council, *council.members[:2], council.members[3])
    with attack.unlearnt("anything under a key that one of its holders may not be able to open: it never becomes active"):
        no_key(council, ceremony)
        epoch = council.now(ceremony).epoch
        late = KeyRegistry.confirm("late", epoch, council.keys.epoch_of(epoch).transcript_hash)
        assert council.refusal(silent.member, late) == "KeyRegistryUnexpectedStatus"


# -- the proposal --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("early", [False, True], ids=["of another transcript", "before the last step"])
def test_a_proposal_that_is_not_what_the_posts_give(attack: Attack, council: Council, early: bool) -> None:
    attack.by("a contributor, with a transaction of its own")
    ceremony = council.announce(council.members[:3])
    seats = honest(council, ceremony, *council.members[:3])
    with attack.sends("a modulus of its own as what the ceremony made, before or in place of the right proposal"):
        council.play(seats, until=lambda: council.now(ceremony).step == (1 if early else len(STEPS)))
        modulus = ((1 << 2047) + 1).to_bytes(256, "big")
        head = council.now(ceremony).head
        council.quickly(council.members[LIAR], KeyRegistry.propose_from("mine", ceremony, head, modulus, b"\7" * 32, "bafytranscript"))
        council.play([seats[0], seats[2]], until=lambda: council.now(ceremony).status is CeremonyStatus.FAILED)
    with attack.seen("by the first to look, which rejects it; the proposer is named"):
        council.play(seats)
        found = council.verdict(seats)
        assert found.positions == (LIAR,) and "proposed" in found.reason
    with attack.works("the others begin another ceremony without it"):
        begin_again(council, council.members[0], *council.members[2:])
    with attack.unlearnt("anything under a modulus that its proposer can factor: no honest holder confirmed it"):
        no_key(council, ceremony)
        assert not council.keys.epoch_of(council.now(ceremony).epoch).confirmations


# -- the end -------------------------------------------------------------------------------------------------------------------------------


def test_a_complaint_after_the_key_is_active(attack: Attack, council: Council) -> None:
    attack.by("a holder that has confirmed, and a contributor among them")
    ceremony = council.announce(council.members[:3])
    seats = honest(council, ceremony, *council.members[:3])
    council.play(seats)
    epoch = council.made(seats)
    complain, reject, seed = (
        KeyRegistry.complain("c", ceremony, "share: it is wrong"),
        KeyRegistry.reject("r", epoch, "share: it is wrong"),
        KeyRegistry.publish_seed("s", ceremony, bytes(32)),
    )
    with attack.sends("a complaint, a rejection and a seed, which would make the others show theirs"):
        refused = [council.refusal(council.members[LIAR], transaction) for transaction in (complain, reject, seed)]
    with attack.seen("by the contract, which refuses each"):
        assert refused == ["CeremonyUnexpectedStatus", "KeyRegistryUnexpectedStatus", "CeremonyUnexpectedStatus"]
    with attack.works("the key is active, and time does not end it"):
        council.skip(2 * STEP_SECONDS)
        assert council.refusal(council.members[3], KeyRegistry.expire("e", ceremony)) == "CeremonyUnexpectedStatus"
        assert council.keys.epoch_of(epoch).status is KeyEpochStatus.ACTIVE
    with attack.unlearnt("a seed of the key: none was shown, and none is left"):
        assert not council.view(ceremony).seeds
        assert not any((seat.folder / "seed.json").exists() for seat in seats)


def test_a_reorganisation_that_takes_the_activation_back(attack: Attack, council: Council) -> None:
    attack.by("a holder, with whoever makes the chain's blocks")
    ceremony = council.announce(council.members[:3])
    council.anvil.mine(3)
    seats = honest(council, ceremony, *council.members[:3], confirmations=3)
    council.play(seats, until=lambda: council.now(ceremony).status is CeremonyStatus.SUCCEEDED)
    for seat in seats[:2]:
        while seat.holder.journal.get(f"ceremony/{ACTIVE.name}") is None:
            council.step(seat)
    with attack.sends("other blocks in place of those that made the key active, with a complaint in them"):
        reorganise(council.anvil, 1)
        assert council.now(ceremony).status is CeremonyStatus.RUNNING
        council.quickly(council.members[2], KeyRegistry.complain("complain", ceremony, "share: it is wrong"))
        council.play(seats[:2])
    with attack.seen("by nobody as a fault of the others, whose nodes had seen the key active and so keep silent"):
        found = council.verdict(seats[:2])
        assert found.positions == () and "seen active" in found.reason
    with attack.works("they begin another ceremony without it"):
        begin_again(council, *council.members[:2], council.members[3])
    with attack.unlearnt("the seeds of a key that somebody may have taken for active: nobody shows one, and none is left"):
        assert not council.view(ceremony).seeds
        assert not any((seat.folder / "seed.json").exists() for seat in seats[:2])
        no_key(council, ceremony)


def test_a_disk_that_is_taken_after_the_ceremony(attack: Attack, council: Council) -> None:
    attack.by("whoever gets all homes and all IPFS repositories after the key is active, with every password")
    ceremony = council.announce(council.members[:3])
    seats = small(council, ceremony, [Small] * 3)
    terms, secrets = seats[0].holder.machine._progress._terms, [seat.holder.machine._secrets for seat in seats]
    council.play(seats[:3], until=lambda: bool(council.now(ceremony).epoch))
    record, drawn = seats[0].holder.machine._progress._record, Canaries()
    for i, own in enumerate(secrets):
        drawn.add(f"seed {i}", seats[i].holder.seed)
        drawn.add(f"transport key {i}", own.transport_private)
        if i < terms.threshold:
            candidate = own.candidates(0)[1][record.survivor.index]
            for name, value in (("p_i", candidate.p), ("q_i", candidate.q), ("own p", own._own._p), ("own q", own._own._q)):
                drawn.add(f"{name} {i}", value)
            drawn.add(f"leaf {i}", own.candidates(0)[0][record.survivor.index])
            drawn.add(f"rho {i}", own._rho(record))
            drawn.add(f"y_i {i}", y := own._inverse_share(record))
            shared = own._share(record, "exponent", y % terms.quotient, record.context_of(Kind.EXPONENT))
            drawn.add(f"d_i {i}", abs(exponent.secret_share(terms, record.survivor.n, i, y, shared)))
    p, q = (sum(getattr(own.candidates(0)[1][record.survivor.index], name) for own in secrets[:2]) for name in "pq")
    with attack.sends("a search through every file and every blob, for the seeds and all that was drawn from them"):
        assert p * q == record.survivor.n, "these are what the key was made of"
        assert all((seat.folder / "seed.json").exists() for seat in seats), "until then a holder has to be able to go on"
        council.play(seats)
        epoch = council.made(seats)
        for seat in seats:
            council.leave(seat)
            seat.member.store.collect_garbage()
    with attack.seen("by nobody, which is why nothing may be there"):
        assert drawn.found_below(seat.member.home.root for seat in seats) == {}
        assert not any((seat.folder / "seed.json").exists() for seat in seats)
        blobs = [raw for seat in seats for raw in seat.member.store.blobs.values()]
        assert len(blobs) == 3 and len(set(blobs)) == 1, "the transcript, at each"
        assert not drawn.found(blobs[0])
        drawn.needles = {p.to_bytes(28, "big"): "p", q.to_bytes(28, "big"): "q"}
        assert drawn.found_below(seat.member.home.root for seat in seats) == {}
    with attack.works("two of the shares that are there open what is encrypted under the key"):
        key = record.key
        shares = [load_share(seat.member.home.share(terms.chain_id, terms.contract, epoch), epoch, key, PASSWORD) for seat in seats]
        secret = encrypt(key.public_key, [42], ObfuscatorPool(key.public_key, os.urandom))
        opened = combine(key, secret, {share.index: release(key, share, secret) for share in shares[1:]})
        assert [opening.m for opening in opened] == [42]
    with attack.unlearnt("the private keys that sub-shares were sealed to, or the summands of the factors, of anybody"):
        posts = {post.cid for step in council.view(ceremony).steps for post in step.posts.values()}
        assert posts and not any(cid in seat.member.store.blobs for seat in seats for cid in posts)


# -- forks, restores and floods ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", DEPTHS)
def test_blocks_that_are_replaced_at_every_step(attack: Attack, council: Council, depth: int) -> None:
    attack.by("whoever makes the chain's blocks, or nobody: bad luck is enough")
    ceremony = council.announce(council.members[:3])
    council.anvil.mine(3)
    seats = honest(council, ceremony, *council.members[:3], confirmations=3)

    def entered(step: int) -> bool:
        found = council.view(ceremony)
        return found.step == step and (step < len(STEPS) or found.epoch is not None)

    with attack.sends("other blocks in place of the newest, without their transactions, as soon as each step and the proposal is there"):
        for step in range(1, len(STEPS) + 1):
            council.play(seats, until=lambda step=step: entered(step))
            reorganise(council.anvil, depth)
            assert not entered(step), "it took something back"
    with attack.seen("by nobody's node as more than posts to be sent again, as it answers final ones alone"):
        council.play(seats)
        assert not any(seat.ended.diverged for seat in seats)
    with attack.works("the key becomes active"):
        assert council.keys.epoch_of(council.made(seats)).status is KeyEpochStatus.ACTIVE
    with attack.unlearnt("two messages of one holder in one step: whatever was on any of the chains is the same"):
        council.view(ceremony)
        assert {(step, position) for _, step, position in council.seen} == {(0, 0), (0, 1), (0, 2)} | {
            (s, i) for s in (1, 2) for i in (0, 1)
        }
        assert all(len(hashes) == 1 for hashes in council.seen.values())


def test_another_message_in_replaced_blocks(attack: Attack, council: Council) -> None:
    attack.by("a contributor, with whoever makes the chain's blocks, deeper than one holder waits for")
    ceremony = council.announce(council.members[:3])
    council.anvil.mine(3)
    hasty = council.sit(council.members[0], ceremony)
    careful = council.sit(council.members[2], ceremony, confirmations=3)
    raw = FakeMachine(hasty.holder.terms, LIAR, b"\1" * 32).message([])
    other = FakeMachine(hasty.holder.terms, LIAR, b"\2" * 32).message([])
    with attack.sends("its first message, and when a hasty holder has answered, another in its place: the others' posts are back as well"):
        while not all(position in council.view(ceremony).steps[0].posts for position in (0, 2)):
            assert council.step(hasty) or council.step(careful)
        post = partial(KeyRegistry.post, "first", ceremony, 0, bytes(32))
        for message in (raw, other):
            council.members[LIAR].store.add(message)
        council.quickly(council.members[LIAR], post(*hash_of(raw)))
        old = council.now(ceremony).head
        while hasty.holder.journal.get("step/1/message") is None:
            assert council.step(hasty)
        answered = council.view(ceremony).steps[1].posts[0]
        reorganise(council.anvil, 2)
        assert council.now(ceremony).step == 0 and council.now(ceremony).posted == BitSet.of(0, 2)
        council.quickly(council.members[LIAR], post(*hash_of(other)))
        assert council.now(ceremony).head != old
    with attack.seen("by the contract, which takes no answer to the posts of before, and by the hasty holder, which ends its part"):
        late = KeyRegistry.post("old", ceremony, 1, old, answered.hash, answered.cid)
        assert council.refusal(hasty.member, late) == "CeremonyStepMismatch"
        council.play([hasty])
        assert hasty.ended.diverged and "sends nothing more" in hasty.member.messages()
    with attack.works("the ceremony fails by its time, and the others begin another ceremony"):
        council.play([careful])
        assert careful.ended.view.missing.positions() == (0, LIAR)
        begin_again(council, *council.members[2:], council.members[0])
    with attack.unlearnt("two answers of one seed"):
        assert council.seen[ceremony, 1, 0] == {answered.hash} and (ceremony, 1, 2) not in council.seen
        no_key(council, ceremony)


def hash_of(message: bytes) -> tuple[bytes, str]:
    return keccak256(message), cid_of(message)


def test_a_home_that_is_put_back_into_a_running_ceremony(attack: Attack, council: Council) -> None:
    attack.by("an operator with the copy of a disk, seed and all, or who gives it to them")
    ceremony = council.announce(council.members[:3])
    first, restored, last = seats = honest(council, ceremony, *council.members[:3])
    council.play(seats, until=lambda: council.now(ceremony).step == 1)
    copy = council.copy_of(restored)
    council.play(seats, until=lambda: council.now(ceremony).step == 2)
    with attack.sends("the copy of the home from the step before into the step in which the message has been posted"):
        council.leave(restored)
        shutil.rmtree(restored.folder)
        shutil.copytree(copy, restored.folder)
        restored = council.sit(restored.member, ceremony)
        before = restored.member.client.nonce(restored.member.address)
        council.play([restored])
    with attack.seen("by its own node, which finds on the chain what its journal has not made, says so, and ends its part"):
        assert restored.ended.diverged and restored.member.messages().count("sends nothing more") == 1
        assert restored.member.client.nonce(restored.member.address) == before
    with attack.works("the ceremony fails by its time, names it, and the others begin another ceremony"):
        council.play([first, last])
        assert council.verdict([first, last]).positions == (LIAR,)
        begin_again(council, council.members[0], *council.members[2:])
    with attack.unlearnt("two messages of one seed: it sent none"):
        council.view(ceremony)
        assert all(len(hashes) == 1 for hashes in council.seen.values())
        no_key(council, ceremony)


def test_a_flood_of_ceremonies_and_posts(attack: Attack, council: Council) -> None:
    attack.by("a member that is no holder, and a holder that contributes nothing")
    ceremony = council.announce(council.members[:3])
    seats = honest(council, ceremony, *council.members[:3])
    flooder, holder = council.members[3], council.members[2]
    with attack.sends("dozens of ceremonies that name the others, and posts, complaints, proposals and seeds where none is theirs to send"):
        for _ in range(30):
            council.announce(council.members[:3], by=flooder)
        council.play(seats, until=lambda: council.now(ceremony).step == 1)
        head = council.now(ceremony).head
        post = KeyRegistry.post("p", ceremony, 1, head, b"\1" * 32, "bafy")
        refused = {
            "a post of none": council.refusal(flooder, post),
            "a post of a holder that contributes nothing": council.refusal(holder, post),
            "a complaint of none": council.refusal(flooder, KeyRegistry.complain("c", ceremony, "post: ")),
            "a proposal of none": council.refusal(
                flooder, KeyRegistry.propose_from("e", ceremony, head, b"\xff" * 256, b"\1" * 32, "bafy")
            ),
            "a seed while it runs": council.refusal(holder, KeyRegistry.publish_seed("s", ceremony, bytes(32))),
            "an end before its time": council.refusal(flooder, KeyRegistry.expire("e", ceremony)),
            "a long complaint": council.refusal(holder, KeyRegistry.complain("c", ceremony, "x" * 1025)),
        }
    with attack.seen("by the contract, which refuses each; being named in a ceremony is nothing that one has to answer"):
        assert refused == {
            "a post of none": "CeremonyNotHolder",
            "a post of a holder that contributes nothing": "CeremonyNotContributor",
            "a complaint of none": "CeremonyNotHolder",
            "a proposal of none": "CeremonyNotContributor",
            "a seed while it runs": "CeremonyUnexpectedStatus",
            "an end before its time": "CeremonyStepNotOver",
            "a long complaint": "KeyRegistryTextTooLong",
        }
    with attack.works("the ceremony that they agreed to, whose holders read the events of none of the others"):
        council.play(seats)
        assert council.keys.epoch_of(council.made(seats)).status is KeyEpochStatus.ACTIVE
    with attack.unlearnt("anything of those who were named: they drew nothing for it"):
        assert all(len(list((member.home.root / "ceremonies").iterdir())) == 1 for member in council.members[:3])
