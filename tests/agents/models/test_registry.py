"""Models of a study as its chain tells them: lineage, organisations, and which sum measures which model."""

from __future__ import annotations

from typing import Any, cast

import pytest

from defedbio.errors import NotFound
from defedbio.learning.evaluation_sums import summary
from defedbio.learning.state import GlobalState
from defedbio.models.registry import fetch_model, lineage, list_models
from defedbio.network.connection import Connection
from tests.agents.models.finished_study import ReadOnly, finished_world
from tests.agents.protocol.in_process import PEOPLE, STUDY, InProcess


@pytest.fixture
def world() -> InProcess:
    return finished_world()


@pytest.fixture
def connection(world: InProcess) -> Connection:
    return cast(Any, ReadOnly(world))


def test_the_list_leads_back_to_the_first_model(connection: Connection, world: InProcess) -> None:
    records = list_models(connection, STUDY)
    study = world.ledger.study()
    assert [(r.round, r.step, r.kind, r.parent) for r in records] == [(1, 0, "moments", 0), (2, 1, "train", 1), (3, 2, "evaluate", 2)]
    assert [r.parent_cid for r in records] == ["", records[0].cid, records[1].cid]
    assert [(r.cid, r.hash) for r in records] == [(v.model_cid, v.model_hash) for v in study.finalised]
    assert [r.newest for r in records] == [False, False, True]
    assert all(r.organisations == PEOPLE for r in records)
    assert [v.id for v in lineage(study, study.rounds[3])] == [3, 2, 1]
    assert list_models(connection) == records, "all studies are this one"


def test_a_model_is_measured_by_the_round_that_started_from_it(connection: Connection, world: InProcess) -> None:
    """The sum of a round is of its parent's weights; an evaluation leaves the weights as they are, so its sum is of its own, too."""
    study = world.ledger.study()

    def told_by(number: int) -> Any:
        raw = world.tools[0].fetcher.model_bytes(study.rounds[number])
        return summary(world.study.spec, GlobalState.from_bytes(raw, world.study.spec)).values

    found = [r.measured for r in list_models(connection, STUDY)]
    assert [m.round if m else None for m in found] == [2, 3, 3]
    assert [m.values if m else None for m in found] == [told_by(2), told_by(3), told_by(3)]
    assert told_by(2) != told_by(3)


def test_without_metrics_nothing_is_fetched(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadOnly, "frame", lambda *_: pytest.fail("the spec is not needed"))
    assert [(r.kind, r.measured) for r in list_models(connection, STUDY, metrics=False)] == [("", None)] * 3


def test_a_model_that_nobody_delivers_costs_its_metrics_only(world: InProcess) -> None:
    reader = ReadOnly(world)
    study, gone = world.ledger.study(), {a.cid for a in world.ledger.round(2).attestations}
    deliver = reader.fetcher(world.study)
    original = deliver.peers.fetch

    def fetch(cid: str, *rest: Any) -> bytes:
        return original("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy" if cid in gone else cid, *rest)

    deliver.peers.fetch = fetch  # type: ignore[method-assign]
    try:
        found = list_models(cast(Any, reader), STUDY)
    finally:
        deliver.peers.fetch = original  # type: ignore[method-assign]
    assert [r.measured.round if r.measured else None for r in found] == [None, 3, 3]
    assert any("not all known" in note for note in reader.notes)
    assert [r.cid for r in found] == [v.model_cid for v in study.finalised]


def test_fetching_takes_the_round_asked_for_or_the_newest(connection: Connection, world: InProcess) -> None:
    newest, second = fetch_model(connection, STUDY), fetch_model(connection, STUDY, 2)
    assert newest.view is not None and second.view is not None
    assert (newest.view.id, second.view.id) == (3, 2)
    assert newest.hash == newest.view.model_hash
    assert second.state.step == 2
    assert "round 2" in second.vouched
    with pytest.raises(NotFound, match="no model of round 9"):
        fetch_model(connection, STUDY, 9)
    with pytest.raises(NotFound, match="no study 7"):
        list_models(connection, 7)
