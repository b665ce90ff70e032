"""The journal keeps what a kill must not lose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from defedbio.errors import InvalidInput
from defedbio.protocol.journal import Journal

WRITER = """
import sys
from pathlib import Path
from defedbio.protocol.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.put("round/1/release", {"aggregate": "aa"})
print("written", flush=True)
sys.stdin.read()
"""


def test_p5_release_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "written\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    journal = Journal(path)
    assert journal.put_once("round/1/release", {"aggregate": "bb"}) == {"aggregate": "aa"}
    journal.close()


def test_two_agents_cannot_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = Journal(path)
    with pytest.raises(InvalidInput, match="in use"):
        Journal(path)
    first.close()
    Journal(path).close()


def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database, but something somebody wrote" * 50)
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="not a journal"):
        Journal(path)
    assert path.read_bytes() == before


def test_values_and_deletion(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    journal.put("a", {"x": 1})
    journal.put("a", {"x": 2})
    journal.put_bytes("round/1/blob", b"\x00\xff")
    assert journal.get("a") == {"x": 2} and journal.get_bytes("round/1/blob") == b"\x00\xff" and journal.get("b") is None
    journal.delete("round/1/blob")
    assert journal.get_bytes("round/1/blob") is None and journal.get("a") == {"x": 2}
    assert oct(os.stat(tmp_path / "j.sqlite").st_mode & 0o777) == "0o600"
    journal.close()
