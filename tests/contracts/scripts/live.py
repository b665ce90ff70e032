"""A node of a live kind in a process of its own, and Brownie run against it as an operator runs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from web3 import HTTPProvider, Web3

from scripts.consortium import one_brownie
from scripts.export_abi import ROOT


@contextmanager
def node(command: Sequence[str], log: Path) -> Iterator[str]:
    """Start a node with its port as the last argument; its endpoint once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as output, subprocess.Popen([*command, str(port)], stdout=output, stderr=output, cwd=ROOT) as process:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _await(endpoint, process, log)
            yield endpoint
        finally:
            process.kill()


def brownie(home: Path, *arguments: str, **environment: str) -> str:
    """Run Brownie in this repository with a home of its own; what it printed."""
    settings = {**os.environ, "HOME": str(home), "SOLCX_BINARY_PATH": str(ROOT / "build" / "solc"), **environment}
    command = [str(Path(sys.executable).with_name("brownie")), *arguments]
    with one_brownie():
        done = subprocess.run(command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _await(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    provider = Web3(HTTPProvider(endpoint, request_kwargs={"timeout": 2}))
    until = time.monotonic() + 30
    while not provider.is_connected():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)
