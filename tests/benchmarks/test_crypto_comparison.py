"""The benchmark's driver on this project alone: what it writes is whole, and a wrong sum fails the run. No speed is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.crypto import compare, table, worker
from benchmarks.crypto.contenders import floats
from benchmarks.crypto.measuring import Case, Clock, Outcome


def test_a_quick_run_reports_every_step_and_a_right_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "made" / "crypto.json"
    compare.main(["--quick", "--bits", "512", "--only", "gmpy2", "--output", str(output)])
    report = json.loads(output.read_text())
    (result,) = report["results"]
    assert (result["contender"], result["parameters"], result["measured"], result["bits"]) == ("gmpy2", 500, 500, 512)
    assert set(result["steps"]) == {"table", "encode", *table.COLUMNS.values()}
    for step in result["steps"].values():
        assert step["repetitions"] == 1 and 0 <= step["cpu_s"]["least"] <= step["cpu_s"]["median"] <= step["cpu_s"]["most"]
    assert 0 < result["error"] <= result["precision"] < 1e-4
    assert 6 < result["update_bytes"] / 500 < 8
    assert report["limit"] == {}
    printed = capsys.readouterr().out
    assert "| DeFed-Bio, gmpy2 alone |" in printed and "any 3 of 5 key holders" in printed


def test_a_wrong_sum_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_a_little(case: Case, clock: Clock, option: str) -> Outcome:
        total = case.total()
        total[-1] += 1e-3
        return Outcome(total, 1e-4, 1)

    monkeypatch.setattr(floats, "run", off_by_a_little)
    with pytest.raises(SystemExit, match=r"plain float32 sum: the sum is off by 0\.001, 0\.0001 is the most"):
        worker.main("float32", 10, 0, 3, 1, -1)


def test_a_sum_that_is_no_number_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floats, "run", lambda case, clock, option: Outcome(np.full(case.parameters, np.nan), 1.0, 1))
    with pytest.raises(SystemExit, match="off by nan"):
        worker.main("float32", 10, 0, 3, 1, -1)


def test_the_clock_repeats_what_is_quick_and_prepares_each_time() -> None:
    clock, prepared = Clock(3), []
    assert clock.time("nothing", lambda: len(prepared), before=lambda: prepared.append(None)) == 9
    assert clock.steps["nothing"]["repetitions"] == len(prepared) == 9
