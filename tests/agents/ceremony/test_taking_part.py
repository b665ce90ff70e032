"""D2 to D5: holders on a real chain make a key, or find who kept them from it."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from defedbio.ceremony.decide import Action, Check, PostMessage, Wait, decide
from defedbio.ceremony.taking_part import Ended, read, take_part
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.crypto.merkle import keccak256
from defedbio.domain import CeremonyStatus, KeyEpochStatus
from defedbio.errors import BadTranscript, InternalFault
from defedbio.ipfs.cid import cid_of
from tests.agents.ceremony.conftest import QUICKLY, SECONDS
from tests.agents.ceremony.fakes import FakeMachine, Party
from tests.anvil import Anvil


def failed(ended: list[Ended]) -> tuple[tuple[int, ...], str]:
    """The one verdict of all."""
    assert {end.view.status for end in ended} == {CeremonyStatus.FAILED}
    (found,) = {end.verdict for end in ended}
    assert found is not None
    return found.positions, found.reason


def test_D5_holders_make_a_key_and_keep_nothing_but_their_shares(
    parties: list[Party], ceremony: int, together: Any, taking_part: Any
) -> None:
    ended = together(*(taking_part(party) for party in parties))
    assert {end.view.status for end in ended} == {CeremonyStatus.SUCCEEDED}
    (epoch,) = {end.view.epoch.number for end in ended}
    assert KeyRegistry(parties[0].client).epoch_of(epoch).status is KeyEpochStatus.ACTIVE
    posts = {post.cid for step in ended[0].view.steps for post in step.posts.values()}
    assert len(posts) == 3 + 2 + 2
    for party in parties:
        assert party.share_file(epoch).exists() and not (party.home / "seed.json").exists()
        assert not posts & party.store.pins and len(party.store.pins) == 1, "the transcript alone stays pinned"
        told = json.dumps(party.records) + repr(party.holder)
        assert party.seed.hex() not in told and repr(party.seed) not in told


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """Whatever is called for the first time ends the process before it is done, and what is sent the second time after."""

    def __init__(self, inner: Any, calls: dict[str, int], *names: str) -> None:
        self._inner, self._calls, self._names = inner, calls, names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._names:
            return found

        def call(*args: Any) -> Any:
            key = f"{name} {args}"
            self._calls[key] = self._calls.get(key, 0) + 1
            if self._calls[key] == 1:
                raise Killed
            answer = found(*args)
            if self._calls[key] == 2 and name == "send":
                raise Killed
            return answer

        return call


def test_D3_a_holder_that_is_killed_at_every_effect_makes_the_same_messages(
    parties: list[Party], ceremony: int, together: Any, taking_part: Any
) -> None:
    calls: dict[str, int] = {}

    def dying(stop: threading.Event) -> Ended | None:
        party = parties[0]
        while not stop.is_set():
            connection = party.connection
            connection.client = Mortal(party.client, calls, "send")  # type: ignore[assignment]
            connection.store = Mortal(party.store, calls, "add", "pin")  # type: ignore[assignment]
            holder = party.holder(ceremony, connection=connection)
            try:
                return take_part(holder, stop, QUICKLY)
            except Killed:
                continue
            finally:
                holder.journal.close()
        return None

    ended = together(dying, *(taking_part(party) for party in parties[1:]))
    assert {end.view.status for end in ended} == {CeremonyStatus.SUCCEEDED}
    assert sum(call.startswith("send") for call in calls) == 3 + 1 + 1, "three posts, the proposal and the confirmation"
    assert all(times >= 2 for times in calls.values()), "what was done before the kill is not done again where it cannot be"
    assert not {post.cid for step in ended[0].view.steps for post in step.posts.values()} & parties[0].store.pins


class Junk(FakeMachine):
    """Posts what is no message in step 1."""

    def message(self, posts: Any) -> bytes:
        return b"JUNK" + bytes(32) if len(posts) == 1 else super().message(posts)


class Other(FakeMachine):
    """Posts in step 1 what looks right and does not follow from its seed."""

    def message(self, posts: Any) -> bytes:
        return super().message(posts)[:-1] + b"\0" if len(posts) == 1 else super().message(posts)


class Suspicious(FakeMachine):
    """Says that its right share is wrong."""

    def share(self, posts: Any) -> Any:
        raise BadTranscript("a sub-share does not fit")


class Forger(FakeMachine):
    """Comes to another transcript than the messages do."""

    def transcript(self, posts: Any) -> Any:
        return super().transcript([*posts, [b"more"]])


def test_D4_who_posts_what_is_no_message_is_named_at_once(parties: list[Party], together: Any, taking_part: Any) -> None:
    ended = together(taking_part(parties[0]), taking_part(parties[1], Junk), taking_part(parties[2]))
    assert failed(ended[::2])[0] == (1,)
    (first, *_) = ended[0].view.complaints
    assert first[1].startswith("post: step 1: holder 2: no message")
    assert all(not (party.home / "seed.json").exists() for party in parties)


def test_D4_who_says_falsely_that_its_share_is_wrong_is_named(parties: list[Party], together: Any, taking_part: Any) -> None:
    ended = together(taking_part(parties[0]), taking_part(parties[1]), taking_part(parties[2], Suspicious))
    positions, reason = failed(ended)
    assert positions == (2,) and "said that something is wrong" in reason
    assert set(ended[0].view.seeds) == {0, 1}, "who contributes nothing has no seed to publish"
    assert KeyRegistry(parties[0].client).epoch_of(ended[0].view.epoch.number).status is KeyEpochStatus.REJECTED


def test_D4_the_seeds_name_who_made_what_looked_right(parties: list[Party], together: Any, taking_part: Any) -> None:
    """Nothing shows until a share is wrong: then the messages are made again, and the first that differs is the cause."""
    ended = together(taking_part(parties[0]), taking_part(parties[1], Other), taking_part(parties[2], Suspicious))
    assert failed(ended[::2])[0] == (1,)


def test_D4_who_proposes_another_transcript_is_named(parties: list[Party], together: Any, taking_part: Any) -> None:
    ended = together(taking_part(parties[0], Forger), taking_part(parties[1]), taking_part(parties[2]))
    positions, reason = failed(ended[1:])
    assert positions == (0,) and "another transcript" in reason


def pass_time(anvil: Anvil, seconds: int) -> None:
    anvil.rpc("evm_increaseTime", seconds)
    anvil.rpc("evm_mine")


def test_D4_who_is_missing_is_named(parties: list[Party], ceremony: int, anvil: Anvil, together: Any, taking_part: Any) -> None:
    pass_time(anvil, SECONDS + 60)
    positions, reason = failed(together(taking_part(parties[0]), taking_part(parties[2])))
    assert positions == (0, 1, 2) and "step 0" in reason


def test_D4_a_message_that_nobody_has_names_nobody(
    parties: list[Party], ceremony: int, anvil: Anvil, together: Any, taking_part: Any
) -> None:
    keys, client = KeyRegistry(parties[1].client), parties[1].client
    raw = FakeMachine(parties[1].holder(ceremony).terms, 1, parties[1].seed).message([])
    client.send(KeyRegistry.post("ceremony/1/post/0", ceremony, 0, bytes(32), keccak256(raw), cid_of(raw)))
    for party in (parties[0], parties[2]):
        holder = party.holder(ceremony)
        message = holder.machine.message([])
        party.client.send(KeyRegistry.post("x", ceremony, 0, bytes(32), keccak256(message), party.store.add(message)))
        holder.journal.put("step/0/message", {"hash": keccak256(message).hex(), "cids": [cid_of(message)], "head": bytes(32).hex()})
        holder.journal.close()
    assert keys.ceremony_of(ceremony).step == 1
    pass_time(anvil, SECONDS * 4 // 5)

    ended = together(taking_part(parties[0]), taking_part(parties[2]), lambda stop: _publishes(parties[1], ceremony, stop))
    assert failed(ended[:2]) == ((), "every message is what its seed gives")
    assert ended[0].view.complaints[0][1].startswith("withheld: step 0")


class Broken(FakeMachine):
    """Has a fault that a peer's message finds."""

    def awaited(self, posts: Any) -> Any:
        if posts:
            raise ZeroDivisionError("5ec2e7")
        return super().awaited(posts)


def test_a_fault_of_ours_is_told_without_what_it_says(parties: list[Party], ceremony: int, together: Any, taking_part: Any) -> None:
    with pytest.raises(InternalFault, match="ZeroDivisionError at test_taking_part") as fault:
        together(taking_part(parties[0]), taking_part(parties[1]), taking_part(parties[2], Broken))
    assert "5ec2e7" not in str(fault.value)


def test_D3_a_home_that_did_not_make_what_the_chain_has_sends_nothing(
    parties: list[Party], ceremony: int, together: Any, taking_part: Any
) -> None:
    """As after a restore into a running ceremony, or with another seed."""
    parties[1].client.send(KeyRegistry.post("by hand", ceremony, 0, bytes(32), b"\1" * 32, "bafymessage"))
    before = parties[1].client.nonce(parties[1].client.address)
    (ended,) = together(taking_part(parties[1]))
    assert ended.diverged and parties[1].client.nonce(parties[1].client.address) == before
    assert any("sends nothing more" in str(record.get("message")) for record in parties[1].records)


def test_D3_another_message_than_the_journals_is_not_sent(parties: list[Party], ceremony: int, together: Any, taking_part: Any) -> None:
    """As after a reorganisation that is deeper than the final block: this seed has answered other posts."""
    holder = parties[0].holder(ceremony)
    holder.journal.put("step/0/message", {"hash": "ab" * 32, "cids": [], "head": bytes(32).hex()})
    holder.journal.close()
    before = parties[0].client.nonce(parties[0].client.address)
    (ended,) = together(taking_part(parties[0]))
    assert ended.diverged and parties[0].client.nonce(parties[0].client.address) == before
    (again,) = together(taking_part(parties[0]))
    assert again.diverged


def test_D3_other_posts_than_those_it_answered_end_its_part(parties: list[Party], ceremony: int, together: Any, taking_part: Any) -> None:
    holder = parties[0].holder(ceremony)
    answered = {"hash": "ab" * 32, "cids": [], "head": "cd" * 32}
    holder.journal.put("step/1/message", answered)
    holder.journal.close()
    for party, name in zip(parties[1:], ("b", "c"), strict=True):
        party.client.send(KeyRegistry.post(name, ceremony, 0, bytes(32), keccak256(name.encode()), "bafymessage"))
    assert together(taking_part(parties[0]))[0].diverged, "after its own post of step 0, which is not in question"
    assert KeyRegistry(parties[0].client).ceremony_of(ceremony).step == 1


def test_D2_what_is_not_final_is_not_answered(parties: list[Party], ceremony: int, anvil: Anvil, connect: Any) -> None:
    deep = Party(connect(0, confirmations=5), parties[0].store, parties[0].home)
    holder = deep.holder(ceremony)
    keys = deep.connection.keys

    def next_action() -> Action:
        view = read(deep.connection, ceremony, 5)
        assert view is not None
        return decide(view, holder.facts(view, keys.ceremony_of(ceremony)), 0)

    assert read(deep.connection, ceremony, 5) is None, "not even the announcement"
    anvil.mine(5)
    view = read(deep.connection, ceremony, 5)
    assert view is not None and isinstance(next_action(), PostMessage)
    holder.perform(view, PostMessage(0), 0)
    assert next_action() == Wait(), "the own post is there, and not final"
    for party in parties[1:]:
        message = FakeMachine(holder.terms, holder.terms.holders.index(party.client.address), party.seed).message([])
        party.client.send(KeyRegistry.post("x", ceremony, 0, bytes(32), keccak256(message), party.store.add(message)))
    assert keys.ceremony_of(ceremony).step == 1 and next_action() == Wait()
    anvil.mine(5)
    assert next_action() == Check(0)
    holder.journal.close()


def test_what_a_poster_names_instead_of_its_message_stays_as_it_was(
    parties: list[Party], ceremony: int, together: Any, taking_part: Any
) -> None:
    """A blob that another keeps for its own reasons is neither taken for a message nor ever unpinned."""
    precious = parties[0].store.add(b"a study's spec")
    parties[1].client.send(KeyRegistry.post("lie", ceremony, 0, bytes(32), keccak256(b"a study's spec"), precious))
    ended = together(taking_part(parties[0]), taking_part(parties[2]), lambda stop: _publishes(parties[1], ceremony, stop))
    assert failed(ended[:2])[0] == (1,)
    assert parties[0].store.is_pinned(precious)


def _publishes(party: Party, ceremony: int, stop: threading.Event) -> Ended | None:
    keys = KeyRegistry(party.client)
    while not stop.is_set() and keys.ceremony_of(ceremony).status is CeremonyStatus.RUNNING:
        stop.wait(0.02)
    party.client.send(KeyRegistry.publish_seed("s", ceremony, party.seed))
    view = read(party.connection, ceremony, 0)
    return Ended(view, None) if view else None
