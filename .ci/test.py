"""Run every check, go on after a failure, and end with the slowest tests, a table and one line of totals.

The stages run in turn, and those of a group side by side: each alone leaves part of two cores idle. Exit status 0 only if every stage
passed. Tests are counted and timed from the JUnit files that the stages' pytest runs write.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GROUPS = (("lint",), ("types", "contracts"), ("unit",), ("attacks",), ("integration",), ("coverage",))
REPORTS, LOGS = Path("build/reports"), Path("build/logs")
SLOWEST = 10


@dataclass
class Stage:
    """`computed` are the seconds of CPU of the stage's processes, as far as somebody waited for their end."""

    name: str
    ok: bool
    seconds: float
    computed: float


def run(group: Sequence[str]) -> list[Stage]:
    """Run a group's stages. What one prints is shown as it comes; of several, each one's when it has ended."""
    if len(group) == 1:
        print(f"\n== {group[0]}", flush=True)
    started = time.monotonic()
    going = {}
    for name in group:
        with (LOGS / f"test-{name}.log").open("wb") as log:
            aside = {"stdout": log, "stderr": log} if len(group) > 1 else {}
            going[subprocess.Popen(["make", "--no-print-directory", name], **aside).pid] = name
    done = []
    while going:
        pid, status, used = os.wait4(-1, 0)
        name = going.pop(pid)
        if len(group) > 1:
            print(f"\n== {name}", (LOGS / f"test-{name}.log").read_text("utf-8", "replace"), sep="\n", flush=True)
        done.append(Stage(name, status == 0, time.monotonic() - started, used.ru_utime + used.ru_stime))
    return done


def counts(stage: str) -> tuple[int, int, int] | None:
    """Passed, failed (errors included) and skipped tests of a stage, or None where it runs no pytest or wrote no report."""
    report = REPORTS / f"{stage}.xml"
    if not report.is_file():
        return None
    suites = list(ET.parse(report).getroot().iter("testsuite"))
    total, failures, errors, skipped = (sum(int(s.get(name, "0")) for s in suites) for name in ("tests", "failures", "errors", "skipped"))
    failed = failures + errors
    return max(total - failed - skipped, 0), failed, skipped


def slowest(stage: str) -> list[str]:
    """The stage's tests that took longest, fixtures included, a line each."""
    report = REPORTS / f"{stage}.xml"
    cases = list(ET.parse(report).getroot().iter("testcase")) if report.is_file() else []
    longest = sorted(cases, key=lambda case: float(case.get("time", "0")), reverse=True)[:SLOWEST]
    return [f"  {float(case.get('time', '0')):6.1f} s  {case.get('classname')}::{case.get('name')}" for case in longest]


def main() -> int:
    for name in (name for group in GROUPS for name in group):
        (REPORTS / f"{name}.xml").unlink(missing_ok=True)
    Path("build/coverage/data").unlink(missing_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    stages = [stage for group in GROUPS for stage in run(group)]
    rows = []
    passed = failed = 0
    for stage in stages:
        tests = counts(stage.name)
        # A stage without tests counts as one check; a stage that fails outside its tests (no collection, a crash) as one failure.
        good, bad, left_out = tests if tests is not None else (int(stage.ok), int(not stage.ok), 0)
        bad = max(bad, int(not stage.ok))
        passed, failed = passed + good, failed + bad
        what = f"{good} passed, {bad} failed, {left_out} skipped" if tests is not None else "checked"
        verdict = "ok" if stage.ok else "FAILED"
        rows.append(f"  {stage.name:<12} {verdict:<7} {stage.seconds:6.0f} s {stage.computed:6.0f} s of CPU   {what}")
    for stage in stages:
        if lines := slowest(stage.name):
            print(f"\n== slowest of {stage.name}", *lines, sep="\n")
    whole = f"  {'':<12} {'':<7} {time.monotonic() - started:6.0f} s {sum(stage.computed for stage in stages):6.0f} s of CPU"
    print("\n== summary", *rows, whole, sep="\n")
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
