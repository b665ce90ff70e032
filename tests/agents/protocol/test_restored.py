"""C7: a journal from a backup never has a second update, reveal or share leave the node."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest

from defedbio.chain.records import Head, Receipt
from defedbio.domain import Phase
from defedbio.errors import ChainUnreachable, InternalFault
from defedbio.protocol.catalogue import TRANSACTION, kind_of
from defedbio.protocol.effects import sums
from defedbio.protocol.journal import Journal, snapshot
from defedbio.protocol.memory import open_journal
from defedbio.protocol.restored import Restored, Settling, mark, restored
from defedbio.protocol.tools import Tools
from defedbio.report import Reporter
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
    with pytest.raises(InternalFault, match="may have begun before the journal was restored"):
        sums.release_share(tools, world.ledger.round(1))
    assert not world.ledger.calls("release_share", PEOPLE[ONE]) and tools.memory.journal.get("round/1/release") is None
    world.close()


RECEIPT = Receipt(b"\x11" * 32, 20, b"\x20" * 32, PEOPLE[ONE], 21_000, 1, ())


@dataclass
class Chain:
    """An Ethereum node: what it says of itself, whether it shows this organisation's transfers, and its rounds by each block."""

    rounds: dict[int, int]
    tip: int = 20
    behind: bool = False
    mines: bool = True
    mined: Receipt = RECEIPT
    names: list[str] = field(default_factory=list)

    def syncing(self) -> bool:
        return self.behind

    def self_transfer(self, key: str) -> Receipt:
        self.names.append(key)
        if not self.mines:
            raise ChainUnreachable("the transaction 0x is not mined after 600 s")
        return self.mined

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        return self.mined if self.mined.tx_hash == tx_hash else None

    def head(self) -> Head:
        return Head(self.tip, bytes(32), 0)

    def round_count(self, block: int | None = None) -> int:
        assert block is not None, "the newest block may be another one's"
        return self.rounds[block]


def settling(journal: Journal, chain: Chain, confirmations: int = 0) -> Settling:
    return Settling(journal, chain, chain, Reporter(lambda _: None), confirmations)


def settle(journal: Journal, count: int) -> Restored | None:
    settling(journal, Chain({20: count})).attempt()
    return restored(journal)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = open_journal(tmp_path / "journal.sqlite")
    yield made
    made.close()


def test_c7_the_chain_is_asked_once_after_each_restore(journal: Journal) -> None:
    assert restored(journal) is None, "this one never was restored"
    mark(journal, MADE_AT)
    assert restored(journal) == Restored(MADE_AT, None), "any round may have begun"
    assert settle(journal, 7) == Restored(MADE_AT, 7)
    mark(journal, MADE_AT + 1)
    assert restored(journal) == Restored(MADE_AT + 1, None), "of a backup that was of a restored home"
    assert settle(journal, 9) == Restored(MADE_AT + 1, 9)


def test_c7_rounds_are_counted_only_once_the_own_transaction_is_mined(journal: Journal) -> None:
    mark(journal, MADE_AT)
    chain = Chain({20: 0, 30: 3}, behind=True)
    node = settling(journal, chain)
    with pytest.raises(ChainUnreachable, match="still syncing"):
        node.attempt()
    assert chain.names == [], "nothing is sent with a nonce of a chain that is behind"
    chain.behind, chain.mines = False, False
    for _ in range(2):
        with pytest.raises(ChainUnreachable, match=r"not mined after 600 s: .*it may be behind"):
            node.attempt()
    assert restored(journal) == Restored(MADE_AT, None)
    chain.mines, chain.tip, chain.mined = True, 30, replace(RECEIPT, block=30)
    assert settling(journal, chain).attempt() == 3, "of the block that shows it, by whichever process"
    assert len(set(chain.names)) == 1 and restored(journal) == Restored(MADE_AT, 3)


def test_c7_the_own_transaction_is_as_deep_as_counts_and_not_one_that_a_reorganisation_took_back(journal: Journal) -> None:
    mark(journal, MADE_AT)
    chain = Chain({22: 4, 23: 5, 32: 6})
    node = settling(journal, chain, confirmations=2)
    chain.tip = 21
    assert node.attempt() is None
    chain.tip, chain.mined = 22, replace(RECEIPT, tx_hash=b"\x12" * 32, block=30)
    assert node.attempt() is None, "it is in no block any more"
    chain.tip = 31
    assert node.attempt() is None
    chain.tip = 32
    assert node.attempt() == 6 and chain.names == [chain.names[0]] * 2


def test_c7_another_restore_has_a_transaction_of_its_own_mined(journal: Journal) -> None:
    """A backup may hold the transfer of the restore before, and that was mined before this one."""
    chain = Chain({20: 1})
    for restores in range(1, 3):
        mark(journal, MADE_AT)
        chain.mines = False
        with pytest.raises(ChainUnreachable):
            settling(journal, chain).attempt()
        assert len(set(chain.names)) == restores
    assert all(kind_of(name) is TRANSACTION for name in chain.names), "the journal of a study takes it"


def test_c7_a_journal_that_is_begun_anew_in_a_restored_home_is_of_that_home(tmp_path: Path) -> None:
    world = InProcess(tmp_path, frame_of({"preprocessing": None}))
    world.play(reached(1, Phase.COMMITTED))
    world.tools[ONE].memory.journal.close()
    (tmp_path / f"{ONE}.sqlite").unlink()  # its study was joined after the backup
    tools = world.restart(ONE)
    assert restored(tools.memory.journal, MADE_AT) == Restored(MADE_AT, None)
    past = settle(tools.memory.journal, 1)
    assert past == Restored(MADE_AT, 1) == restored(tools.memory.journal, MADE_AT)
    tools.sits_out_through = past.through
    before = len(world.ledger.sent)
    world.play(reached(1, Phase.COMMITTED), who=(ONE,))
    assert not FORBIDDEN.intersection(function for function, *_ in world.ledger.sent[before:])
    world.close()


def test_c7_a_chain_that_is_behind_does_not_say_less_than_the_journal_knows(journal: Journal) -> None:
    mark(journal, MADE_AT)
    assert settle(journal, 7) == Restored(MADE_AT, 7)
    mark(journal, MADE_AT + 1)
    mark(journal, MADE_AT + 2)
    assert settle(journal, 5) == Restored(MADE_AT + 2, 7), "what an earlier restore sat out stays so"
    journal.put("round/9/release", {"aggregate": "aa"})
    mark(journal, MADE_AT + 3)
    assert settle(journal, 5) == Restored(MADE_AT + 3, 9), "it has been in that round"


def test_c7_while_the_chain_has_not_shown_it_every_round_counts_as_begun(played: tuple[InProcess, list[bytes], list[Any]]) -> None:
    world, journals, ledgers = played
    for moment in range(0, len(journals), 2):
        tools = world.from_backup(ONE, journals[moment])
        tools.sits_out_through = None
        assert not FORBIDDEN.intersection(act_on(world, tools, ledgers[moment + 1])), PHASES[moment // 2]
