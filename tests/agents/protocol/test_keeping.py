"""What a node keeps of finalised rounds, what it forgets, and that it never does twice what it no longer remembers."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defedbio.chain import events as ev
from defedbio.chain.records import Head
from defedbio.config import Home
from defedbio.domain import BitSet, Phase
from defedbio.errors import DefedError, InternalFault
from defedbio.nodes.pins import ClaimingStore, Pins, claims_of
from defedbio.protocol import actions as act
from defedbio.protocol import catalogue as kinds
from defedbio.protocol import retention
from defedbio.protocol.condense import condense
from defedbio.protocol.decide import Clock, Facts, Role, decide
from defedbio.protocol.effects import keeping
from defedbio.protocol.effects.keeping import Housekeeping, pinned, tidy
from defedbio.protocol.evidence import round_blobs, whole
from defedbio.protocol.journal import Journal
from defedbio.protocol.past import PastRound
from defedbio.protocol.perform import facts_of, perform
from defedbio.protocol.restored import mark
from defedbio.protocol.tools import Tools
from defedbio.protocol.verify import verify_round
from defedbio.protocol.view import RoundView, Share, StudyView, Wrong
from tests.agents.protocol.in_process import CHAIN, CONTRACT, DEADLINE, NOW, PEOPLE, QUORUM, RULES, InProcess, Recorder, frame_of, reached

DEPTH = retention.depth(0)
STORAGE = Path(__file__).parents[3] / "docs" / "storage.md"
PLAIN = {"preprocessing": None, "rounds": 2}
STAYING = {"release", "published", "privacy", "forgotten", "lacking", "let-go"}


def head(world: InProcess, deeper: int = DEPTH, at: int = 0) -> Head:
    return Head(len(world.ledger.events) + deeper, bytes(32), at)


def tidied(world: InProcess, index: int, deeper: int = DEPTH, at: int = 0, condenses: bool = False) -> int:
    """Do all that is due; gives how many things were. A node `condenses` its study, and `defedbio storage clean` does not."""
    done, seen = Housekeeping(), as_a_node if condenses else lambda world, index: world.ledger.study()
    return sum(1 for _ in iter(lambda: tidy(world.tools[index], seen(world, index), head(world, deeper, at), done), False))


def as_a_node(world: InProcess, index: int) -> StudyView:
    """The study with those rounds past that the organisation has forgotten; it reads them again as they are on the ledger."""
    tools = world.tools[index]
    tools.recall = lambda past: world.ledger.round(past.id)
    return condense(world.ledger.study(), tools.memory.swept, QUORUM)


def void(world: InProcess, number: int) -> None:
    world.recorder(0).advance(f"void {number}", number)


def adopted(world: InProcess, index: int) -> None:
    while isinstance(world.next_action(index), act.AttestModel | act.AdoptModel):
        world.step(index)


def kinds_left(tools: Tools, number: int) -> set[str]:
    found = ((kinds.kind_of(key), key) for key in tools.memory.sizes())
    return {kind.name for kind, key in found if kind is not None and kind.round_of(key) == number}


@dataclass(frozen=True)
class Recorded:
    """A study as far as it was played, to be gone on with from a copy."""

    folder: Path
    events: list[ev.Event]
    sent: list[tuple[str, str, tuple[Any, ...]]]
    blobs: list[dict[str, bytes]]
    pins: list[set[str]]

    @classmethod
    def of(cls, made: InProcess) -> Recorded:
        made.close()
        stores = [made.store(index) for index in range(4)]
        events, sent = list(made.ledger.events), list(made.ledger.sent)
        return cls(made.folder, events, sent, [dict(store.blobs) for store in stores], [set(store.pins) for store in stores])

    def again(self, folder: Path) -> InProcess:
        shutil.copytree(self.folder, folder)
        world = InProcess(folder, frame_of(PLAIN))
        world.ledger.events, world.ledger.sent = list(self.events), list(self.sent)
        for index in range(4):
            world.store(index).blobs, world.store(index).pins = dict(self.blobs[index]), set(self.pins[index])
        return world


@pytest.fixture(scope="module")
def whole_study(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A finalised round, one that was voided with everything in it but a model, and a finalised one."""
    made = InProcess(tmp_path_factory.mktemp("whole"), frame_of(PLAIN))
    made.play(reached(1, Phase.FINALISED))
    made.play(lambda study: 2 in study.rounds and study.rounds[2].phase == Phase.DECRYPTED and bool(study.rounds[2].openings))
    void(made, 2)
    made.play(reached(3, Phase.FINALISED))
    for index in range(4):
        adopted(made, index)
    return Recorded.of(made)


@pytest.fixture
def played(whole_study: Recorded, tmp_path: Path) -> Iterator[InProcess]:
    world = whole_study.again(tmp_path / "world")
    yield world
    world.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """After the first round."""
    made = InProcess(tmp_path_factory.mktemp("finished"), frame_of(PLAIN))
    made.play(reached(1, Phase.FINALISED))
    for index in range(4):
        adopted(made, index)
    return Recorded.of(made)


def test_what_is_pinned_in_the_end_is_what_the_catalogue_says(played: InProcess) -> None:
    study = played.ledger.study()
    for index in range(4):
        assert tidied(played, index) > 0
        tools, store = played.tools[index], played.store(index)
        assert store.pins == {cid for _, cid in pinned(tools, study)}
        assert store.pins == {blob.cid for view in study.finalised for blob in round_blobs(tools.frame, view) if blob.kept}
        assert store.blobs.keys() == store.pins, "what is not pinned was deleted"
        assert tidied(played, index) == 0, "nothing is due twice"


def test_of_a_void_round_nothing_is_left_but_that_it_is_not_taken_up_again(played: InProcess) -> None:
    for index in range(4):
        assert {"update", "aggregate", "pins"} <= kinds_left(played.tools[index], 2)
        tidied(played, index)
        assert kinds_left(played.tools[index], 2) <= {"release"}
        assert kinds_left(played.tools[index], 1) <= {"release"}
        assert kinds_left(played.tools[index], 3) <= {"release", "adopted"}, "of the newest the decider asks"
        left = {kind.name for key in played.tools[index].memory.sizes() if (kind := kinds.kind_of(key))}
        assert left <= {"release", "adopted", "forgotten", "model-bytes"}
        assert played.next_action(index) == act.Finish()


def test_each_node_alone_can_verify_every_finalised_round(played: InProcess) -> None:
    """C5: whoever else is gone."""
    study = played.ledger.study()
    for index in range(4):
        tidied(played, index)
    for index in range(4):
        for other in range(4):
            played.store(other).running = other == index
        for view in study.finalised:
            assert all(check.ok for check in verify_round(played.tools[index].fetcher, study, view, PEOPLE))


def test_a_node_that_was_away_keeps_it_later(played: InProcess) -> None:
    tools, store = played.tools[3], played.store(3)
    tools.memory.drop(list(tools.memory.sizes()))
    store.pins.clear()
    store.blobs.clear()
    for other in range(3):
        played.store(other).running = False
    study = played.ledger.study()
    keeping.keep(tools, study.rounds[1])
    assert tools.memory.get(kinds.LACKING) == {"rounds": [1]} and not store.pins
    assert any("could not be had" in str(note.get("message")) for note in played.notes)
    for other in range(3):
        played.store(other).running = True
    tools = played.restart(3)
    adopted(played, 3)
    tidied(played, 3)
    assert tools.memory.get(kinds.LACKING) == {"rounds": []}
    blobs = [blob for view in study.finalised for blob in round_blobs(tools.frame, view) if blob.kept]
    assert store.pins == {cid for _, cid in pinned(tools, study)}
    assert {blob.owner for blob in blobs if blob.cid not in store.pins} <= {PEOPLE[3]}, "nobody else had these"


def test_a_restored_node_pins_again_what_its_lost_ipfs_node_held(played: InProcess) -> None:
    adopted(played, 0)
    tidied(played, 0)
    tools = played.tools[0]
    held = {cid for _, cid in pinned(tools, played.ledger.study())}
    assert held and all(tools.store.is_pinned(cid) for cid in held)
    for cid in held:
        tools.store.unpin(cid)
    mark(tools.memory.journal, 1)
    tidied(played, 0)
    assert {cid for cid in held if not tools.store.is_pinned(cid)} == set()
    assert tools.memory.get(kinds.LACKING) == {"rounds": []}
    sizes = tools.memory.sizes()
    tidied(played, 0)
    assert tools.memory.sizes() == sizes, "it looks once a restore"


def test_what_is_not_what_the_chain_says_is_not_pinned_nor_ever_unpinned(played: InProcess) -> None:
    """A poster names the CID of something else that this organisation keeps: of another study, say."""
    tools, store = played.tools[1], played.store(1)
    elsewhere = store.add(b"kept for another study")
    study = played.ledger.study()
    view = study.rounds[1]
    lies = replace(view, openings=(*view.openings, replace(view.openings[0], cid=elsewhere, sender=PEOPLE[2])))
    lies = replace(lies, aggregates=(*view.aggregates, replace(view.aggregates[0], cid=elsewhere, sender=PEOPLE[2])))
    shown = replace(study, rounds={**study.rounds, 1: lies})
    done = Housekeeping()
    late = head(played, at=10**9)
    while tidy(tools, shown, late, done):
        pass
    assert tools.memory.get(kinds.LET_GO) is not None, "all else is let go"
    assert store.pins == {elsewhere}
    assert tools.memory.get(kinds.KEPT, lies) == {"missing": [], "wrong": [elsewhere]}


def test_what_a_lie_names_is_let_go_where_it_was_kept_by_right(played: InProcess) -> None:
    """A poster names the CID of another round's model in the place of an opening, so that nobody would unpin the model."""
    tools, store, study = played.tools[1], played.store(1), played.ledger.study()
    model = study.rounds[1].model_cid
    view = study.rounds[3]
    lies = replace(view, openings=(*view.openings, replace(view.openings[0], cid=model, sender=PEOPLE[2])))
    shown, done = replace(study, rounds={**study.rounds, 3: lies}), Housekeeping()
    while tidy(tools, shown, head(played), done):
        pass
    assert store.is_pinned(model) and tools.memory.get(kinds.KEPT, lies) == {"missing": [], "wrong": [model]}
    while tidy(tools, shown, head(played, at=10**9), done):
        pass
    assert not store.pins


def test_what_is_lacking_is_an_update_an_opening_or_the_model(played: InProcess) -> None:
    view, frame = played.ledger.round(1), played.study
    blobs = [blob for blob in round_blobs(frame, view) if blob.kept]
    have = frozenset(blob.cid for blob in blobs)
    assert whole(frame, view, have)
    for kind in ("update", "model"):
        assert not whole(frame, view, have - {next(blob.cid for blob in blobs if blob.kind == kind)})
    openings, shares = ({blob.cid for blob in blobs if blob.kind == kind} for kind in ("opening", "share"))
    assert whole(frame, view, have - openings), "t shares give the opening again"
    assert not whole(frame, view, have - openings - {min(shares)} if len(shares) == QUORUM else have - openings - shares)


def test_a_study_is_let_go_when_its_retention_is_over(played: InProcess) -> None:
    tools, store, study = played.tools[0], played.store(0), played.ledger.study()
    tools.agreed = (store.add(b"spec"), store.add(b"transcript"))
    assert study.latest is not None
    end = study.latest.ended_in + 30 * retention.DAY_S  # this ledger's blocks have their numbers for times
    tidied(played, 0, at=end - 1)
    assert len(store.pins) > 2
    tidied(played, 0, at=end)
    assert not store.pins and list(pinned(tools, study)) == []
    assert tidied(played, 0, at=end) == 0 and played.next_action(0) == act.Finish()


def test_a_study_of_before_there_were_claims_tells_what_it_keeps(played: InProcess, tmp_path: Path) -> None:
    """And so does one whose home was restored."""
    tools, store, home = played.tools[0], played.store(0), Home(tmp_path / "home")
    folders = [home.root / "studies" / f"{CHAIN}-{CONTRACT}-{number}" for number in (1, 2)]
    for folder in folders:
        folder.mkdir(parents=True)
    tools.agreed = (store.add(b"spec"),)
    tools.claims = claims_of(home, folders[0])
    tools.store = ClaimingStore(store, tools.claims)
    view = played.ledger.round(1)
    wanted = {blob.cid for blob in round_blobs(tools.frame, view) if blob.kept}
    tidied(played, 0)
    assert {*tools.agreed} | wanted <= Pins(home).claimed() <= store.pins
    assert Pins(home).untold() == {folders[1].name}
    left = store.pins - Pins(home).claimed()
    assert left, "while nobody knows what the other study keeps, what is forgotten stays pinned"
    claims_of(home, folders[1]).tell(wanted)
    tidied(played, 0, at=10**9)
    assert Pins(home).claimed() == wanted and store.pins == wanted | left, "but for what another study keeps"


def test_what_another_study_had_pinned_when_this_one_was_killed_is_claimed_all_the_same(played: InProcess, tmp_path: Path) -> None:
    """Killed between its note of a blob and its claim: the pin that it finds is the other's."""
    tools, store, home = played.tools[0], played.store(0), Home(tmp_path / "home")
    own, other = (home.root / "studies" / f"{CHAIN}-{CONTRACT}-{number}" for number in (1, 2))
    for folder in (own, other):
        folder.mkdir(parents=True)
        claims_of(home, folder).tell(())
    tools.claims = claims_of(home, own)
    tools.store = ClaimingStore(store, tools.claims)
    view = played.ledger.round(1)
    model = next(blob.cid for blob in round_blobs(tools.frame, view) if blob.kind == "model" and blob.kept)
    tools.memory.pinning(view, "model", [model])
    elsewhere = ClaimingStore(store, claims_of(home, other))
    elsewhere.pin(model)
    tidied(played, 0)
    elsewhere.unpin(model)
    assert store.is_pinned(model)


def test_a_study_is_let_go_although_its_last_model_was_never_adopted(played: InProcess) -> None:
    """By an operator who cleans up after a node that does not run any more."""
    tools, store = played.tools[0], played.store(0)
    tools.memory.drop([key for key in tools.memory.sizes() if kinds.ADOPTED.round_of(key) == 3])
    tidied(played, 0, at=10**9)
    assert tools.memory.swept == 2 and not store.pins and tools.memory.get(kinds.LET_GO) is not None


def erase_shares(world: InProcess, *holders: int) -> None:
    for holder in holders:
        world.ledger.emit(ev.KeyShareRetired, 1, PEOPLE[holder], BitSet.of(holder))


def test_a_study_whose_key_ended_is_let_go(finished: Recorded, tmp_path: Path) -> None:
    """K3: nothing can be opened any more, so that no node begins another round."""
    world = finished.again(tmp_path / "world")
    tools, store = world.tools[0], world.store(0)
    erase_shares(world, 3)
    tidied(world, 0, at=10**9)
    assert store.pins and tools.memory.get(kinds.LET_GO) is None, "three shares open a sum still"
    erase_shares(world, 2)
    end = len(world.ledger.events) + 30 * retention.DAY_S
    for deeper, at in ((DEPTH - 1, end), (DEPTH, end - 1)):
        tidied(world, 0, deeper, at)
        assert store.pins and tools.memory.get(kinds.LET_GO) is None, "a reorganisation may bring the share back; or it is too early"
    tidied(world, 0, at=end)
    assert not store.pins and tools.memory.get(kinds.LET_GO) is not None
    world.close()


def late_blocks(world: InProcess, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The chain's newest blocks are of this time, those with events of long before."""
    last = len(world.ledger.events)
    monkeypatch.setattr(Recorder, "block", lambda self, number: Head(number, bytes(32), number if number <= last else at))


def test_a_study_that_nobody_goes_on_with_is_let_go_and_kept_again_when_somebody_does(
    finished: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = finished.again(tmp_path / "world")
    tools, store, study = world.tools[0], world.store(0), world.ledger.study()
    tools.agreed = (store.add(b"spec"), store.add(b"transcript"))
    assert study.latest is not None and not study.complete
    rest = study.latest.ended_in + retention.REST_S
    for deep, at in ((rest - 1, rest + 30 * retention.DAY_S), (rest, rest + 30 * retention.DAY_S - 1)):
        late_blocks(world, monkeypatch, deep)
        tidied(world, 0, 2 * DEPTH, at)
        assert {*tools.agreed} < store.pins and tools.memory.get(kinds.LET_GO) is None
    late_blocks(world, monkeypatch, rest)
    tidied(world, 0, 2 * DEPTH, rest + 30 * retention.DAY_S)
    assert not store.pins and tools.memory.get(kinds.LET_GO) == {"rounds": 1, "through": 1, "rests": True}
    for other in (1, 2, 3):  # they were off all the time
        tidied(world, other)
        for cid in tools.agreed:
            world.store(other).add(b"spec" if cid == tools.agreed[0] else b"transcript")
    store.collect_garbage()
    monkeypatch.undo()
    world.play(reached(2, Phase.FINALISED))
    adopted(world, 0)
    tidied(world, 0)
    blobs = {blob.cid for view in world.ledger.study().finalised for blob in round_blobs(tools.frame, view) if blob.kept}
    assert store.pins == {*tools.agreed} | blobs and tools.memory.get(kinds.LACKING) == {"rounds": []}
    world.close()


def test_the_blobs_of_a_round_that_nobody_ends_are_let_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = InProcess(tmp_path / "stands", frame_of(PLAIN))
    world.play(reached(1, Phase.REVEALED))
    store = world.store(0)
    assert store.pins
    late = DEADLINE + retention.REST_S
    late_blocks(world, monkeypatch, late)
    tidied(world, 0, 2 * DEPTH, late + 30 * retention.DAY_S - 1)
    assert store.pins
    tidied(world, 0, 2 * DEPTH, late + 30 * retention.DAY_S)
    assert not store.pins and list(pinned(world.tools[0], world.ledger.study())) == []
    assert tidied(world, 0, 2 * DEPTH, late + 30 * retention.DAY_S) == 0
    assert {"update", "update-blob"} <= kinds_left(world.tools[0], 1), "it can be gone on with all the same"
    world.close()


def test_scaffolds_variate_goes_when_the_key_ends_and_stays_while_a_study_rests(
    finished: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = finished.again(tmp_path / "world")
    tools, view = world.tools[0], world.ledger.round(1)
    tools.memory.put(kinds.KEEP, view, b"variate", "control")
    tidied(world, 0)
    late_blocks(world, monkeypatch, 10**9)
    tidied(world, 0, 2 * DEPTH, 10**9)
    assert tools.memory.get(kinds.LET_GO) is not None and tools.memory.get(kinds.KEEP, view, "control") is not None
    world.close()
    monkeypatch.undo()
    world = finished.again(tmp_path / "another")
    tools = world.tools[0]
    tools.memory.put(kinds.KEEP, view, b"variate", "control")
    tidied(world, 0)
    assert tools.memory.get(kinds.KEEP, view, "control") is not None
    erase_shares(world, 2, 3)
    tidied(world, 0, at=10**9)
    assert tools.memory.get(kinds.LET_GO) is not None and tools.memory.get(kinds.KEEP, view, "control") is None
    world.close()


def test_what_was_to_be_looked_for_again_is_not_once_all_is_let_go(played: InProcess) -> None:
    tools, store, study = played.tools[0], played.store(0), played.ledger.study()
    assert study.latest is not None
    tidied(played, 0)
    lost = next(blob.cid for blob in round_blobs(tools.frame, study.rounds[1]) if blob.kept)
    tools.memory.put(kinds.KEPT, study.rounds[1], {"missing": [lost], "wrong": []})
    store.unpin(lost)
    late = head(played, at=study.latest.ended_in + 30 * retention.DAY_S)
    done = Housekeeping(again=(1,))
    while tidy(tools, study, late, done):
        pass
    assert tools.memory.get(kinds.LET_GO) is not None and not store.pins


def past_first(played: InProcess) -> tuple[StudyView, list[int]]:
    """The study as organisation 0 sees it once it has forgotten what it may, and the numbers of past rounds that it reads again."""
    tools, recalled = played.tools[0], list[int]()

    def recall(past: PastRound) -> RoundView:
        recalled.append(past.id)
        return played.ledger.round(past.id)

    tidied(played, 0)
    study, tools.recall = as_a_node(played, 0), recall
    assert list(study.past.rounds) == [1]
    return study, recalled


def test_a_past_round_is_kept_looked_for_and_let_go_as_any_other(played: InProcess) -> None:
    """Its details are read from the chain again, where they are asked for."""
    tools, store, full = played.tools[0], played.store(0), played.ledger.study()
    study, recalled = past_first(played)
    every, lost = set(store.pins), next(blob.cid for blob in round_blobs(tools.frame, full.rounds[1]) if blob.kept)
    tools.memory.put(kinds.KEPT, full.rounds[1], {"missing": [lost], "wrong": []})
    tools.memory.put(kinds.LACKING, None, {"rounds": [1]})
    store.unpin(lost)
    assert tidy(tools, study, head(played), Housekeeping(again=(1,)))
    assert store.pins == every and tools.memory.get(kinds.LACKING) == {"rounds": []}
    keeping.forget(tools, study, tools.memory.swept, over=False)
    assert store.pins == every == {cid for _, cid in pinned(tools, study)}, "what was found late is not unpinned"
    assert full.latest is not None
    late, done = head(played, at=full.latest.ended_in + 30 * retention.DAY_S), Housekeeping()
    while tidy(tools, study, late, done):
        pass
    assert not store.pins and tools.memory.get(kinds.LET_GO) == {"rounds": 2, "through": 3, "rests": False}
    recalled.clear()
    tools.memory.pinning(full.rounds[1], "update", [late_one := store.add(b"left by a kill")])
    keeping.forget(tools, study, tools.memory.swept, over=True)
    assert not store.is_pinned(late_one) and list(pinned(tools, study)) == [] and not recalled, "of what is let go nothing is asked"


@pytest.mark.parametrize("why", ["restored", "goes on"])
def test_past_rounds_are_looked_for_again_too(played: InProcess, why: str) -> None:
    """C7, or a study that was let go while it rested, before its third round."""
    tools, store = played.tools[0], played.store(0)
    study, recalled = past_first(played)
    tools.agreed, every = (store.add(b"spec"),), set(store.pins)
    for cid in every if why == "restored" else every - {blob.cid for blob in round_blobs(tools.frame, study.rounds[3]) if blob.kept}:
        store.unpin(cid)
    if why == "restored":
        store.pin(tools.agreed[0])  # as each start does
        mark(tools.memory.journal, 1)
    else:
        tools.memory.put(kinds.LET_GO, None, {"rounds": 1, "through": 2, "rests": True})
    done = Housekeeping()
    while tidy(tools, study, head(played), done):
        pass
    assert store.pins == every and recalled and tools.memory.get(kinds.LET_GO) is None
    assert tools.memory.get(kinds.LACKING) == {"rounds": []}


def test_what_past_rounds_keep_is_told(played: InProcess, tmp_path: Path) -> None:
    """By a journal of before there were claims."""
    tools, store, home = played.tools[0], played.store(0), Home(tmp_path / "home")
    study, _ = past_first(played)
    tools.claims = claims_of(home, home.root / "studies" / f"{CHAIN}-{CONTRACT}-1")
    (home.root / "studies" / tools.claims.study).mkdir(parents=True)
    tidy(tools, study, head(played), Housekeeping())
    assert tools.claims.told() and Pins(home).claimed() == store.pins


def test_nothing_is_let_go_while_a_study_can_go_on(finished: Recorded, tmp_path: Path) -> None:
    world = finished.again(tmp_path / "world")
    tidied(world, 0, at=10**9)
    assert world.store(0).pins and world.tools[0].memory.get(kinds.LET_GO) is None
    world.close()


def test_a_round_is_forgotten_only_where_no_reorganisation_reaches(played: InProcess) -> None:
    ended = played.ledger.round(3).ended_in
    tidied(played, 0, ended + DEPTH - 1 - len(played.ledger.events))
    assert played.tools[0].memory.through == 2
    tidied(played, 0, ended + DEPTH - len(played.ledger.events))
    assert played.tools[0].memory.through == 3


class Killed(BaseException):
    """SIGKILL here."""


def test_a_kill_at_every_write_and_every_pin_comes_to_the_same(played: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = played.ledger.study(), played.store(2)
    moments: set[tuple[str, str]] = set()

    def dying(name: str, real: Callable[..., Any], mortal: Callable[..., bool]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            for moment in ("before", "after"):
                if moment == "after":
                    result = real(*arguments)
                if mortal(*arguments) and (where := (f"{name} {arguments[1:] if name == 'write' else arguments}", moment)) not in moments:
                    moments.add(where)
                    raise Killed
            return result

        return call

    writes = dying("write", Journal._rows, lambda self, statement, *rest: self._name == "2.sqlite" and not statement.startswith("SELECT"))
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_rows", writes)
        for name in ("pin", "unpin"):
            patched.setattr(store, name, dying(name, getattr(store, name), lambda *rest: True))
        while True:
            try:
                tidied(played, 2, at=0)
                break
            except Killed:
                played.restart(2)
    assert len(moments) > 20
    tools = played.tools[2]
    tidied(played, 0)
    assert store.pins == played.store(0).pins == {cid for _, cid in pinned(tools, study)}
    others = [{key for key in each.memory.sizes() if not key.endswith("release")} for each in (tools, played.tools[0])]
    assert others[0] == others[1]


@pytest.mark.skipif("DEFEDBIO_HUNDRED_ROUNDS" not in os.environ, reason="takes minutes")
def test_a_hundred_rounds_of_which_twenty_are_void(tmp_path: Path) -> None:
    """What is on the IPFS node is what the catalogue says, whatever was void when, and the journal does not grow."""
    world = InProcess(tmp_path, frame_of({"preprocessing": None, "rounds": 80}))
    phases = (Phase.OPEN, Phase.COMMITTED, Phase.REVEALED, Phase.FROZEN, Phase.AGGREGATED, Phase.DECRYPTED)
    sizes = []
    for number in range(1, 101):
        if number % 5 != 1:
            world.play(reached(number, Phase.FINALISED))
        else:
            world.play(reached(number, phases[number // 5 % len(phases)]))
            void(world, number)
        for index in range(4):
            adopted(world, index)
            tidied(world, index, condenses=index % 2 == 0)
        sizes.append(sum(world.tools[0].memory.sizes().values()))
    study = world.ledger.study()
    assert (len(study.rounds), len(study.finalised)) == (100, 80) and study.complete
    for index in range(4):
        tools, store = world.tools[index], world.store(index)
        store.collect_garbage()
        assert store.blobs.keys() == store.pins == {cid for _, cid in pinned(tools, study)}
        assert store.pins == {cid for _, cid in pinned(tools, as_a_node(world, index))}
        assert store.pins == {blob.cid for view in study.finalised for blob in round_blobs(tools.frame, view) if blob.kept}
    assert sizes[-1] - sizes[9] <= 90 * 400, "what stays of a round is that its share was released"
    world.close()


# -- never twice ---------------------------------------------------------------------------------------------------------------------------

ONCE = ("commit", "reveal", "release_share", "declare_privacy")
ACTIONS = (
    act.PrepareUpdate(1),
    act.Commit(1),
    act.Reveal(1),
    act.CheckUpdates(1),
    act.ComputeAggregate(1),
    act.ReleaseShare(1),
    act.CombineShares(1),
    act.AttestModel(1),
)


def take_back(world: InProcess, phase: Phase) -> None:
    """A reorganisation after which the round has just entered this phase."""
    events = world.ledger.events
    entered = [at for at, event in enumerate(events) if isinstance(event, ev.PhaseEntered) and event.phase == phase and event.round == 1]
    if entered:
        del events[entered[0] + 1 :]
        world.ledger.done = {key: receipt for key, receipt in world.ledger.done.items() if receipt.block <= len(events)}


def another_set(world: InProcess) -> None:
    """One after which fewer updates were frozen."""
    view = world.ledger.study().rounds.get(1)
    if view is not None and view.frozen and not view.aggregates:
        at = next(at for at, event in enumerate(world.ledger.events) if isinstance(event, ev.SetFrozen))
        frozen = world.ledger.events[at]
        assert isinstance(frozen, ev.SetFrozen)
        world.ledger.events[at] = replace(frozen, set=BitSet.of(0, 1, 2))


def post_own(world: InProcess, index: int) -> None:
    """Its product is posted, whichever it is."""
    view = world.ledger.study().rounds.get(1)
    if view is not None and view.phase == Phase.FROZEN:
        own = world.tools[index].memory.get(kinds.AGGREGATE, view)
        if own is not None:
            world.recorder(0).post_aggregate(f"of {index}: {own['root']}", 1, bytes.fromhex(own["root"]), own["cid"])


STEPS = st.one_of(
    st.just("tidy"),
    st.just("restart"),
    st.just("turn"),
    st.just("another set"),
    st.just("post"),
    st.sampled_from((Phase.OPEN, Phase.COMMITTED, Phase.REVEALED, Phase.FROZEN, Phase.AGGREGATED, Phase.DECRYPTED)),
    st.sampled_from(ACTIONS),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=2, max_size=7))
def test_nothing_is_done_a_second_time_and_differently(
    finished: Recorded, tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    """P5: whatever is forgotten, repeated, taken back and ended in between, one commitment, one reveal, one release of a round."""
    world = finished.again(tmp_path_factory.mktemp("again") / "world")
    try:
        for step in steps:
            match step:
                case "tidy":
                    tidied(world, 2)
                case "restart":
                    world.restart(2)
                case "another set":
                    another_set(world)
                case "post":
                    post_own(world, 2)
                case Phase():
                    take_back(world, step)
                case _:
                    try:
                        if step == "turn":
                            world.step(2)
                        elif 1 in world.ledger.study().rounds:
                            perform(world.tools[2], world.ledger.study(), step)
                    except (DefedError, KeyError):
                        pass  # it may be refused, and never done differently
        for function in ONCE:
            assert len({args for args in world.ledger.calls(function, PEOPLE[2]) if args[0] == 1}) <= 1, function
    finally:
        world.close()


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.COMMITTED, Phase.REVEALED, Phase.FROZEN, Phase.AGGREGATED, Phase.DECRYPTED])
def test_a_forgotten_round_that_comes_back_is_sat_out(finished: Recorded, tmp_path: Path, phase: Phase) -> None:
    world = finished.again(tmp_path / "world")
    tidied(world, 2)
    sent = len(world.ledger.sent)
    take_back(world, phase)
    world.restart(2)
    assert world.next_action(2) is None
    for action in ACTIONS:
        with pytest.raises(DefedError):
            perform(world.tools[2], world.ledger.study(), action)
    assert len(world.ledger.sent) == sent
    world.close()


def test_a_release_is_refused_by_the_number_alone(finished: Recorded, tmp_path: Path) -> None:
    """Of two that hold a second release back, either suffices."""
    world = finished.again(tmp_path / "world")
    tidied(world, 2)
    tools, view = world.tools[2], world.ledger.round(1)
    tools.memory.drop(["round/1/release"])
    with pytest.raises(InternalFault, match="round 1 is forgotten here"):
        tools.memory.put_once(kinds.RELEASE, view, {"aggregate": "ab"})
    world.close()


# -- pure ----------------------------------------------------------------------------------------------------------------------------------


def ended(number: int, phase: Phase = Phase.VOIDED) -> RoundView:
    return RoundView(number, 1, 0, 0, PEOPLE[0], phase, ended_in=10 * number)


@given(
    st.lists(st.sampled_from((Phase.VOIDED, Phase.FINALISED)), max_size=6),
    st.integers(0, 100),
    st.sets(st.integers(1, 6)),
    st.integers(0, 6),
    st.booleans(),
)
def test_rounds_are_forgotten_in_order_and_for_good(phases: list[Phase], at: int, looked: set[int], through: int, has: bool) -> None:
    study = StudyView(1, rounds={number: ended(number, phase) for number, phase in enumerate(phases, 1)})
    standing = retention.Standing(through, frozenset(looked), has)
    now = retention.forgettable(study, standing, at, 0)
    assert now >= through
    for number in range(through + 1, now + 1):
        view = study.rounds[number]
        assert at - view.ended_in >= DEPTH and (view.phase == Phase.VOIDED or number in looked)
    assert retention.forgettable(study, replace(standing, through=now), at, 0) == now
    assert retention.forgettable(study, standing, at + 5, 0) >= now, "what is deep gets deeper"


def test_a_running_round_is_not_forgotten() -> None:
    study = StudyView(1, rounds={1: replace(ended(1), phase=Phase.REVEALED, ended_in=0)})
    assert retention.forgettable(study, retention.Standing(0, frozenset(), True), 10**6, 0) == 0


KEY = retention.Terms(QUORUM, len(PEOPLE))
OPENED = StudyView(1, max_voids=2, rules=RULES, participants=PEOPLE)


def running(number: int, deadline: int = 9_000) -> RoundView:
    return replace(ended(number), phase=Phase.OPEN, ended_in=0, deadline=deadline)


def opened_wrong(view: RoundView) -> RoundView:
    shares = tuple(Share(person, at, b"root", b"", "", b"") for at, person in enumerate(PEOPLE[:QUORUM], 1))
    return replace(view, shares=shares, wrong=(Wrong(b"root", PEOPLE[3], 0, 1),))


def with_rounds(*views: RoundView, **fields: Any) -> StudyView:
    return replace(OPENED, rounds={view.id: view for view in views}, **fields)


FINAL = ended(1, Phase.FINALISED)
KEY_GONE = {PEOPLE[3]: 7, PEOPLE[1]: 25}
WAYS = {
    "complete": (with_rounds(FINAL, ended(2, Phase.FINALISED)), False, 20, 0, False),
    "stopped early": (with_rounds(FINAL), True, 10, 0, False),
    "too many void": (with_rounds(FINAL, ended(2), ended(3)), False, 30, 0, False),
    "wrongly opened": (with_rounds(opened_wrong(FINAL)), False, 10, 0, False),
    "wrongly opened, with a round that nobody ends": (with_rounds(opened_wrong(FINAL), running(2)), False, 10, 0, False),
    "a running round wrongly opened": (with_rounds(FINAL, opened_wrong(running(2))), False, 0, 9_000, False),
    "wrongly opened, then void rounds": (with_rounds(FINAL, opened_wrong(ended(2)), ended(3), ended(4)), False, 20, 0, False),
    "its key ended after a round": (with_rounds(FINAL, retired=KEY_GONE), False, 25, 0, False),
    "its key ended before a round did": (with_rounds(FINAL, ended(2), ended(3, Phase.FINALISED), retired=KEY_GONE), False, 30, 0, False),
    "its key ended before any round": (replace(OPENED, retired=KEY_GONE), False, 25, 0, False),
    "too few enrolled": (replace(OPENED, participants=PEOPLE[:2]), False, 0, RULES.enrol_until, False),
    "no first round": (OPENED, False, 0, RULES.enrol_until, True),
    "no next round": (with_rounds(FINAL, ended(2)), False, 20, 0, True),
    "a round that nobody ends": (with_rounds(FINAL, running(2)), False, 0, 9_000, True),
    "a round of an ended key, which may finish": (with_rounds(running(2), retired=KEY_GONE), False, 25, 0, False),
    "rounds that nobody finishes after that": (with_rounds(FINAL, ended(9), retired=KEY_GONE), False, 25, 0, False),
    "more void rounds than too many": (with_rounds(FINAL, ended(2), ended(3), ended(4)), False, 30, 0, False),
    "a round after too many void": (with_rounds(FINAL, ended(2), ended(3), running(4)), False, 30, 0, False),
    "one share fewer": (with_rounds(FINAL, retired={PEOPLE[3]: 7}), False, 10, 0, True),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_which_a_study_ends_has_a_moment(way: str) -> None:
    study, stopped, block, at, rests = WAYS[way]
    if way == "complete":
        study = replace(study, rules=replace(RULES, steps=2))
    elif study.rules is not None:
        study = replace(study, rules=replace(RULES, steps=9))
    end = retention.end_of(study, replace(KEY, stopped=stopped))
    assert end is not None and (end.block, end.at, end.rests) == (block, at, rests), end
    assert end.moment(500) == (500 if block else at) + rests * retention.REST_S
    assert end.waits == (9_000 if not rests and study.latest is not None and not study.latest.phase.ended else 0)
    assert f"| {re.sub('[0-9]+', 'N', end.why)} |" in STORAGE.read_text("utf-8")


def test_who_begins_rounds_for_ever_that_nobody_finishes_puts_no_end_off_for_ever() -> None:
    """One organisation can void a round and begin the next in one block, so that some round always runs."""
    rules, deadline = replace(RULES, steps=9), 30 + 30 * retention.DAY_S
    for void in range(4):
        study = with_rounds(FINAL, *(ended(2 + at) for at in range(2 + void)), running(4 + void, deadline))
        end = retention.end_of(replace(study, rules=rules), KEY)
        assert end is not None and (end.block, end.waits) == (30, deadline if void < study.max_voids else 0)
        assert end.kept_until(30, 1) == (deadline if void < study.max_voids else 30 + retention.DAY_S)


def test_a_round_that_runs_in_a_halted_study_is_let_go_no_sooner_than_its_deadline(
    finished: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = finished.again(tmp_path / "world")
    world.play(reached(2, Phase.OPEN))
    erase_shares(world, 2, 3)
    tools, store = world.tools[0], world.store(0)
    tools.frame = replace(tools.frame, spec=replace(tools.frame.spec, retention_days=0))
    deadline = world.ledger.round(2).deadline
    late_blocks(world, monkeypatch, deadline)
    tidied(world, 0, 2 * DEPTH, deadline - 1)
    assert store.pins and tools.memory.get(kinds.LET_GO) is None
    tidied(world, 0, 2 * DEPTH, deadline)
    assert not store.pins and tools.memory.get(kinds.LET_GO) == {"rounds": 1, "through": 2, "rests": False}
    world.close()


def test_what_was_let_go_is_kept_again_by_what_nobody_does_alone() -> None:
    halted = {"rounds": 1, "through": 3, "rests": False}
    void, final = with_rounds(FINAL, ended(2), ended(3), ended(4)), with_rounds(FINAL, ended(2), ended(3), ended(4, Phase.FINALISED))
    assert not retention.goes_on(void, halted) and retention.goes_on(final, halted)
    assert retention.goes_on(void, {**halted, "rests": True}) and not retention.goes_on(void, {**halted, "through": 4, "rests": True})
    assert not retention.goes_on(final, {"rounds": 1}), "of before there were other ends than final ones"
    assert not retention.goes_on(OPENED, {**halted, "through": 0})
    for rests in (False, True):
        amid = {"rounds": 1, "through": 4, "rests": rests}
        assert not retention.goes_on(with_rounds(FINAL, running(4)), amid)
        assert retention.goes_on(final, amid), "the round that ran when it was let go was finished all the same"


def test_of_a_study_that_was_never_opened_no_end_is_known() -> None:
    assert retention.end_of(StudyView(1), KEY) is None


def test_in_a_forgotten_round_only_its_end_is_decided() -> None:
    role = Role(PEOPLE[0], 0, 1, QUORUM)
    late = Clock(NOW + 10**6, 10**6)
    for phase in (Phase.OPEN, Phase.COMMITTED, Phase.REVEALED, Phase.FROZEN, Phase.AGGREGATED, Phase.DECRYPTED):
        study = StudyView(1, participants=PEOPLE, rounds={1: replace(ended(1), phase=phase, deadline=NOW + 60)})
        assert decide(role, study, Facts(forgotten=True), Clock(NOW, 10**6)) is None
        assert decide(role, study, Facts(forgotten=True), late) == act.Advance(1)


def test_the_facts_of_a_forgotten_round_say_so(finished: Recorded, tmp_path: Path) -> None:
    world = finished.again(tmp_path / "world")
    assert not facts_of(world.tools[2], world.ledger.study()).forgotten
    tidied(world, 2)
    assert facts_of(world.tools[2], world.ledger.study()).forgotten
    world.close()
