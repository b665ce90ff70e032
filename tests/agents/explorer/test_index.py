"""The tables, kept up, made anew, and read while they change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from defedbio.chain import events as ev
from defedbio.errors import ChainUnreachable, NotFound
from tests.agents.explorer.world import CONTRACTS, MODEL, PEOPLE, STRANGER, UPDATE, World, word


def test_events_are_found_by_what_one_looks_them_up_by(world: World) -> None:
    with world.index.read() as tables:
        assert {type(e) for e in tables.by_address[PEOPLE[3]]} == {ev.ParticipantRegistered, ev.MemberAdmitted, ev.ParticipantEnrolled}
        assert len(tables.by_cid[UPDATE]) == 8
        assert tables.paths[word("model 1")] == tables.paths[word("root 1 e9")] == "/round/1"
        assert (tables.paths[word("spec")], tables.paths[word("t")]) == ("/study/1", "/epoch/1")
        assert bytes(32) not in tables.paths, "a proof that is not there names nothing"
        assert len(tables.by_contract[CONTRACTS["KeyRegistry"]]) == 5
        assert list(tables.members) == list(PEOPLE)
        assert sum(map(len, tables.by_block.values())) == len(world.chain.events) == sum(map(len, tables.by_tx.values()))
    assert world.index.round(1)[1].model_cid == MODEL


def test_polling_adds_and_says_so(world: World) -> None:
    before = world.index.version
    assert not world.index.poll()
    assert world.index.version == before
    world.round(2, final=False)
    assert world.index.poll()
    assert world.index.version == before + 1
    assert world.index.wait(before, 0.0) == before + 1
    assert [view.id for _, view in sorted(world.index.study(1).rounds.items())] == [1, 2]


def test_after_a_reorganisation_nothing_of_the_other_branch_is_left(world: World) -> None:
    assert world.lookups.fill(*world.index.round(1))
    assert world.lookups.gas_of_round(1) is not None
    world.chain.reorganise()
    world.found(names=("alpha", "other", "gamma", "delta"))
    world.chain.emit(ev.MemberRemoved, PEOPLE[3], 3)
    world.index.poll()
    with pytest.raises(NotFound, match="no round 1"):
        world.index.round(1)
    with world.index.read() as tables:
        assert UPDATE not in tables.by_cid and not tables.by_round
        assert PEOPLE[3] not in tables.members and PEOPLE[3] in tables.admitted
    assert world.index.name_of(PEOPLE[1]) == "other"
    world.round(1, final=False)
    world.index.poll()
    assert world.lookups.gas_of_round(1) is None, "what another round 1 cost is forgotten"


def test_while_the_chain_is_away_what_was_known_stays(world: World) -> None:
    world.chain.down = True
    with pytest.raises(ChainUnreachable):
        world.index.poll()
    assert world.index.round(1)[1].phase.ended


def test_pages_are_whole_while_the_tables_grow(world: World) -> None:
    """One thread adds rounds as fast as it can; whoever reads meanwhile finds every round of the study that it finds."""

    def read() -> None:
        while len(world.index.study(1).rounds) < 40:
            for number in world.index.study(1).rounds:
                world.index.round(number)
            world.pages.find("delta")
            with world.index.read() as tables:
                assert sum(map(len, tables.by_block.values())) == sum(map(len, tables.by_tx.values()))

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for number in range(2, 41):
            world.round(number)
            world.index.poll()
        for reader in readers:
            reader.result(20)


def test_a_stranger_is_no_member(world: World) -> None:
    world.chain.emit(ev.ParticipantRegistered, STRANGER, "beta", "", bytes(32), "/ip4/10.0.0.1/tcp/22/p2p/12D3KooWx")
    world.index.poll()
    assert world.pages.find("BETA") == f"/address/{PEOPLE[1]}", "a member comes before who took its name"
    answer = world.blobs.reach.get(STRANGER, 5.0)
    assert answer is not None and answer.ok is None and "not dialled" in answer.detail
