"""Hooks on real programs and a real HTTP server: order, signatures, retries, restarts, and receivers that are dead, slow or hostile."""

from __future__ import annotations

import json
import os
import queue
import shlex
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from defedbio.errors import InvalidInput
from defedbio.nodes.watching import hooks
from defedbio.nodes.watching.hooks import Hooks, Policy, document_of
from defedbio.nodes.watching.receivers import Command, DeliveryFailed, WebHook, signature, signature_holds
from defedbio.protocol.journal import Journal
from defedbio.report import Reporter

SECRET = b"0123456789abcdef0123456789abcdef"
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "operations.md"
QUICK = Policy(tries=3, first_backoff=0.01, longest_backoff=0.02)


def event(number: int, name: str = "phase.entered") -> dict[str, Any]:
    record = {"event": name, "id": f"1/0xc0/1/{number}/{name}", "block": 100 + number, "study": 1, "round": number}
    return document_of({"at": 1.0, "level": "debug", "phase": "state", "status": "state", **record})


@dataclass
class Server:
    """A receiver on loopback; `answers` are the statuses of its next requests, 200 after them."""

    answers: list[int] = field(default_factory=list)
    requests: queue.Queue[tuple[dict[str, str], bytes]] = field(default_factory=queue.Queue)
    url: str = ""

    def next(self) -> dict[str, Any]:
        return dict(json.loads(self.requests.get(timeout=10)[1]))


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = made.answers.pop(0) if made.answers else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", made.url + "/elsewhere")
            self.end_headers()
            made.requests.put((dict(self.headers), body))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{running.server_port}/hook"
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    running.shutdown()
    running.server_close()


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def report(records: list[dict[str, Any]]) -> Reporter:
    return Reporter(records.append)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.sqlite")
    yield made
    made.close()


def outcomes(records: list[dict[str, Any]]) -> list[str]:
    return [r["delivery"] for r in records if "delivery" in r]


def tell(hooks: Hooks, *events: dict[str, Any], close: float = 10.0) -> None:
    for each in events:
        hooks.sink({"status": "state", **each})
    hooks.close(close)


# -- web hooks ---------------------------------------------------------------------------------------------------------------------------


def test_events_arrive_in_order_signed_and_named(server: Server, journal: Journal, report: Reporter) -> None:
    tell(Hooks([WebHook(server.url, SECRET)], journal, report, since=0, policy=QUICK), *map(event, (1, 2, 3)))
    for number in (1, 2, 3):
        headers, body = server.requests.get(timeout=10)
        got = json.loads(body)
        assert got["round"] == number and got["format"] == "defedbio-event/1" and not {"phase", "status", "level"} & got.keys()
        assert headers["X-DefedBio-Event"] == "phase.entered" and headers["X-DefedBio-Delivery"] == got["id"]
        assert signature_holds(SECRET, body, headers["X-DefedBio-Signature"], time.time())


def test_a_signature_binds_secret_body_and_time() -> None:
    header = signature(SECRET, b"{}", 1000)
    assert signature_holds(SECRET, b"{}", header, now=1200)
    assert not signature_holds(b"another secret of that length", b"{}", header, now=1200)
    assert not signature_holds(SECRET, b"{ }", header, now=1200)
    assert not signature_holds(SECRET, b"{}", header, now=1400), "an old one replayed"
    assert not signature_holds(SECRET, b"{}", header.replace("t=1000", "t=1001"), now=1200)
    assert not any(
        signature_holds(SECRET, b"{}", text, now=1200) for text in ("", "t=1000", "v1=", "t=x,v1=y", "t=²,v1=y", header + ",v1=0")
    )


def test_the_documented_receiver_believes_the_same() -> None:
    text = DOCUMENTATION.read_text("utf-8")
    namespace: dict[str, Any] = {}
    code = compile(text.partition("```python\n")[2].partition("```")[0], "operations.md", "exec")
    types.FunctionType(code, namespace)()
    genuine, body = namespace["genuine"], b'{"event":"round.opened"}'
    header = signature(SECRET, body, int(time.time()))
    assert genuine(SECRET, body, header)
    assert not genuine(SECRET, body + b" ", header) and not genuine(SECRET[:-1], body, header) and not genuine(SECRET, body, "")
    assert not genuine(SECRET, body, signature(SECRET, body, int(time.time()) - 400))


def test_a_500_is_tried_again_before_the_next_event(
    server: Server, journal: Journal, report: Reporter, records: list[dict[str, Any]]
) -> None:
    server.answers = [500, 503]
    tell(Hooks([WebHook(server.url, SECRET)], journal, report, since=0, policy=QUICK), event(1), event(2))
    assert [server.next()["round"] for _ in range(4)] == [1, 1, 1, 2] and outcomes(records) == ["delivered", "delivered"]


def test_a_redirect_is_not_followed(server: Server, journal: Journal, report: Reporter, records: list[dict[str, Any]]) -> None:
    server.answers = [302] * 3
    tell(Hooks([WebHook(server.url, SECRET)], journal, report, since=0, policy=QUICK), event(1))
    assert server.requests.qsize() == 3 and outcomes(records) == ["failed"]
    assert "redirects are not followed" in records[-1]["message"]


def test_what_a_dead_receiver_missed_arrives_after_a_restart(server: Server, tmp_path: Path, report: Reporter) -> None:
    path = tmp_path / "restart.sqlite"
    journal = Journal(path)
    server.answers = [200, *[500] * 3]
    tell(Hooks([WebHook(server.url, SECRET)], journal, report, since=100, policy=QUICK), event(1), event(2))
    journal.close()
    journal = Journal(path)
    # A node that starts reads all events again, and the chain's newest block is another by now.
    tell(Hooks([WebHook(server.url, SECRET)], journal, report, since=999, policy=QUICK), *map(event, (1, 2, 3)))
    journal.close()
    rounds = [server.next()["round"] for _ in range(server.requests.qsize())]
    assert rounds == [1, 2, 2, 2, 2, 3]


def test_a_new_receiver_hears_nothing_of_the_past(server: Server, journal: Journal, report: Reporter) -> None:
    tell(Hooks([WebHook(server.url, SECRET)], journal, report, since=102, policy=QUICK), *map(event, (1, 2, 3)))
    assert server.next()["round"] == 3 and server.requests.empty()


def test_the_same_event_told_again_after_a_reorganisation_is_sent_once(server: Server, journal: Journal, report: Reporter) -> None:
    tell(Hooks([WebHook(server.url, SECRET)], journal, report, since=0, policy=QUICK), event(1), {**event(1), "block": 105}, event(2))
    assert [server.next()["round"] for _ in range(2)] == [1, 2] and server.requests.empty()


def test_one_number_stands_for_what_arrived(server: Server, tmp_path: Path, report: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal does not grow with the events, and after a restart nothing is told twice that arrived, nor lost that did not."""
    monkeypatch.setattr(hooks, "SETTLED_EACH", 4)
    monkeypatch.setattr(hooks, "DEEP", 5)
    path, lost = tmp_path / "settled.sqlite", 24
    marks: list[int] = []
    for start in (0, 20, 40):
        journal = Journal(path)
        server.answers = [*[200] * (lost - start - 1), *[500] * QUICK.tries] if start == 20 else []
        tell(Hooks([WebHook(server.url, SECRET)], journal, report, since=0, policy=QUICK), *map(event, range(1, start + 21)))
        marks.append(len(journal.sizes()))
        journal.close()
        rounds = [server.next()["round"] for _ in range(server.requests.qsize())]
        fresh = [number for number in dict.fromkeys(rounds) if number > start]
        assert fresh == list(range(start + 1, start + 21))
        assert [number for number in dict.fromkeys(rounds) if number <= start] == ([lost] if start == 40 else [])
    assert marks[0] < 12 and marks[1] > 12, "while one has not arrived, those after it are remembered one by one"
    assert marks[2] < 20


def dead() -> str:
    """An address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/token-in-the-path"


def test_a_dead_receiver_delays_neither_the_node_nor_another_receiver(
    server: Server, journal: Journal, report: Reporter, records: list[dict[str, Any]]
) -> None:
    patient = Policy(tries=50, first_backoff=30.0, longest_backoff=30.0, waiting=2)
    hooks = Hooks([WebHook(dead(), SECRET), WebHook(server.url, SECRET)], journal, report, since=0, policy=patient)
    for number in (1, 2):
        hooks.sink({"status": "state", **event(number)})
        assert server.next()["round"] == number, "the other hears at once"
    for number in range(3, 9):
        hooks.sink({"status": "state", **event(number)})
    hooks.close(0.2)
    assert "dropped" in outcomes(records), "the queue is bounded"
    assert not any("token" in json.dumps(record) for record in records), "only the host is shown"


class Dribble(threading.Thread):
    """A hostile receiver: one byte of an endless header every tenth of a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.over = threading.Event()

    def run(self) -> None:
        connection, _ = self.listener.accept()
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.over.wait(0.1):
            try:
                connection.sendall(b"x")
            except OSError:
                self.over.set()


def test_a_receiver_that_answers_for_ever_is_cut_off() -> None:
    slow = Dribble()
    slow.start()
    hook = WebHook(f"http://127.0.0.1:{slow.listener.getsockname()[1]}/", SECRET, seconds=0.5)
    with pytest.raises(DeliveryFailed, match="no whole answer within"):
        hook.deliver(event(1))
    assert slow.over.wait(10), "the connection is closed"
    slow.listener.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/hook", "https"),
        ("ftp://example.org/", "https"),
        ("http://127.0.0.1.example.org/", "https"),
        ("https://user:word@example.org/", "credentials"),
        ("https://", "https"),
        ("https://[::1", "not a URL"),
        ("https://example.org:port/", "not a URL"),
        ("https://example.org/a b", "not a URL"),
        ("https://example.org/\u00e9", "not a URL"),
        ("https://example.org/\r\nX-Header: 1", "not a URL"),
    ],
)
def test_addresses_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refusal:
        WebHook(url, SECRET)
    assert "word" not in str(refusal.value)


def test_addresses_that_are_taken_and_a_secret_that_is_short() -> None:
    for url in ("https://example.org/hook?key=1", "http://localhost:8080/", "http://127.8.0.1/", "http://[::1]:80/"):
        assert "key" not in WebHook(url, SECRET).shown
    with pytest.raises(InvalidInput, match="16 bytes"):
        WebHook("https://example.org/", b"short")


# -- programs ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    def make(source: str, *args: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(source, "utf-8")
        return shlex.join([sys.executable, str(path), *args])

    return make


def test_a_program_gets_the_event_and_no_secret(
    program: Callable[..., str], tmp_path: Path, report: Reporter, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFEDBIO_PASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter3")
    out = tmp_path / "out.json"
    source = (
        "import json, os, sys\njson.dump([json.load(sys.stdin), sys.argv[2:], dict(os.environ)], open(sys.argv[1], 'w'))\nprint('noted')"
    )
    Command(program(source, str(out), "; touch /tmp/x", "$HOME"), report).deliver(event(4))
    got, arguments, environment = json.loads(out.read_text("utf-8"))
    assert got == event(4)
    assert arguments == ["; touch /tmp/x", "$HOME"], "no shell"
    assert (environment["DEFEDBIO_EVENT"], environment["DEFEDBIO_STUDY"], environment["DEFEDBIO_ROUND"]) == ("phase.entered", "1", "4")
    assert "hunter" not in json.dumps(environment)
    assert records[-1]["message"].endswith("on phase.entered: noted")


def test_a_program_that_fails_is_tried_again_and_then_let_be(
    program: Callable[..., str], tmp_path: Path, journal: Journal, report: Reporter, records: list[dict[str, Any]]
) -> None:
    count = tmp_path / "count"
    source = "import sys\nopen(sys.argv[1], 'a').write('x')\nprint('\\x1b[2Jbroken ' * 1000)\nsys.exit(3)"
    tell(Hooks([Command(program(source, str(count)), report)], journal, report, since=0, policy=QUICK), event(1))
    assert count.read_text("utf-8") == "xxx" and outcomes(records) == ["failed"]
    assert "exit code 3" in records[-1]["message"] and len(records[-1]["message"]) < 3000


def test_a_program_that_hangs_is_ended_with_its_children(program: Callable[..., str], tmp_path: Path, report: Reporter) -> None:
    pid = tmp_path / "pid"
    source = (
        "import subprocess, sys, time\nchild = subprocess.Popen(['sleep', '600'])\n"
        "open(sys.argv[1] + '.part', 'w').write(str(child.pid))\nimport os\nos.rename(sys.argv[1] + '.part', sys.argv[1])\ntime.sleep(600)"
    )
    with pytest.raises(DeliveryFailed, match="did not end within 2 s"):
        Command(program(source, str(pid)), report, seconds=2).deliver(event(1))
    child = int(pid.read_text("utf-8"))
    deadline = time.monotonic() + 5
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(child)


def running(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_reads_nothing_and_says_much_does_no_harm(
    program: Callable[..., str], report: Reporter, records: list[dict[str, Any]]
) -> None:
    source = "import sys\nsys.stdin.close()\nfor _ in range(2000): print('y' * 1000)"
    Command(program(source), report).deliver({**event(1), "padding": "x" * 200_000})
    assert len(records[-1]["message"]) < 2100


def test_commands_that_are_refused(report: Reporter) -> None:
    for text in ("", "'unclosed", "/nowhere/program --now"):
        with pytest.raises(InvalidInput, match="hook command"):
            Command(text, report)


def test_closing_ends_a_program_under_way(program: Callable[..., str], journal: Journal, report: Reporter, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    hooks = Hooks(
        [Command(program("import sys, time\nopen(sys.argv[1], 'w').close()\ntime.sleep(600)", str(started)), report)], journal, report, 0
    )
    hooks.sink({"status": "state", **event(1)})
    started.open().close()  # waits for the program
    hooks.close(0.0)
    assert not [t for t in threading.enumerate() if t.name == "hook"], "its thread has ended"
