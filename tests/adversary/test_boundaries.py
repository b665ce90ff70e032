"""What comes in from outside: documents, answers and requests that are not what they should be."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.feed import EventFeed
from defedbio.chain.network import Network
from defedbio.chain.values import Profile
from defedbio.cli.common import say
from defedbio.client.studies import Studies
from defedbio.config import Home
from defedbio.crypto.merkle import keccak256
from defedbio.errors import ChainUnreachable, InvalidSpec, StoreUnreachable
from defedbio.explorer.application import Explorer
from defedbio.explorer.index import Index
from defedbio.ipfs.kubo import KuboStore, Retry
from defedbio.network.connection import rules_of
from defedbio.nodes.organisation import LoopOptions
from defedbio.nodes.participation import assemble
from defedbio.nodes.watching.metrics import NodeMetrics
from defedbio.web.server import serving
from tests.adversary.arena import ENROL_SECONDS, Arena, Member
from tests.adversary.frame import Attack
from tests.anvil import QUICK

PRIVACY = {"kind": "record", "noise_multiplier": 1.0, "max_grad_norm": 1.0, "sample_rate": 0.1, "epsilon": 3.0, "delta": 1e-5}
PATIENCE = 20.0


def written(document: dict[str, Any], field: str, text: str) -> bytes:
    """The document with this text where the value of a top-level field stands."""
    return json.dumps(document | {field: "the place"}).replace(json.dumps("the place"), text).encode()


def hostile_specs(honest: dict[str, Any]) -> dict[str, bytes]:
    """Specs by what is wrong with them."""
    private = json.dumps(PRIVACY).replace("3.0", "NaN")
    return {
        "a number of 5,000 digits": written(honest, "seed", "9" * 5000),
        "arrays in arrays, 100,000 deep": written(honest, "task", "[" * 100_000 + "]" * 100_000),
        "a float that counts rounds": written(honest, "rounds", "24.0"),
        "a budget that is no number": written(honest | {"weighting": {"kind": "uniform"}}, "privacy", private),
        "a clip norm past what floats hold": written(honest, "quantisation", '{"slot_bits": 24, "clip_norm": 1e308, "scale": 10.0}'),
        "half a surrogate pair": written(honest, "name", '"\\ud83d"'),
        "another encoding": json.dumps(honest).encode("utf-16"),
    }


def open_study(arena: Arena, member: Member, raw: bytes) -> int:
    """Open a study with any bytes as its spec: the contracts see their hash only."""
    fits = rules_of(arena.frame.spec, arena.chain_time() + ENROL_SECONDS)
    receipt = arena.send(member, StudyRegistry.open("open", arena.frame.spec.key_epoch, keccak256(raw), member.store.add(raw), fits))
    return StudyRegistry(member.client).opened_in(receipt)


def joining(arena: Arena, member: Member, home: Path) -> Studies:
    """The client's studies for a member, over the arena's chain and blobs."""

    @contextmanager
    def signing() -> Iterator[Any]:
        yield arena.reader(member)

    session: Any = SimpleNamespace(signing=signing, network=arena.network, home=Home(home), reader=lambda: arena.reader(member))
    return Studies(session)


def get(url: str, host: str = "", **headers: str) -> tuple[int, str]:
    """Status and text; `host` is the name that is asked for at the URL's address."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", parts.path or "/", headers={"Host": host or parts.netloc, **named})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@contextmanager
def explorer_of(arena: Arena, member: Member) -> Iterator[tuple[Explorer, str]]:
    """A real explorer, its two threads and its server."""
    made = Explorer(arena.reader(member), Index(EventFeed(member.client)), poll_seconds=0.05)
    with serving(made.app(["127.0.0.1"]), "127.0.0.1", 0) as address:
        yield made, address


def until(explorer: Explorer, condition: Callable[[], bool]) -> None:
    version = -1
    for _ in range(100):
        if condition():
            return
        version = explorer.index.wait(version, PATIENCE / 100)
    raise AssertionError("it never came about")


def test_specs_that_no_reader_expects(attack: Attack, arena: Arena, tmp_path: Path) -> None:
    attack.by("a member that opens studies, which the contracts know by hash only")
    hostile, reader, operator = arena.members[:3]
    honest = json.loads(arena.frame.spec.raw)
    opened: dict[int, str] = {}
    with attack.sends("specs that are hostile JSON, of studies that are newer than the honest one"):
        for what, raw in hostile_specs(honest).items():
            opened[open_study(arena, hostile, raw)] = what
    with explorer_of(arena, reader) as (explorer, address):
        until(explorer, lambda: explorer.lookups.known_frame(arena.study) is not None)
        with attack.seen("by whoever would join, as a bad spec; and in the explorer, whose page of the study says why it has none"):
            for study, what in opened.items():
                with pytest.raises(InvalidSpec):
                    joining(arena, operator, tmp_path).join(study, accept=True)
                status, text = get(f"{address}study/{study}")
                assert status in (200, 503) and "the study spec" in text, what
        with attack.works("the explorer's thread, which reads the honest study behind them, and the next honest one"):
            later = open_study(arena, hostile, json.dumps(honest | {"name": "opened afterwards"}).encode())
            until(explorer, lambda: explorer.lookups.known_frame(later) is not None)
            assert "opened afterwards" in get(f"{address}study/{later}")[1]
            assert joining(arena, operator, tmp_path).join(later, accept=True) is not None
    with attack.unlearnt("that anybody would take part: nothing was accepted, and nobody is enrolled"):
        assert not {study for study in opened if (Home(tmp_path).study(31337, arena.frame.contract, study) / "accepted.json").exists()}
        assert all(StudyRegistry(reader.client).study_of(study).enrolled == 0 for study in opened)


def test_a_privacy_budget_that_is_no_number(attack: Attack, arena: Arena, tmp_path: Path) -> None:
    attack.by("the coordinator of a study with differential privacy")
    coordinator, victim = arena.members[:2]
    honest = json.loads(arena.frame.spec.raw) | {"weighting": {"kind": "uniform"}}
    raw = written(honest, "privacy", json.dumps(PRIVACY).replace("3.0", "NaN"))
    with attack.sends("a spec whose epsilon is NaN, which no loss is larger than, and in which the victim is enrolled"):
        study = open_study(arena, coordinator, raw)
        for member in arena.members:
            arena.send(member, StudyRegistry.enrol("enrol", study, keccak256(raw)))
    with attack.seen("by a node that is started for it, and by an auditor: both refuse the spec"):
        with pytest.raises(InvalidSpec, match="NaN, which is not a number"):
            assemble(arena.reader(victim), Home(tmp_path), study, None, "", victim.journal, LoopOptions(), victim.tools.arithmetic)
        with pytest.raises(InvalidSpec, match="NaN, which is not a number"):
            arena.reader(arena.members[2]).frame(study)
    with attack.works("the same study with a budget"):
        raw = json.dumps(honest | {"privacy": PRIVACY}).encode()
        study = open_study(arena, coordinator, raw)
        assert arena.reader(victim).frame(study).spec.privacy is not None
    with attack.unlearnt("anything about a record: no update was made, so none was charged or sent"):
        assert victim.journal.get("study/privacy") is None and not arena.view().rounds


def test_words_that_pass_for_ours(attack: Attack, arena: Arena, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attack.by("a member that coordinates a study")
    coordinator, operator = arena.members[:2]
    honest = json.loads(arena.frame.spec.raw)
    forged = "x\n  privacy      DP-SGD for each record: noise 8\x1b[8m\u202e"
    with attack.sends("a spec and a profile whose names end the line, forge the next one and steer the terminal"):
        study = open_study(arena, coordinator, json.dumps(honest | {"name": forged, "description": forged}).encode())
        profile = Profile(forged, "", bytes(31) + b"\x01", coordinator.store.identity().multiaddrs[0])
        arena.send(coordinator, ParticipantRegistry.register("register", profile))
    with attack.seen("by whoever is asked to join: one line of name, and the one line on privacy is true"):
        asked: list[str] = []
        joining(arena, operator, tmp_path).join(study, confirm=lambda consent: bool(asked.append(str(consent))))
        say(*asked[0].splitlines())
        say(f"profile of {ParticipantRegistry(operator.client).profile_of(coordinator.address).name}")
        shown = capsys.readouterr().out
        (privacy,) = [line for line in shown.splitlines() if line.startswith("  privacy")]
        assert "encryption only" in privacy and "DP-SGD" not in privacy
        honestly = str(joining(arena, operator, tmp_path).consent(arena.study)).splitlines()
        assert len(shown.splitlines()) == len(honestly) + 2, "a description, the profile, and no line more"
        assert "\x1b" not in shown and "\u202e" not in shown
    with attack.works("the honest study, which is described as before"):
        assert "study 1: arena" in joining(arena, operator, tmp_path).describe(arena.study)
    with attack.unlearnt("consent: the operator said no, and nothing was accepted"):
        assert not list(tmp_path.rglob("accepted.json"))


def test_a_name_that_points_to_loopback(attack: Attack, arena: Arena) -> None:
    attack.by("a web page that an operator looks at, whose own name it makes point to the operator's machine")
    metrics = NodeMetrics()
    metrics.sink({"phase": "state", "status": "state", "balance": 7})
    with explorer_of(arena, arena.members[0]) as (_, pages), metrics.serve("127.0.0.1", 0) as numbers:
        foreign = [get(url, host) for url in (numbers, pages) for host in ("evil.example", "127.0.0.1.evil.example:9460", "0.0.0.0")]
        with attack.sends("requests to the node's metrics and to the explorer, under its own name, as a browser sends them"):
            foreign += [get(url, "evil.example", sec_fetch_site="same-origin") for url in (numbers, pages)]
            foreign += [get(url, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") for url in (numbers, pages)]
        with attack.seen("by both servers: a name that is not theirs, or another site's page"):
            assert {status for status, _ in foreign} == {400, 403}
        with attack.works("whoever asks by the machine's own names, or by one that the operator has named"):
            for host in ("127.0.0.1", "localhost:9460", "[::1]:9460", ""):
                assert "defedbio_balance_wei 7.0" in get(numbers, host)[1]
            with metrics.serve("127.0.0.1", 0, ["node.example"]) as named:
                assert get(named, "node.example:9460")[0] == 200 and get(named, "evil.example")[0] == 400
        with attack.unlearnt("a single number of the node, or a line of a page"):
            assert all(len(text) < 50 and "defedbio" not in text.lower() for _, text in foreign)


class Mouth(BaseHTTPRequestHandler):
    """Answers every request with the same bytes, and keeps what was asked."""

    says = b""
    heard: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.heard.append(f"{self.path} {body.decode()} {sorted(self.headers.keys())}")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.says)))
        self.end_headers()
        self.wfile.write(self.says)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def answering() -> Iterator[tuple[type[Mouth], str]]:
    mouth = type("Answering", (Mouth,), {"heard": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), mouth)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield mouth, f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_hostile_answers(attack: Attack, contracts: Network) -> None:
    attack.by("whoever answers in the place of an organisation's Ethereum endpoint or IPFS node")
    texts = ("[" * 100_000, "9" * 5000, "NaN", "1e999", '{"ID": "x", "ID": "y"}', '"\\ud83d"', "{", "7", '{"Peers": [7]}', "")
    with answering() as (mouth, at):
        host, port = at.split(":")
        ipfs = KuboStore(f"/ip4/{host}/tcp/{port}", timeout=5.0, retry=Retry(tries=1))
        chain = ChainClient(f"http://{at}", contracts, options=replace(QUICK, attempts=1))
        said: list[str] = []
        with attack.sends("JSON that is too deep, too long, no number, ambiguous, or of another shape"):
            for text in texts:
                mouth.says = text.encode()
                for ask in (ipfs.identity, ipfs.peers):
                    with pytest.raises(StoreUnreachable) as refusal:
                        ask()
                    said.append(str(refusal.value))
                for answer in (text, f'{{"jsonrpc": "2.0", "id": 0, "result": {text}}}', f'{{"jsonrpc": "2.0", "id": 0, "error": {text}}}'):
                    mouth.says = answer.encode()
                    with pytest.raises(ChainUnreachable) as refusal:
                        chain.head()
                    said.append(str(refusal.value))
        with attack.seen("by the node, as an endpoint or an IPFS node that cannot be reached, in words of ours"):
            assert all(len(words) < 400 and words.isprintable() for words in said)
        with attack.works("the node, which goes on when the answers are true"):
            block = {"number": "0x1", "hash": "0x" + "11" * 32, "timestamp": "0x2"}
            mouth.says = json.dumps({"jsonrpc": "2.0", "id": 0, "result": block}).encode()
            assert chain.head().number == 1
            mouth.says = b'{"Peers": [{"Peer": "a"}]}\n'
            assert ipfs.peers() == ["a"]
        with attack.unlearnt("anything but the question: who is there, and which block is the newest"):
            assert all(any(question in heard for question in ("/api/v0/id", "/api/v0/swarm/peers", "latest")) for heard in mouth.heard)
            assert not any("Authorization" in heard or "Cookie" in heard for heard in mouth.heard)
        ipfs.close()
