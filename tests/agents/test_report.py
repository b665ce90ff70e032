"""The stream of records: what each carries, and whose work a word belongs to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from defedbio.report import Reporter, Tee


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def report(records: list[dict[str, Any]]) -> Reporter:
    return Reporter(records.append, study=3, organisation="0xA1")


def test_every_record_says_when_who_and_how_loud(report: Reporter, records: list[dict[str, Any]]) -> None:
    with report.phase("train", round=7) as phase:
        phase.progress(1, 1)
    report.note("hello")
    report.state(block=1)
    assert all((r["study"], r["organisation"]) == (3, "0xA1") for r in records)
    assert [r["level"] for r in records] == ["info", "debug", "info", "info", "debug"]
    for record in records:
        assert record["time"].endswith("Z")
        assert datetime.fromisoformat(record["time"]) == datetime.fromtimestamp(record["at"], UTC)


def test_a_failed_phase_and_a_peers_fault_are_warnings_unless_the_record_says(report: Reporter, records: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="no"), report.phase("check"):
        raise ValueError("no")
    report.note("a wrong share", peer="0xB2")
    report.note("the node stops", level="error")
    assert [(r["status"], r["level"]) for r in records[1:]] == [("failed", "warning"), ("note", "warning"), ("note", "error")]


def test_a_note_from_below_gets_the_round_and_phase_in_hand(report: Reporter, records: list[dict[str, Any]]) -> None:
    with report.within(round=7, step=2):
        report.note("a redial")
        with report.phase("check", round=7):
            report.note("a retry")
    report.note("outside")
    redial, _, retry, done, outside = records
    assert (redial["round"], redial["step"]) == (7, 2) and "during" not in redial
    assert (retry["round"], retry["step"], retry["during"]) == (7, 2, "check")
    assert done["step"] == 2 and "during" not in done
    assert "round" not in outside


def test_traffic_counts_for_the_innermost_phase(report: Reporter, records: list[dict[str, Any]]) -> None:
    with report.phase("outer"):
        report.traffic(received=5)
        with report.phase("inner"):
            report.traffic(received=7, sent=1)
    report.traffic(sent=2)
    ended = {r["phase"]: (r["received"], r["sent"]) for r in records if r["status"] == "done"}
    assert ended == {"inner": (7, 1), "outer": (5, 0)}
    assert (records[-1]["status"], records[-1]["sent"]) == ("state", 2)


def test_a_tee_gives_every_record_to_all(records: list[dict[str, Any]]) -> None:
    other: list[dict[str, Any]] = []
    tee = Tee(records.append)
    report = Reporter(tee)
    report.note("first")
    tee.add(other.append)
    report.note("second")
    assert [r["message"] for r in records] == ["first", "second"] and [r["message"] for r in other] == ["second"]
