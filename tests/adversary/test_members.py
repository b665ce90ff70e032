"""Members of the consortium who take seats, stay away, or write more than they should."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from defedbio import Client
from defedbio.chain import events as ev
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.events import block_time
from defedbio.chain.network import Network
from defedbio.chain.values import Profile
from defedbio.domain import BitSet, Phase
from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.network.describe import consent_to
from defedbio.protocol import catalogue as kinds
from defedbio.protocol import parts
from defedbio.protocol import view as view_module
from defedbio.protocol.effects import sums
from defedbio.protocol.memory import key_of
from defedbio.protocol.view import StudyView, fold
from tests.adversary.arena import PHASE_SECONDS, Arena, Member, reached
from tests.adversary.frame import Attack
from tests.anvil import QUICK, Anvil, account, deployed_on, undone

MakeArena = Callable[..., Arena]
LONG = PHASE_SECONDS
SHORT = PHASE_SECONDS / 10
PASSWORD = "a long enough password"
INVITED = [str(account(position).address) for position in range(4)]


def seats(**more: Any) -> dict[str, Any]:
    return {"participants": {"seats": 4, "minimum": 3, **more}}


def lasted(arena: Arena, number: int, phase: Phase) -> int:
    """Seconds on the chain that a round took for a phase."""
    entered = {
        e.phase: block_time(arena.members[0].client, e) for e in arena.events() if isinstance(e, ev.PhaseEntered) and e.round == number
    }
    return entered[Phase(phase + 1)] - entered[phase]


def consent(arena: Arena) -> str:
    """What an operator is asked to accept."""
    reader = arena.reader(arena.members[1])
    on_chain, spec = reader.spec(arena.study)
    return str(consent_to(arena.study, on_chain, on_chain.rules, spec, reader.keys.epoch_of(on_chain.key_epoch), lambda who: ""))


def test_a_member_that_nobody_invited_takes_a_seat(attack: Attack, make_arena: MakeArena) -> None:
    attack.by("a member of the consortium whom the coordinator of the study did not invite")
    refusals = []

    def knock(arena: Arena, spec_hash: bytes) -> None:
        refusals.append(arena.refusal(arena.stranger(), StudyRegistry.enrol("enrol", arena.study, spec_hash)))

    with attack.sends("its enrolment, before anyone else enrols"):
        arena = make_arena(at_the_door=knock, changes=seats(invited=INVITED))
    with attack.seen("by the contract, which refuses it; who may enrol is among the words that an operator reads before it accepts"):
        assert refusals == ["StudyRegistryNotInvited"]
        assert all(f"  {address}" in consent(arena) for address in INVITED)
    with attack.works("the seats are for the invited, and their study ends"):
        study = arena.play(lambda study: study.complete)
        assert list(study.participants) == list(study.invited) == INVITED
    with attack.unlearnt("the sum of the invited by one who would know a part of it"):
        arena.check_opened()


@pytest.mark.parametrize("on_chain", [[], [*INVITED[:3], str(account(9).address)]], ids=["any member", "another"])
def test_a_coordinator_lets_in_others_than_its_spec_says(attack: Attack, make_arena: MakeArena, on_chain: list[str]) -> None:
    attack.by("a coordinator, who opens the study on the chain itself")
    arena = make_arena(changes=seats(invited=INVITED))
    spec, coordinator = arena.frame.spec, arena.members[0]
    true = StudyRegistry(coordinator.client).study_of(arena.study)
    with attack.sends("a study whose spec invites four, and whose contract takes any member or another one"):
        cid = coordinator.store.add(spec.raw)
        opening = StudyRegistry.open("again", spec.key_epoch, true.spec_hash, cid, true.rules, on_chain)
        false = StudyRegistry(coordinator.client).opened_in(arena.send(coordinator, opening))
    with (
        attack.seen("by everyone who is asked to join: the study is refused before there is anything to accept"),
        pytest.raises(InvalidSpec, match="takes others on the chain than its spec invites"),
    ):
        arena.reader(arena.members[1]).spec(false)
    with attack.works("the study whose spec and contract agree"):
        assert arena.reader(arena.members[1]).spec(arena.study)[1].invited == tuple(INVITED)
    with attack.unlearnt("anything: nobody enrols, so nobody trains"):
        assert StudyRegistry(coordinator.client).study_of(false).enrolled == 0


def go_through(arena: Arena, number: int, who: list[Member], waiting: Phase | None = None) -> None:
    """A whole round of these members, one phase of which lasts until its deadline."""
    arena.play(reached(number, waiting or Phase.FINALISED), who)
    if waiting is not None:
        while any(arena.step(member) for member in who):
            pass
        arena.skip(LONG)
        arena.play(reached(number, Phase.FINALISED), who)


def test_an_enrolled_member_that_never_answers(attack: Attack, make_arena: MakeArena) -> None:
    attack.by("an enrolled participant and key holder, whose node is off")
    arena = make_arena(changes={"rounds": 5})
    *others, silent = arena.members
    with attack.sends("nothing, in four rounds"):
        for number in range(1, 4):
            go_through(arena, number, others, waiting=Phase.OPEN)
        go_through(arena, 4, others)
    with attack.seen("on the chain: the fourth round does not wait for it"):
        rounds = arena.view().rounds
        assert [rounds[number].absent for number in range(1, 5)] == [BitSet()] * 3 + [BitSet.of(silent.position)]
    with attack.works("three rounds wait until the deadline, and the fourth for nobody; when it is back it is waited for again"):
        assert [lasted(arena, number, Phase.OPEN) >= LONG for number in range(1, 5)] == [True] * 3 + [False]
        assert lasted(arena, 4, Phase.OPEN) < SHORT and lasted(arena, 4, Phase.COMMITTED) < SHORT
        arena.play(reached(5, Phase.OPEN), others)
        while silent.position not in arena.round(5).returned:
            assert arena.step(silent)
        arena.play(lambda study: len(study.rounds[5].commitments) == 3, others)
        while any(arena.step(member) for member in others):
            assert arena.round(5).phase == Phase.OPEN, "they are through, and wait for it"
        study = arena.play(lambda study: study.complete)
        assert silent.position in study.rounds[5].frozen and lasted(arena, 5, Phase.OPEN) < SHORT
    with attack.unlearnt("anything beyond the one sum of each round"):
        arena.check_opened()


def test_an_enrolled_member_that_commits_and_never_reveals(attack: Attack, make_arena: MakeArena) -> None:
    attack.by("an enrolled participant")
    arena = make_arena(changes={"rounds": 4})
    *others, mute = arena.members
    with attack.sends("a commitment in each of four rounds, at once, and no reveal"):
        for number in range(1, 5):
            arena.play(reached(number, Phase.OPEN), others)
            arena.send(mute, RoundManager.commit("commit", number, os.urandom(32)))
            go_through(arena, number, others, waiting=Phase.COMMITTED if number < 4 else None)
    with attack.seen("on the chain: the fourth round waits neither for its commitment nor for its reveal"):
        rounds = arena.view().rounds
        assert all(mute.address in view.commitments for view in rounds.values())
        assert [rounds[number].absent for number in range(1, 5)] == [BitSet()] * 3 + [BitSet.of(mute.position)]
    with attack.works("three rounds wait until the deadline of the reveals, and the fourth for nobody"):
        assert [lasted(arena, number, Phase.COMMITTED) >= LONG for number in range(1, 5)] == [True] * 3 + [False]
        assert lasted(arena, 4, Phase.COMMITTED) < SHORT and arena.view().complete
    with attack.unlearnt("anything beyond the one sum of each round"):
        arena.check_opened()


@pytest.mark.long
def test_a_member_that_comes_back_again_and_again_and_stays_away(attack: Attack, make_arena: MakeArena) -> None:
    attack.by("an enrolled participant that is no longer waited for")
    arena = make_arena(changes={"rounds": 6})
    *others, away = arena.members
    for number in range(1, 4):
        go_through(arena, number, others, waiting=Phase.OPEN)
    arena.play(reached(4, Phase.OPEN), others)
    with attack.sends("that it is back, in each round, and no commitment"):
        arena.send(away, RoundManager.come_back("back", 4))
        go_through(arena, 4, others, waiting=Phase.OPEN)
        arena.play(reached(5, Phase.OPEN), others)
        refusal = arena.refusal(away, RoundManager.come_back("back", 5))
    with attack.seen("by the contract, which lets each come back once in eight steps"):
        assert refusal == "RoundManagerReturnedLately"
    with attack.works("one round waits for it once more, and the next goes on at once"):
        arena.play(reached(5, Phase.FINALISED), others)
        assert lasted(arena, 4, Phase.OPEN) >= LONG and lasted(arena, 5, Phase.OPEN) < SHORT
    with attack.unlearnt("anything beyond the one sum of each round"):
        arena.check_opened()


def test_a_flood_of_accusations(attack: Attack, make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch) -> None:
    attack.by("an enrolled participant that holds no share, and accuses honest key holders")
    monkeypatch.setattr(parts, "LEAST", 1)
    arena = make_arena(holders=3, quorum=2, changes={"model": {"kind": "mlp", "hidden": [16]}})
    liar = arena.members[3]
    arena.play(reached(1, Phase.DECRYPTED))
    accused = {share.holder for share in arena.round(1).shares}
    with attack.sends("accusations of every share of the sum, again and again"):
        for holder in accused:
            arena.send(liar, RoundManager.dispute_share("lie", 1, holder, "BadShare: a lie"))
        refusals = {arena.refusal(liar, RoundManager.dispute_share("lie", 1, holder, f"lie {n}")) for holder in accused for n in range(5)}
    with attack.seen(
        "by the contract, which takes one of each holder; and by the nodes, each of which looks for itself and finds the share good"
    ):
        assert refusals == {"RoundManagerAlreadyDone"} and len(arena.round(1).disputes) == len(accused) == 2
        before = len(arena.round(1).shares)
        final = arena.play(reached(1, Phase.FINALISED)).rounds[1]
        assert {dispute.accuser for dispute in final.disputes} == {liar.address}
        assert not any(member.journal.get(key_of(kinds.REFUSED_SHARES, final)) for member in arena.members)
        (idle,) = [member for member in arena.key_holders if member.address not in accused]
        assert set(sums.weighed(idle.tools, final)) == accused, "the holder that has nothing else to do looks"
    with attack.works("the opening in parts, with the shares that were there; and whoever reads the events reads no faster than they come"):
        assert {post.sender for post in final.parts} == accused & set(arena.view().participants)
        assert len(final.parts) >= 2 and len(final.shares) == before, "no holder was made to release another share"
        assert copies(monkeypatch, arena.view(), liar, 300) == copies(monkeypatch, arena.view(), liar, 3)
    with attack.unlearnt("a share of anything but the one product, or one more of it"):
        arena.check_opened()


def copies(monkeypatch: pytest.MonkeyPatch, study: StudyView, liar: Member, accusations: int) -> int:
    """How often a fold of so many accusations copies the round, as an endpoint may tell them that made them up."""
    made = 0

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal made
        made += 1
        return replace(*given, **named)

    meta = ev.EventMeta(1, bytes(32), bytes(32), 0, liar.address)
    flood = [ev.ShareDisputed(1, liar.address, INVITED[0], "", meta=meta) for _ in range(accusations)]
    with monkeypatch.context() as patched:
        patched.setattr(view_module, "replace", counted)
        assert len(fold(study, flood).rounds[1].disputes) == len(study.rounds[1].disputes) + accusations
    return made


def register(network: Network, position: int, name: str) -> None:
    profile = Profile(name, "", bytes([position + 1]) * 32, "")
    ChainClient(network.rpc, network, account(position), options=QUICK).send(ParticipantRegistry.register(name, profile))


def member_client(folder: Path, network: Network, position: int) -> Client:
    """What an operator of this account votes with."""
    network.save(folder / "network.json")
    (folder / "account.json").write_text(json.dumps(Account.encrypt(account(position).key, PASSWORD, iterations=2)))
    return Client(folder, folder / "network.json", password=PASSWORD)


def test_a_stranger_that_registers_under_the_name_of_a_candidate(
    attack: Attack, anvil: Anvil, artefacts: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    attack.by("an account that is no member, and wants the votes that are meant for another")
    with undone(anvil):
        network = deployed_on(anvil, artefacts, INVITED)
        client = member_client(tmp_path, network, 0)
        candidate, stranger = str(account(4).address), str(account(5).address)
        register(network, 4, "Example Bio")
        with attack.sends("a profile of the same name to a reader, in other letters, before the members vote"):
            assert client.member.admit("Example Bio").voting.subject.address == candidate
            register(network, 5, "ＥＸＡＭＰＬＥ  bio")
        with attack.seen("by every member that votes: the name means nobody any more, and beside an address stands who else has its name"):
            with pytest.raises(InvalidInput, match=f"{candidate}, {stranger}"):
                client.member.admit("Example Bio", accept=True)
            assert client.member.admit(stranger).namesakes == (candidate,)
        with attack.works("the vote by address, and a vote to remove a member by a name that outsiders take as well"):
            assert client.member.admit(candidate, accept=True).voting.missing == 2
            register(network, 1, "Beta")
            register(network, 5, "beta")
            assert client.member.remove("Beta").voting.subject.address == INVITED[1]
        with attack.unlearnt("anything by a seat among the members, which no vote gave it"):
            state = client.member.list()
            assert stranger not in {m.address for m in state.members} | {v.subject.address for v in state.votes}
