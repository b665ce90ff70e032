"""A whole study of real processes, searched for every secret and every value of the data: files, logs, process lists, open files."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from defedbio.chain.accounts import load_account
from defedbio.crypto.vault import open_with_password
from defedbio.network.transport import TRANSPORT_LABEL
from scripts.consortium import Consortium
from tests.adversary.canaries import Canaries
from tests.adversary.frame import Attack
from tests.integration.fixtures import Study

HOOK_SECRET = "a hook's secret of the operator's own 7f1c"
DECIMAL = re.compile(rb"[0-9]+\.[0-9]{12}")


@pytest.fixture
def attack() -> Iterator[Attack]:
    made = Attack()
    yield made
    made.check_whole()


def secrets_of(consortium: Consortium) -> Canaries:
    """What every organisation must keep, opened with its password."""
    canaries, password = Canaries(), consortium.password_file.read_text("utf-8")
    canaries.add("the password", password)
    canaries.add("the hook secret", HOOK_SECRET)
    for organisation in consortium.organisations:
        home = organisation.home
        canaries.add(f"{organisation.name}'s account key", bytes(load_account(home / "account.json", password).key))
        box = json.loads((home / "transport.json").read_text("utf-8"))["box"]
        canaries.add(f"{organisation.name}'s transport key", open_with_password(box, password, TRANSPORT_LABEL))
        for path in (home / "shares").glob("*.json"):
            box = json.loads(path.read_text("utf-8"))["box"]
            canaries.add(f"{organisation.name}'s key share", open_with_password(box, password, box["label"]))
        for row in rows(organisation.data)[:3]:
            canaries.add(f"a row of {organisation.name}'s", row.astype("<f4").tobytes())
            canaries.add(f"a row of {organisation.name}'s", row.astype("<f8").tobytes())
            canaries.add(f"a row of {organisation.name}'s", (row / 10).astype("<f4").tobytes())
    return canaries


def rows(data: Path | None) -> np.ndarray:
    assert data is not None
    return np.array([[float(v) for v in line.split(",")[:-1]] for line in data.read_text("utf-8").splitlines()[1:]])


def values(consortium: Consortium) -> set[bytes]:
    """Every number of every organisation's file as it is written there."""
    return {value for o in consortium.organisations if o.data for value in DECIMAL.findall(o.data.read_bytes())}


def descendants(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("utf-8").split():
            yield from descendants(int(child))


def open_files(pid: int) -> Iterator[bytes]:
    """What the regular files hold that a process has open, deleted ones too."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if stat.S_ISREG(link.stat().st_mode) and link.stat().st_size < 1 << 24:
                yield link.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_study_of_real_processes_is_searched(
    attack: Attack, consortium: Consortium, finished: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack.by("whoever may read all files, logs, process lists and open files of every organisation's machine, but no password file")
    secret, alpha = tmp_path / "hook", consortium.organisations[0]
    secret.write_text(HOOK_SECRET, "utf-8")
    canaries, numbers = secrets_of(consortium), values(consortium)
    given = {consortium.password_file, *(o.data for o in consortium.organisations)}
    with attack.sends("a search of everything that a finished study left, and of an agent at work"):
        # A forked process would show the arguments and the environment of the one it was forked from.
        monkeypatch.setattr(consortium, "popen", subprocess.Popen)
        again = Study(finished.number, consortium)
        agent = again.start(alpha, "--hook-url", "http://127.0.0.1:9/hook", "--hook-secret-file", str(secret))
        try:
            again.watch.wait_for(lambda who, record: "follows study" in record.get("message", ""))
            agent.popen.send_signal(signal.SIGSTOP)
            pids = [
                pid for process in consortium.processes.values() if process.popen.poll() is None for pid in descendants(process.popen.pid)
            ]
            shown = {pid: (Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/environ").read_bytes()) for pid in pids}
            limits = {pid: Path(f"/proc/{pid}/limits").read_text("utf-8") for pid in pids}
            opened = [raw for pid in pids for raw in open_files(pid)]
        finally:
            agent.kill()
            del consortium.processes[f"agent-{alpha.name}"]
    files = {path: path.read_bytes() for path in consortium.folder.rglob("*") if path.is_file() and path not in given}
    with attack.seen("by this search, which finds what is there to be found"):
        assert {"journal.sqlite", "agent.log", "node.log", "tx.sqlite"} <= {path.name for path in files}
        assert any("ipfs" in path.parts and path.suffix == ".data" for path in files)
        assert any(str(consortium.password_file).encode() in environment for _, environment in shown.values())
        assert canaries.found(consortium.password_file.read_bytes()) == {"the password"} and len(numbers) > 3000
        assert alpha.data is not None and set(DECIMAL.findall(alpha.data.read_bytes())) <= numbers
    with attack.works("the study, which all agents ended by themselves"):
        assert {row["phase"] for row in finished.rounds()} == {"finalised"}
    with attack.unlearnt("any password, key, key share, hook secret or value of the data; nor is a file of a home another user's to read"):
        assert {str(path): found for path, raw in files.items() if (found := canaries.found(raw))} == {}
        assert {str(path): found for path, raw in files.items() if (found := numbers & set(DECIMAL.findall(raw)))} == {}
        assert not any(canaries.found(raw) for both in shown.values() for raw in both)
        assert not any(canaries.found(raw) for raw in opened if raw not in {path.read_bytes() for path in given if path})
        homes = [path for o in consortium.organisations for path in (o.home, *o.home.rglob("*")) if not path.is_socket()]
        assert {str(path): oct(mode) for path in homes if (mode := stat.S_IMODE(os.lstat(path).st_mode)) & 0o077} == {}
        ours = [agent.popen.pid, *(pid for pid, (command, _) in shown.items() if b"node.mjs" in command)]
        assert len(ours) == 1 + len(consortium.organisations)
        for pid in ours:
            (row,) = [line.split() for line in limits[pid].splitlines() if line.startswith("Max core file size")]
            assert row[4:6] == ["0", "0"], shown[pid]
