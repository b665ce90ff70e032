"""The log file, the announcement of a running agent, what lower layers log, and the events that a node tells of the chain."""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.chain.feed import FeedState
from defedbio.chain.records import Head
from defedbio.config import Home
from defedbio.domain import BitSet, Phase
from defedbio.errors import ChainUnreachable, InvalidInput
from defedbio.nodes.options import RunOptions
from defedbio.nodes.organisation import LoopOptions, OrganisationNode
from defedbio.nodes.service import NodeService
from defedbio.nodes.watching.logs import LogFile, bridged, last_records
from defedbio.nodes.watching.metrics import NodeMetrics
from defedbio.nodes.watching.running import announced, running_agent
from defedbio.nodes.watching.telling import round_events
from defedbio.protocol.decide import Clock
from defedbio.protocol.journal import Journal
from defedbio.protocol.memory import Memory
from defedbio.protocol.view import StudyView
from defedbio.report import Reporter
from tests.agents.nodes.test_organisation import Feed
from tests.agents.protocol.in_process import CHAIN, CONTRACT, NOW, PEOPLE, InProcess, Ledger, Recorder

# -- the log -----------------------------------------------------------------------------------------------------------------------------


def test_the_log_is_private_bounded_and_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "study" / "agent.log"
    log = LogFile(path, max_bytes=2000)
    report = Reporter(log.sink)
    for number in range(100):
        report.note(f"number {number}")
        report.state(block=number)
    log.close()
    files = sorted(path.parent.iterdir())
    assert len(files) == 4 and all(f.stat().st_size <= 2000 and stat.S_IMODE(f.stat().st_mode) == 0o600 for f in files)
    assert last_records(path)[-1]["message"] == "number 99"
    assert all(record["status"] == "note" for record in last_records(path))


def test_a_torn_or_absent_log_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    assert last_records(path) == []
    path.write_bytes(b'{"at": 1\n[1]\n\xff\n{"at": 1, "phase": "note", "status": "note"}\n{"at":')
    assert last_records(path) == [{"at": 1, "phase": "note", "status": "note"}]


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot write the log"):
        LogFile(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_puts_no_traceback_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    log = LogFile(Path("/dev/full"))
    log.sink({"status": "note", "message": "x"})
    said = capfd.readouterr().err
    assert "cannot be written" in said and "Traceback" not in said


def test_what_lower_layers_log_becomes_records_of_the_round() -> None:
    records: list[dict[str, Any]] = []
    report, log = Reporter(records.append), logging.getLogger("defedbio.chain.sender")
    with bridged(report), report.within(round=7), report.phase("commit"):
        log.info("replacing %s", "0x1", extra={"retry": "replacement"})
        log.debug("quiet", extra={"queue": "pending", "key": "k"})
        log.debug("quieter")
        log.warning("stuck")
    log.warning("after")
    said = [r for r in records if r["status"] in ("note", "state")]
    assert [(r["status"], r["level"], r["round"]) for r in said] == [("note", "info", 7), ("state", "debug", 7), ("note", "warning", 7)]
    assert said[0]["retry"] == "replacement" and said[0]["during"] == "commit" and said[0]["message"] == "replacing 0x1"
    assert not log.isEnabledFor(logging.DEBUG), "levels are put back"


# -- the running agent -------------------------------------------------------------------------------------------------------------------


def test_an_agent_is_announced_while_it_runs(tmp_path: Path) -> None:
    assert running_agent(tmp_path) is None
    with announced(tmp_path, "http://127.0.0.1:1/metrics"):
        found = running_agent(tmp_path)
        assert found is not None and (found.pid, found.metrics) == (os.getpid(), "http://127.0.0.1:1/metrics")
        assert stat.S_IMODE((tmp_path / "agent.json").stat().st_mode) == 0o600
    assert running_agent(tmp_path) is None and not (tmp_path / "agent.json").exists()


def test_what_a_killed_agent_left_is_stale(tmp_path: Path) -> None:
    source = (
        "import sys, time\nfrom pathlib import Path\nfrom defedbio.nodes.watching.running import announced\n"
        "with announced(Path(sys.argv[1]), 'http://127.0.0.1:1/metrics'):\n    print('up', flush=True)\n    time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    found = running_agent(tmp_path)
    assert found is not None and found.pid == process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (tmp_path / "agent.json").exists() and running_agent(tmp_path) is None
    with announced(tmp_path, ""):
        found = running_agent(tmp_path)
        assert found is not None and found.pid == os.getpid()


# -- events ------------------------------------------------------------------------------------------------------------------------------


def play_half_a_round(ledger: Ledger) -> None:
    first = Recorder(ledger, PEOPLE[0])
    first.open_round("open", 1)
    for number, person in enumerate(PEOPLE):
        Recorder(ledger, person).commit(f"c{number}", 1, bytes([number]) * 32)
    for number, person in enumerate(PEOPLE):
        Recorder(ledger, person).reveal(f"r{number}", 1, bytes([number]) * 32, "cid", bytes(32), bytes(32))
    for person in PEOPLE[:3]:
        Recorder(ledger, person).attest_set(f"a{person}", 1, BitSet.of(0, 1, 2), BitSet.of(3), "3:MalformedBlob")


def test_events_name_what_happened_and_the_own_part(tmp_path: Path) -> None:
    ledger = Ledger()
    play_half_a_round(ledger)
    Recorder(ledger, PEOPLE[0]).advance("void", 1)
    study = ledger.study()
    inside = list(round_events(ledger.events, study, PEOPLE[0], "1/0xc0"))
    assert [e["event"] for e in inside] == [
        "round.opened",
        *["phase.entered"] * 3,
        "set.frozen",
        "phase.entered",
        "round.voided",
    ]
    outside = [e for e in round_events(ledger.events, study, PEOPLE[3], "1/0xc0") if e["event"] == "set.frozen"]
    stranger = [e for e in round_events(ledger.events, study, "0xdead", "1/0xc0") if e["event"] == "set.frozen"]
    assert [e["in_set"] for e in inside if e["event"] == "set.frozen"] == [True]
    assert [(e["in_set"], e["reasons"]) for e in outside] == [(False, ["MalformedBlob"])]
    assert [e["in_set"] for e in stranger] == [None]
    assert inside[-1]["voided_in"] == "frozen" and inside[-1]["block"] > inside[0]["block"]
    assert len({e["id"] for e in inside}) == len(inside)
    json.dumps(inside)


def test_ids_are_the_same_whoever_tells_and_however_often() -> None:
    ledger = Ledger()
    play_half_a_round(ledger)
    study = ledger.study()
    one, other = (list(round_events(ledger.events, study, who, "1/0xc0")) for who in PEOPLE[:2])
    assert [e["id"] for e in one] == [e["id"] for e in other]
    assert one[1]["id"] == "1/0xc0/1/1/phase.entered.open"


@pytest.fixture
def watched(tmp_path: Path) -> Any:
    together = InProcess(tmp_path)
    records: list[dict[str, Any]] = []
    together.tools[0].report = Reporter(records.append)
    feed: Any = Feed(together.ledger)
    options = LoopOptions(poll_seconds=0.0, patience=5.0, first_backoff=0.01, longest_backoff=0.02)
    yield together, feed, records, OrganisationNode(together.tools[0], feed, 1, options)
    together.close()


def test_a_node_tells_each_event_once_and_again_after_a_fork(watched: Any) -> None:
    together, feed, records, node = watched
    Recorder(together.ledger, PEOPLE[3]).open_round("open", 1)
    for _ in range(3):
        node.refresh()
    told = [r["id"] for r in records if "event" in r]
    scope = f"{CHAIN}/{CONTRACT}/1/1"
    assert told == [f"{scope}/round.opened", f"{scope}/phase.entered.open"]
    assert len([r for r in records if "block" in r and "event" not in r]) == 1, "a state is told when it changes"
    feed.forked_at = 1
    node.refresh()
    assert [r["id"] for r in records if "event" in r] == told * 2, "with the same ids: a hook sends them once"


def test_an_endpoint_that_stays_away_is_trouble_once(watched: Any) -> None:
    together, feed, records, node = watched
    feed.trouble = [ChainUnreachable("the chain is away") for _ in range(3)]
    Recorder(together.ledger, PEOPLE[3]).open_round("open", 1)
    turn = node.turn

    def one_turn() -> bool:
        found = turn()
        node.stop.set()
        return bool(found)

    node.turn = one_turn
    assert node.run() is False
    notes = [r for r in records if r.get("retry") == "chain"]
    assert [r.get("event") for r in notes] == ["node.trouble", None, None] and all(r["waiting"] and r["level"] == "warning" for r in notes)
    assert [r["waiting"] for r in records if "waiting" in r][-1] is False


def test_a_log_that_cannot_be_written_is_said_once_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(text: str) -> int:
        raise OSError(28, "No space left on device")

    log = LogFile(tmp_path / "agent.log")
    report = Reporter(log.sink)
    with monkeypatch.context() as patched:
        patched.setattr(log._handler, "stream", SimpleNamespace(write=full, flush=lambda: None, seek=lambda *_: 0, tell=lambda: 0))
        report.note("one")
        report.note("two")
    report.note("three")
    said = capsys.readouterr().err
    log.close()
    assert said.count("cannot be written: [Errno 28]") == 1 and "Traceback" not in said
    assert [r["message"] for r in last_records(tmp_path / "agent.log")] == ["three"]


def test_work_of_a_round_says_which(watched: Any) -> None:
    together, _, records, node = watched
    Recorder(together.ledger, PEOPLE[3]).open_round("open", 1)
    node.turn()  # the deadline is long past
    assert together.ledger.study().rounds[1].phase == Phase.VOIDED
    work = [r for r in records if r["phase"] == "advance"]
    assert [(r["status"], r["round"], r["step"]) for r in work] == [("start", 1, 0), ("done", 1, 0)]


def test_a_taken_default_port_makes_room_and_a_named_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = ExitStack()
    taken = stack.enter_context(NodeMetrics().serve("127.0.0.1", 0))
    port = int(taken.rsplit(":", 1)[1].split("/")[0])
    monkeypatch.setattr("defedbio.nodes.service.DEFAULT_PORT", port)
    records: list[dict[str, Any]] = []
    unused: Any = None

    def serve(options: RunOptions) -> str:
        service = NodeService(Home(tmp_path), unused, PEOPLE[0], 1, unused, unused, records.append, options)
        with ExitStack() as stack:
            return service._serve(NodeMetrics(), Reporter(records.append), stack)

    url = serve(RunOptions())
    assert url.startswith("http://127.0.0.1:") and url != taken
    assert records[-1]["message"] == f"metrics at {url}: port {port} is taken"
    with pytest.raises(InvalidInput, match="--no-metrics"):
        serve(RunOptions(metrics_port=port))
    assert serve(RunOptions(metrics=False)) == ""
    stack.close()
    assert serve(RunOptions(metrics_host="0.0.0.0", metrics_port=0)).startswith("http://127.0.0.1:")
    assert "loopback's names only: name others with --metrics-allow-host" in records[-1]["message"]
    serve(RunOptions(metrics_host="0.0.0.0", metrics_port=0, metrics_allow_host=["node.example"]))
    assert "names only" not in records[-1]["message"]


class Others(Feed):
    """The chain's events; every look at them gives the other organisations the time to do what they can."""

    together: InProcess

    def poll(self) -> FeedState:
        for index in (1, 2, 3):
            self.together.step(index)
        return super().poll()


class InTime(OrganisationNode):
    """The ledger's deadlines are of long ago."""

    def clock(self, study: StudyView) -> Clock:
        return Clock(NOW, 0.0)


def test_a_service_runs_a_study_to_its_end_and_tells_all_outlets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together, screen, told = InProcess(tmp_path), list[dict[str, Any]](), tmp_path / "told.jsonl"
    feed: Any = Others(together.ledger)
    feed.together = together

    def assembled(connection: Any, *rest: Any) -> OrganisationNode:
        tools = together.tools[0]
        tools.report = connection.report
        tools.memory = Memory(next(each for each in rest if isinstance(each, Journal)))
        return InTime(tools, feed, 1, LoopOptions(poll_seconds=0.0))

    monkeypatch.setattr("defedbio.nodes.service.assemble", assembled)
    client = SimpleNamespace(head=lambda: Head(0, bytes(32), 0), balance=lambda: 7)

    def connect(journal: Journal, report: Reporter) -> Any:
        return SimpleNamespace(client=client, report=report)

    network: Any = SimpleNamespace(chain_id=CHAIN, contracts={"RoundManager": CONTRACT})
    program = tmp_path / "hook.py"
    program.write_text("import sys\nopen(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')", "utf-8")
    options = RunOptions(metrics_port=0, hook_command=[f"{sys.executable} {program} {told}"])
    service = NodeService(Home(tmp_path), network, PEOPLE[0], 1, connect, together.store(0), screen.append, options)
    together.tools[0].memory.journal.close()

    assert service.run(None, "", threading.Event()) is True
    assert service.run(None, "", threading.Event()) is True, "started again, it finds its study complete"
    for tools in together.tools[1:]:
        tools.memory.journal.close()
    events = [json.loads(line) for line in told.read_text("utf-8").splitlines()]
    of_a_round = ["round.opened", *["phase.entered"] * 3, "set.frozen", *["phase.entered"] * 3, "round.finalised"]
    assert [e["event"] for e in events] == [*of_a_round, *of_a_round, "study.complete"], "each once over both runs"
    assert all(e["organisation"] == PEOPLE[0] and e["study"] == 1 for e in events)
    assert not (service.folder / "agent.json").exists()
    logged = last_records(service.folder / "agent.log")
    assert [r for r in screen if r["status"] not in ("state", "progress")] == logged
    assert any(r.get("balance") == 7 for r in screen) and any(r.get("peers") is not None for r in screen)
