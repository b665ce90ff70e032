"""A running agent as its operator sees it: metrics, log, hooks and `top`, during a study and after it."""

from __future__ import annotations

import json
import shlex
import stat
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from defedbio.nodes.watching.receivers import signature_holds
from scripts.consortium import Consortium, Organisation
from tests.integration.fixtures import Study

SECRET = b"a secret of the receiver and the node"
PROGRAM = """
import json, os, sys
with open(sys.argv[1], "a", encoding="utf-8") as out:
    out.write(json.dumps({"event": json.load(sys.stdin), "environment": sorted(os.environ)}) + "\\n")
"""


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web hook's receiver that is out of order for its first request; its address and what it accepted."""
    accepted: list[dict[str, Any]] = []
    asked = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            first = not asked.is_set()
            asked.set()
            holds = signature_holds(SECRET, body, self.headers["X-DefedBio-Signature"], time.time())
            self.send_response(500 if first else 200 if holds else 403)
            self.end_headers()
            if holds and not first:
                accepted.append(json.loads(body))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/defedbio", accepted
    finally:
        server.shutdown()
        server.server_close()


def top(consortium: Consortium, organisation: Organisation, study: Study) -> dict[str, Any]:
    return consortium.cli(organisation, "top", "--study", str(study.number), "--once")


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        return str(response.read().decode())


def test_an_operator_watches_a_study(consortium: Consortium, open_study: Callable[..., Study], tmp_path: Path) -> None:
    study = open_study(rounds=1)
    alpha, *others = consortium.organisations
    program, told, secret = tmp_path / "hook.py", tmp_path / "told.jsonl", tmp_path / "secret"
    program.write_text(PROGRAM, "utf-8")
    secret.write_bytes(SECRET + b"\n")
    with receiver() as (url, accepted):
        command = shlex.join([sys.executable, str(program), str(told)])
        extra = ("--metrics-port", "0", "--hook-command", command, "--hook-url", url, "--hook-secret-file", str(secret))
        agents = [study.start(alpha, *extra)]
        served = study.watch.wait_for(lambda _, r: r.get("message", "").startswith("metrics at "))
        study.watch.wait_for(lambda _, r: r["phase"] == "commit" and r["status"] == "done")
        # Nothing goes on without the others, so this is how it looks in the middle of a round.
        running(consortium, alpha, study, served["message"].removeprefix("metrics at "))
        agents += [study.start(organisation) for organisation in others]
        study.finish(agents)
    finished(consortium, alpha, study)
    by_program = [json.loads(line) for line in told.read_text("utf-8").splitlines()]
    events_arrived([entry["event"] for entry in by_program], accepted, alpha)
    assert not {"DEFEDBIO_PASSWORD", "DEFEDBIO_PASSWORD_FILE", "DEFEDBIO_RPC"} & set(by_program[0]["environment"])


def scrape_until(url: str, *samples: str) -> str:
    """The metrics once they have these samples: the node counts its commitment when it next reads the chain, hooks in their own time."""
    deadline = time.monotonic() + 60
    while missing := [sample for sample in samples if sample not in (metrics := scrape(url))]:
        assert time.monotonic() < deadline, (missing, metrics)
        time.sleep(0.2)
    return metrics


def running(consortium: Consortium, alpha: Organisation, study: Study, url: str) -> None:
    metrics = scrape_until(
        url,
        f"defedbio_study {float(study.number)}",
        'defedbio_round_phase{phase="open"} 1.0',
        'defedbio_round_organisations{part="committed"} 1.0',
        'defedbio_phase_seconds_count{phase="train"} 1.0',
        "defedbio_transactions_pending 0.0",
        "defedbio_ipfs_up 1.0",
        'defedbio_hook_deliveries_total{outcome="delivered"}',
    )
    assert 'defedbio_gas_used_total{phase="commit"}' in metrics and 'phase="publish"' not in metrics, "nothing leaves before the reveal"
    assert "load-data" not in metrics and alpha.address not in metrics
    now = top(consortium, alpha, study)
    assert now["running"] and now["metrics"] == url and now["round"]["phase"] == "open" and not now["complete"]
    assert now["own"] == {"committed": True, "revealed": False, "checked": False, "in_set": None, "released": False, "attested": False}
    assert set(now["round"]["missing"]) == {o.name for o in consortium.organisations} - {"alpha"}
    assert now["transactions_pending"] == 0 and now["balance"] > 0 and now["peers"] is not None and now["problems"] == []
    assert now["phases"][-1]["phase"] == "commit" and now["phases"][-1]["gas"] > 0


def finished(consortium: Consortium, alpha: Organisation, study: Study) -> None:
    after = top(consortium, alpha, study)
    assert not after["running"] and after["complete"] and after["finalised"] == after["steps"] == 2
    assert after["transactions_pending"] == 0 and after["cost_per_round"] > 0 and after["rounds_paid"] > 0
    # Three of four holders are enough for the rest: the fourth may come too late for its part.
    assert all(after["own"][part] for part in ("committed", "revealed", "in_set"))
    folder = next(p for p in (alpha.home / "studies").iterdir() if p.name.endswith(f"-{study.number}"))
    assert not (folder / "agent.json").exists()
    log = folder / "agent.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert all({"at", "time", "level", "phase", "status"} <= r.keys() for r in records)
    assert all(r["study"] == study.number and r["organisation"] == alpha.address for r in records)
    assert all({"round", "step"} <= r.keys() for r in records if r["phase"] in ("train", "commit", "reveal", "share", "model", "adopt"))


def events_arrived(by_program: list[dict[str, Any]], by_web: list[dict[str, Any]], alpha: Organisation) -> None:
    phases = ["open", "committed", "revealed", "frozen", "aggregated", "decrypted"]
    entered = ["round.opened", *["phase.entered"] * 3, "set.frozen", *["phase.entered"] * 3, "round.finalised"]
    chain = [e for e in by_program if e["event"] != "node.trouble"]
    assert [e["event"] for e in chain] == [*entered, *entered, "study.complete"]
    assert [e["entered"] for e in chain if e["event"] == "phase.entered"] == phases * 2
    assert all(e["in_set"] is True and e["set_size"] == 4 for e in chain if e["event"] == "set.frozen")
    assert all(e["organisation"] == alpha.address and e["format"] == "defedbio-event/1" for e in chain)
    assert len({e["id"] for e in by_program}) == len(by_program)
    assert [e["id"] for e in by_web if e["event"] != "node.trouble"] == [e["id"] for e in chain], "the 500 was tried again, in order"
