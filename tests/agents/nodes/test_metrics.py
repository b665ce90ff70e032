"""Metrics: what records count for, what never shows, and the dashboard that reads them."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from defedbio.domain import Phase
from defedbio.errors import ChainUnreachable, InvalidInput, StoreUnreachable
from defedbio.ipfs.store import BlobStore
from defedbio.nodes.watching.metered import MeteredStore
from defedbio.nodes.watching.metrics import NodeMetrics
from defedbio.nodes.watching.probes import read_metrics
from defedbio.nodes.watching.telling import round_events, study_facts
from defedbio.nodes.watching.vitals import look
from defedbio.report import Reporter
from defedbio.spec.privacy import RecordPrivacy
from defedbio.web.plain import page
from defedbio.web.server import serving
from tests.agents.protocol.in_process import PEOPLE, InProcess, Ledger, Recorder, reached
from tests.ipfs.memory_store import MemoryNetwork, MemoryStore

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana" / "defedbio.json"
OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def served(metrics: NodeMetrics) -> dict[str, float]:
    """Every sample as `name{label}` without the prefix."""
    text = metrics.text().decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {"/".join([s.name.removeprefix("defedbio_"), *s.labels.values()]): s.value for s in samples}


@pytest.fixture
def metrics() -> NodeMetrics:
    return NodeMetrics()


def test_the_journal_is_counted_when_somebody_asks() -> None:
    found: list[dict[str, int]] = [{"update-blob": 7, "model": 1}, {"model": 2}]
    metrics = NodeMetrics(lambda: found.pop(0))
    assert len(found) == 2
    assert [{name: size for name, size in served(metrics).items() if "journal" in name} for _ in range(2)] == [
        {"journal_bytes/update-blob": 7, "journal_bytes/model": 1},
        {"journal_bytes/model": 2},
    ]


def test_a_journal_that_cannot_be_read_costs_its_own_metric_alone() -> None:
    def damaged() -> dict[str, int]:
        raise InvalidInput("the journal cannot be used")

    shown = served(NodeMetrics(damaged))
    assert "start_time_seconds" in shown and not any("journal" in name for name in shown)


@pytest.fixture
def report(metrics: NodeMetrics) -> Reporter:
    return Reporter(metrics.sink, study=3, organisation=PEOPLE[0])


def test_work_is_counted_by_phase(metrics: NodeMetrics, report: Reporter) -> None:
    with report.phase("publish", round=1) as phase:
        phase.gas = 40
        report.traffic(sent=1000, received=10)
        phase.progress(1, 4)
        during = served(metrics)
    with pytest.raises(ValueError, match="x"), report.phase("publish", round=2):
        raise ValueError("x")
    after = served(metrics)
    assert (during["phase_running/publish"], during["phase_progress_ratio/publish"]) == (1, 0.25)
    assert after["phase_running/publish"] == 0 and after["phase_seconds_count/publish"] == 2
    assert after["phases_failed_total/publish"] == 1 and after["gas_used_total/publish"] == 40
    assert (after["sent_bytes_total/publish"], after["received_bytes_total/publish"]) == (1000, 10)


def test_bytes_are_counted_where_they_pass(metrics: NodeMetrics, report: Reporter) -> None:
    store = MeteredStore(MemoryStore(MemoryNetwork(), "a"), report)
    with report.phase("check"):
        cid = store.add(b"12345")
        assert store.get(cid, 100, 1.0) == b"12345"
    store.add(b"1")
    after = served(metrics)
    assert (after["sent_bytes_total/check"], after["received_bytes_total/check"], after["sent_bytes_total/other"]) == (5, 5, 1)
    assert {name for name in vars(BlobStore) if not name.startswith("_")} <= set(vars(MeteredStore)), "every call passes through"


def test_retries_messages_and_transactions(metrics: NodeMetrics, report: Reporter) -> None:
    report.note("again", retry="chain", level="warning")
    report.state(retry="refusal")
    report.note("wrong share", peer=PEOPLE[1])
    for key, what in (("a", "pending"), ("a", "pending"), ("b", "pending"), ("a", "settled")):
        report.state(queue=what, key=key)
    after = served(metrics)
    assert after["retries_total/chain"] == after["retries_total/refusal"] == 1
    assert after["messages_total/warning"] == 2 and after["transactions_pending"] == 1


def test_the_study_shows_as_numbers(metrics: NodeMetrics, report: Reporter) -> None:
    ledger = Ledger()
    Recorder(ledger, PEOPLE[0]).open_round("o", 1)
    Recorder(ledger, PEOPLE[1]).commit("c", 1, b"\x01" * 32)
    Recorder(ledger, PEOPLE[0]).declare_privacy("p", 1, 0.5, 1.5, 1e-5)
    budget = RecordPrivacy(1.0, 1.0, 0.1, 4.0, 1e-5)
    report.state(block=9, block_time=77, **study_facts(ledger.study(), PEOPLE[0], budget))
    now = served(metrics)
    assert (now["study"], now["round"], now["round_step"], now["last_block_number"]) == (3, 1, 0, 9)
    assert (now["round_phase/open"], now["round_phase/voided"]) == (1, 0)
    assert now["round_organisations/committed"] == 1 and now["phase_deadline_timestamp_seconds"] > 0
    assert (now["privacy_epsilon_spent"], now["privacy_epsilon_budget"]) == (1.5, 4.0)
    Recorder(ledger, PEOPLE[0]).advance("v", 1)
    report.state(block=10, block_time=78, **study_facts(ledger.study(), PEOPLE[0], budget))
    now = served(metrics)
    assert (now["round_phase/open"], now["round_phase/voided"], now["rounds/voided"]) == (0, 1, 1)


def test_a_whole_study_leaves_few_series_and_nothing_of_the_data(tmp_path: Path, metrics: NodeMetrics, report: Reporter) -> None:
    together = InProcess(tmp_path)
    together.tools[0].report = report
    with report.phase("load-data"):
        pass
    together.play(reached(2, Phase.FINALISED))
    text = metrics.text().decode()
    together.close()
    assert 'phase="train"' in text and "load-data" not in text
    assert not re.search(r"0x[0-9a-f]{6}|baf[a-z2-7]{20}|_created", text), "no address, hash, CID or creation time"
    labels = {(name, value) for name, value in re.findall(r'(\w+)="([^"]*)"', text) if name not in ("le", "version", "python")}
    assert {name for name, _ in labels} <= {"phase", "reason", "level", "outcome", "part"}
    assert len(labels) < 60 and not any(value.isdigit() for _, value in labels)


def test_events_of_the_chain_pass_by(metrics: NodeMetrics, report: Reporter) -> None:
    ledger = Ledger()
    Recorder(ledger, PEOPLE[0]).open_round("o", 1)
    before = served(metrics)
    for told in round_events(ledger.events, ledger.study(), PEOPLE[0], "1/0xc0"):
        report.state(**told)
    assert served(metrics) == before


def test_gas_money_and_peers_are_looked_at(metrics: NodeMetrics, report: Reporter) -> None:
    class Chain:
        away = False

        def balance(self) -> int:
            if self.away:
                raise ChainUnreachable("away")
            return 7 * 10**18

    class Ipfs:
        away = False

        def peers(self) -> list[str]:
            if self.away:
                raise StoreUnreachable("away")
            return ["a", "b"]

    chain, ipfs = Chain(), Ipfs()
    look(report, chain, ipfs)  # type: ignore[arg-type]
    now = served(metrics)
    assert (now["ipfs_up"], now["peers"], now["balance_wei"]) == (1, 2, 7e18)
    chain.away = ipfs.away = True
    look(report, chain, ipfs)  # type: ignore[arg-type]
    now = served(metrics)
    assert (now["ipfs_up"], now["peers"], now["balance_wei"]) == (0, 0, 7e18)


def test_they_are_served_and_a_taken_port_is_refused(metrics: NodeMetrics) -> None:
    with metrics.serve("127.0.0.1", 0) as url:
        with urllib.request.urlopen(url, timeout=5) as response:
            assert b"defedbio_build_info" in response.read()
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(InvalidInput, match=r"cannot listen on .*--no-metrics"), NodeMetrics().serve("127.0.0.1", port):
            pass


def names(metrics: NodeMetrics) -> set[str]:
    """The names that a scrape knows: of each metric, as queries write them."""
    found = set()
    for metric in metrics.registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
        found |= {metric.name + suffix for suffix in suffixes}
    return found


# Served for queries of one's own.
NOT_SHOWN = {"defedbio_phase_seconds_count"}


def test_the_dashboard_shows_what_is_served_and_nothing_else(metrics: NodeMetrics) -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    panels = [p for p in dashboard["panels"] if p["type"] != "row"]
    asked = {name for p in panels for target in p["targets"] for name in re.findall(r"defedbio_\w+", target["expr"])}
    assert asked <= names(metrics), asked - names(metrics)
    assert names(metrics) - asked == NOT_SHOWN
    assert len({p["id"] for p in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(p["datasource"]["uid"] == "${datasource}" for p in panels) and dashboard["uid"] and dashboard["schemaVersion"] >= 39
    assert {v["name"] for v in dashboard["templating"]["list"]} == {"datasource", "instance"}
    places = [p["gridPos"] for p in panels]
    for number, one in enumerate(places):
        assert one["x"] + one["w"] <= 24
        for other in places[number + 1 :]:
            apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            assert apart_x or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)


def test_the_documentation_lists_every_metric(metrics: NodeMetrics) -> None:
    listed = set(re.findall(r"^\| `(defedbio_\w+)`", OPERATIONS.read_text("utf-8"), re.MULTILINE))
    assert listed == {
        name for metric in metrics.registry.collect() for name in [metric.name + ("_total" if metric.type == "counter" else "")]
    }


def test_what_a_page_says_that_is_no_number_is_passed_over() -> None:
    """The port in an agent's file may be another program's by now."""
    text = b"defedbio_peers NaN\ndefedbio_balance_wei +Inf\ndefedbio_study 3\n"
    app = page("/metrics", lambda: text, "text/plain", ["127.0.0.1"])
    with serving(app, "127.0.0.1", 0) as address:
        assert read_metrics(f"{address}metrics") == {"study": 3.0}
