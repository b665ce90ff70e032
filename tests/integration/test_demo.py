"""`make demo` as a user meets it: it ends with facts, and leaves nothing running on success, Ctrl-C or failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.consortium import ROOT

COMMAND = [sys.executable, "-m", "scripts.demo", "--bits", "2048", "--rounds", "1"]
# As small as the demo gets, where it does not come to its end.
SMALL = ["--organisations", "3"]


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *options, "--folder", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell's background job ignores SIGINT, and its children would, too: the demo gets it as from a terminal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """The first line that holds `text`."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"never said {text!r}: {seen}")


def started_for(folder: Path) -> list[int]:
    """Processes whose environment or command line names the demo's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in text:
                found.append(int(entry.name))
    return found


def test_the_demo_ends_with_a_report_and_nothing_left(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with demo(folder) as process:
        address = read_until(process, "watch the rounds at").split(" at ", 1)[1].strip()
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert b"DeFed-Bio" in answer.read(), "the explorer serves while the rounds run"
        output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["organisations"] == ["R1", "R13", "R27", "R24"]
    assert (report["rounds"], report["modulus_bits"], report["threshold"], report["parameters"]) == (1, 2048, 3, 16417)
    assert report["ceremony"] == "dealer" and "dealt by one machine" in output
    assert {"local_mean", "local_by_site", "federated", "pooled", "by_site"} <= set(report["metric"])
    assert report["last_round_verified"] is True
    assert 2.0 < report["bytes_per_parameter"] < 2.3, "of narrow slots"
    assert 50_000 < report["proof_bytes"] < 70_000
    assert report["gas_per_member_round"] > 0
    assert report["seconds"]["total"] > 0
    assert {"train", "encrypt", "combine"} <= set(report["seconds"]["by_phase"])
    assert report["model_cid"].startswith("baf")
    assert set(report["contracts"]) == {"ParticipantRegistry", "KeyRegistry", "StudyRegistry", "RoundManager"}
    assert address.startswith(report["explorer"])
    assert report["model_cid"] in output
    assert "everything that was started is stopped" in output
    assert started_for(folder) == []


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with demo(folder, *SMALL) as process:
        read_until(process, "start one IPFS node")
        assert len(started_for(folder)) > 5, "chain and nodes run"
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "stopped" in output
    assert started_for(folder) == []


def test_a_failure_names_the_step_and_the_log_and_stops_everything(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with demo(folder, *SMALL) as process:
        read_until(process, "start the chain")
        for pid in started_for(folder):
            if b"anvil" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    failed = next(line for line in output.splitlines() if line.startswith("failed "))
    log = Path(output.split("read ", 1)[1].splitlines()[0])
    assert log.is_file(), failed
    assert "Traceback" not in output
    assert started_for(folder) == []
