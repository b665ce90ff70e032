"""`defedbio run` before it reaches a chain: hooks that are refused, and what the terminal shows of a record."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from defedbio.chain.network import Contracts, Network
from defedbio.chain.records import ClientOptions
from defedbio.cli.main import build
from defedbio.cli.run import json_sink, text_sink
from defedbio.errors import ChainUnreachable, DefedError, InvalidInput
from defedbio.report import Reporter


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    """A home with an account that is only named, and a network whose node does not answer."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "account.json").write_text(json.dumps({"address": "a1" * 20}), "utf-8")
    (tmp_path / "password").write_text("word", "utf-8")
    addresses = Contracts.of(*(f"0x{i:040x}" for i in (1, 2, 3, 4)))
    Network(31337, "http://127.0.0.1:9", addresses).save(tmp_path / "network.json")
    return ["--home", str(home), "--network", str(tmp_path / "network.json"), "--password-file", str(tmp_path / "password")]


def refused(settings: list[str], *options: str) -> DefedError:
    result = CliRunner().invoke(build(), ["run", "--study", "1", "--metrics-port", "0", *settings, *options], standalone_mode=False)
    assert isinstance(result.exception, DefedError), result.exception
    return result.exception


def test_a_web_hook_needs_a_secret(settings: list[str], tmp_path: Path) -> None:
    assert "--hook-secret-file" in refused(settings, "--hook-url", "https://example.org/").message
    assert "cannot be read" in refused(settings, "--hook-url", "https://example.org/", "--hook-secret-file", str(tmp_path / "none")).message
    short = tmp_path / "short"
    short.write_text("secret\n", "utf-8")
    error = refused(settings, "--hook-url", "https://example.org/", "--hook-secret-file", str(short))
    assert isinstance(error, InvalidInput) and "16 bytes" in error.message and "secret\n" not in str(error)


def test_a_plain_address_elsewhere_and_a_program_that_is_not_there(settings: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 32, "utf-8")
    assert "https" in refused(settings, "--hook-url", "http://example.org/", "--hook-secret-file", str(secret)).message
    assert "names no program" in refused(settings, "--hook-command", "/nowhere/at-all --now").message
    assert not list(tmp_path.rglob("journal.sqlite")), "nothing was begun"


def test_a_cluster_elsewhere_without_tls_is_refused(settings: list[str], tmp_path: Path) -> None:
    assert "key shares over the network in the clear" in refused(settings, "--executor", "dask://10.0.0.5:8786").message
    assert not list(tmp_path.rglob("journal.sqlite")), "nothing was begun"


def test_a_log_that_cannot_be_written_is_refused(settings: list[str], tmp_path: Path) -> None:
    assert "cannot write the log" in refused(settings, "--log-file", str(tmp_path)).message


@pytest.mark.parametrize("flags", [["--json"], []])
def test_json_is_a_record_a_line_and_states_stay_inside(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    report = Reporter(json_sink if flags else text_sink(), study=1, organisation="0xA1")
    with report.phase("commit", round=7) as phase:
        phase.gas = 1234
    report.state(block=5)
    report.note("said \x1b[2J by another", peer="0xB2")
    report.note("the node stops: away", level="error", fatal=True)
    out, err = capsys.readouterr()
    if flags:
        records: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
        assert [r["status"] for r in records] == ["start", "done", "note", "note"] and records[1]["gas"] == 1234
        assert records[3]["level"] == "error"
    else:
        assert out == "" and "commit" in err and "1,234 gas" in err and "\x1b" not in err
        assert "stops" not in err, "the command itself says what ended it"


def test_records_of_threads_side_by_side_keep_their_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torn line ends whoever reads the agent's records, and a reader that is gone holds the agent up once the pipe is full."""

    class Slow(list[str]):
        """A stream that lets other threads run between two writes, as a full pipe does."""

        def write(self, text: str) -> None:
            self.append(text)
            os.sched_yield()

        def flush(self) -> None:
            os.sched_yield()

    stream = Slow()
    monkeypatch.setattr(sys, "stdout", stream)
    report = Reporter(json_sink)
    threads = [threading.Thread(target=lambda: [report.note("away; again in 1 s") for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in "".join(stream).splitlines()]) == 400


def test_a_chain_that_is_away_ends_the_agent_and_is_in_its_log(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defedbio.chain.accounts.load_account", lambda path, password: None)
    monkeypatch.setattr("defedbio.chain.client.ClientOptions", lambda: ClientOptions(backoff_seconds=0.0))
    error = refused(settings, "--no-metrics")
    assert isinstance(error, ChainUnreachable)
    (log,) = tmp_path.rglob("agent.log")
    records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [r.get("retry") for r in records[:-1]] == ["chain"] * 5
    assert records[-1]["level"] == "error" and "does not answer" in records[-1]["message"]
    assert not list(tmp_path.rglob("agent.json"))
