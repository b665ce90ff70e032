"""Run every check in turn, the quick ones first, go on after a failure, and end with the slowest tests, a table and one line of totals.

Exit status 0 only if every stage passed. Tests are counted and timed from the JUnit files that the stages' pytest runs write.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

STAGES = ("lint", "types", "unit", "contracts", "integration", "coverage")
REPORTS = Path("build/reports")
SLOWEST = 10


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


def cpu_seconds() -> float:
    """What the stages' processes have computed so far, as far as somebody waited for their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    for stage in STAGES:
        (REPORTS / f"{stage}.xml").unlink(missing_ok=True)
    Path("build/coverage/data").unlink(missing_ok=True)
    started = time.monotonic()
    rows = []
    passed = failed = 0
    for stage in STAGES:
        print(f"\n== {stage}", flush=True)
        begun, computed = time.monotonic(), cpu_seconds()
        status = subprocess.run(["make", "--no-print-directory", stage], check=False).returncode
        tests = counts(stage)
        # A stage without tests counts as one check; a stage that fails outside its tests (no collection, a crash) as one failure.
        good, bad, left_out = tests if tests is not None else (int(status == 0), int(status != 0), 0)
        bad = max(bad, int(status != 0))
        passed, failed = passed + good, failed + bad
        what = f"{good} passed, {bad} failed, {left_out} skipped" if tests is not None else "checked"
        seconds, computed = time.monotonic() - begun, cpu_seconds() - computed
        rows.append(f"  {stage:<12} {'ok' if status == 0 else 'FAILED':<7} {seconds:6.0f} s {computed:6.0f} s of CPU   {what}")
    for stage in STAGES:
        if lines := slowest(stage):
            print(f"\n== slowest of {stage}", *lines, sep="\n")
    print("\n== summary", *rows, f"  {'':<12} {'':<7} {time.monotonic() - started:6.0f} s {cpu_seconds():6.0f} s of CPU", sep="\n")
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
