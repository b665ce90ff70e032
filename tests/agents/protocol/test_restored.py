"""C7: a journal from a backup never has a second update, reveal or share leave the node."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest

from defedbio.domain import Phase
from defedbio.errors import InternalFault
from defedbio.protocol.effects import sums
from defedbio.protocol.journal import Journal, snapshot
from defedbio.protocol.restored import Restored, mark, restored
from defedbio.protocol.tools import Tools
from tests.agents.protocol.in_process import PEOPLE, InProcess, Recorder, frame_of, reached

PHASES = (Phase.OPEN, Phase.COMMITTED, Phase.REVEALED, Phase.FROZEN, Phase.AGGREGATED, Phase.DECRYPTED)
FORBIDDEN = {"commit", "declare_privacy", "reveal", "release_share", "come_back"}
ONE, MADE_AT = 2, 1_700_000_000


def act_on(world: InProcess, tools: Tools, ledger: Any) -> list[str]:
    """What the organisation sends to a copy of the ledger until it has nothing to do."""
    index = PEOPLE.index(tools.address)
    original, world.ledger = world.ledger, deepcopy(ledger)
    tools.chain = Recorder(world.ledger, tools.address)
    before = len(world.ledger.sent)
    try:
        for _ in range(40):
            if not world.step(index):
                break
        return [name for who, name, _ in world.ledger.sent[before:] if who == tools.address]
    finally:
        world.ledger = original


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InProcess, list[bytes], list[Any]]]:
    """A round, with the journal of an organisation and the ledger as they were when each phase began and just before it ended."""
    world = InProcess(tmp_path_factory.mktemp("played"), frame_of({"preprocessing": None}))
    journals, ledgers = [], []
    others = tuple(index for index in range(len(PEOPLE)) if index != ONE)
    world.play(reached(1, Phase.OPEN))
    for phase, following in zip(PHASES, (*PHASES[1:], Phase.FINALISED), strict=True):
        assert world.ledger.round(1).phase == phase
        journals.append(snapshot(world.folder / f"{ONE}.sqlite"))
        ledgers.append(deepcopy(world.ledger))
        while world.ledger.round(1).phase == phase and world.step(ONE):
            pass
        journals.append(snapshot(world.folder / f"{ONE}.sqlite"))
        ledgers.append(deepcopy(world.ledger))
        world.play(reached(1, following), who=(*others, ONE))
    yield world, journals, ledgers
    world.close()


MOMENTS = combinations_with_replacement(range(2 * len(PHASES)), 2)
PAIRS = [(then, now) for then, now in MOMENTS if then % 2 == 0 and (now % 2 == 1 or now == then)]


def test_c7_whenever_it_was_backed_up_and_restored_nothing_leaves_a_second_time(played: tuple[InProcess, list[bytes], list[Any]]) -> None:
    world, journals, ledgers = played
    unmarked, seen = set(), set()
    for backed_up, now in PAIRS:
        tools = world.from_backup(ONE, journals[backed_up])
        sent = act_on(world, tools, ledgers[now])
        assert not FORBIDDEN.intersection(sent), (PHASES[backed_up // 2], PHASES[now // 2], sent)
        seen.update(sent)
        if backed_up % 2 == 0 and now == backed_up:
            tools.sits_out_through = 0
            unmarked.update(act_on(world, tools, ledgers[now]))
    assert {"attest_set", "attest_model"} <= seen, "what is public goes on"
    assert {"commit", "reveal", "release_share"} <= unmarked, "and without the rule these would have left"


def test_c7_the_next_round_goes_on_with_the_restored_node(tmp_path: Path) -> None:
    world = InProcess(tmp_path, frame_of({"preprocessing": None}))
    world.play(reached(1, Phase.OPEN))
    early = snapshot(tmp_path / f"{ONE}.sqlite")
    world.play(reached(1, Phase.COMMITTED))
    world.from_backup(ONE, early)
    world.play(lambda study: len(study.rounds[1].reveals) == len(PEOPLE) - 1)
    assert not world.step(ONE), "the deadline has to end this phase"
    world.recorder(0).advance("deadline", 1)
    study = world.play(lambda study: study.complete)
    assert study.rounds[1].phase == Phase.VOIDED and len(study.rounds[2].frozen) == len(PEOPLE)
    assert [args[0] for args in world.ledger.calls("commit", PEOPLE[ONE])] == [1, 2]
    world.close()


def test_c7_the_effect_itself_refuses_a_share_of_a_forgotten_round(tmp_path: Path) -> None:
    world = InProcess(tmp_path, frame_of({"preprocessing": None}))
    world.play(reached(1, Phase.AGGREGATED))
    tools = world.from_backup(ONE, snapshot(tmp_path / f"{ONE}.sqlite"))
    with pytest.raises(InternalFault, match="before the journal was restored"):
        sums.release_share(tools, world.ledger.round(1))
    assert not world.ledger.calls("release_share", PEOPLE[ONE]) and tools.memory.journal.get("round/1/release") is None
    world.close()


def test_c7_the_chain_is_asked_once_after_each_restore(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    newest = iter((7, 9))
    assert restored(journal, newest.__next__) is None, "this one never was restored"
    mark(journal, MADE_AT)
    with pytest.raises(ConnectionError):
        restored(journal, lambda: (_ for _ in ()).throw(ConnectionError()))
    assert [restored(journal, newest.__next__) for _ in range(3)] == [Restored(MADE_AT, 7)] * 3
    mark(journal, MADE_AT + 1)
    assert restored(journal, newest.__next__) == Restored(MADE_AT + 1, 9), "of a backup that was of a restored home"
    journal.close()


def test_c7_a_journal_that_is_begun_anew_in_a_restored_home_is_of_that_home(tmp_path: Path) -> None:
    world = InProcess(tmp_path, frame_of({"preprocessing": None}))
    world.play(reached(1, Phase.COMMITTED))
    world.tools[ONE].memory.journal.close()
    (tmp_path / f"{ONE}.sqlite").unlink()  # its study was joined after the backup
    tools = world.restart(ONE)
    past = restored(tools.memory.journal, lambda: 1, MADE_AT)
    assert past == Restored(MADE_AT, 1) == restored(tools.memory.journal, lambda: 2, MADE_AT)
    tools.sits_out_through = past.through
    before = len(world.ledger.sent)
    world.play(reached(1, Phase.COMMITTED), who=(ONE,))
    assert not FORBIDDEN.intersection(function for function, *_ in world.ledger.sent[before:])
    world.close()


def test_c7_a_chain_that_is_behind_does_not_say_less_than_the_journal_knows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    mark(journal, MADE_AT)
    assert restored(journal, lambda: 7) == Restored(MADE_AT, 7)
    mark(journal, MADE_AT + 1)
    mark(journal, MADE_AT + 2)
    assert restored(journal, lambda: 5) == Restored(MADE_AT + 2, 7), "what an earlier restore sat out stays so"
    journal.put("round/9/release", {"aggregate": "aa"})
    mark(journal, MADE_AT + 3)
    assert restored(journal, lambda: 5) == Restored(MADE_AT + 3, 9), "it has been in that round"
    journal.close()
