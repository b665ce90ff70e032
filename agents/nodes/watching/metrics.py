"""What a node tells Prometheus: its records, counted. No label holds a round, an address or a CID, so the series are few for ever.

The size of the local data stays hidden: nothing counts rows, the phase that reads the file is left out, and so are the process's own
memory and time, which follow that size. The seconds of other phases tell no more than the chain's block times do.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from defedbio.domain import Phase
from defedbio.errors import DefedError
from defedbio.web.hardening import names
from defedbio.web.plain import page
from defedbio.web.server import serving

DEFAULT_PORT = 9460
PATH = "/metrics"
UNTOLD = frozenset({"load-data"})
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
PREFIX = "defedbio"


class _Registry(CollectorRegistry):
    """Without the library's `_created` series, which only its process-wide switch leaves out otherwise."""

    def collect(self) -> Iterable[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class NodeMetrics:
    """One node's metrics in a registry of their own; `sink` takes the node's records, and `journal` gives the bytes of what is in its
    journal, by kind."""

    def __init__(self, journal: Callable[[], Mapping[str, int]] = dict) -> None:
        self._journal = journal
        self.registry = _Registry()
        self._pending: set[str] = set()
        self._lock = threading.Lock()
        counter, gauge = self._counter, self._gauge
        self._build = gauge("build_info", "Always 1; version of the product and of Python.", "version", "python")
        self._build.labels(product_version(), platform.python_version()).set(1)
        gauge("start_time_seconds", "When the node started, in unix seconds.").set(time.time())
        self._seconds = Histogram(
            "phase_seconds", "Seconds of finished phases of work.", ["phase"], namespace=PREFIX, registry=self.registry, buckets=SECONDS
        )
        self._failed = counter("phases_failed", "Phases of work that ended with an error.", "phase")
        self._running = gauge("phase_running", "1 while the node is at this phase of work.", "phase")
        self._progress = gauge("phase_progress_ratio", "How far the phase at work is, 0 to 1.", "phase")
        self._received = counter("received_bytes", "Bytes of blobs that the own IPFS node delivered, by phase of work.", "phase")
        self._sent = counter("sent_bytes", "Bytes of blobs given to the own IPFS node, by phase of work.", "phase")
        self._gas = counter("gas_used", "Gas that this node's transactions used, by phase of work.", "phase")
        self._retries = counter("retries", "Tries made again, by what was in the way.", "reason")
        self._messages = counter("messages", "Messages of level warning and error.", "level")
        self._transactions = gauge("transactions_pending", "Transactions that are journalled and not mined.")
        self._waiting = gauge("waiting", "1 while the node backs off because chain or IPFS do not answer.")
        self._hooks = counter("hook_deliveries", "Events given to hooks, by outcome.", "outcome")
        self._peers = gauge("peers", "Nodes that the own IPFS node is connected to.")
        self._ipfs = gauge("ipfs_up", "1 if the own IPFS node answers.")
        self._balance = gauge("balance_wei", "Gas money of the organisation's account, in wei.")
        self._round_phase = gauge("round_phase", "1 for the phase that the newest round is in.", "phase")
        self._parts = gauge("round_organisations", "Organisations that have done this part of the newest round.", "part")
        self._rounds = gauge("rounds", "The study's ended rounds by outcome.", "outcome")
        self._kept = gauge("journal_bytes", "Bytes of what the node keeps in its journal, by kind (docs/storage.md).", "kind")
        self._plain = {
            "study": gauge("study", "Number of the study that the node follows."),
            "round": gauge("round", "Number of the newest round."),
            "step": gauge("round_step", "The newest round's place in the study's schedule, from 0."),
            "steps": gauge("rounds_planned", "Rounds that the study finalises when it runs to its end."),
            "enrolled": gauge("enrolled_organisations", "Organisations enrolled in the study."),
            "deadline": gauge(
                "phase_deadline_timestamp_seconds", "Deadline of the newest round's phase, in unix seconds; 0 after its end."
            ),
            "block": gauge("last_block_number", "Newest block that the node has seen."),
            "block_time": gauge("last_block_timestamp_seconds", "Time of that block, in unix seconds."),
            "epsilon_spent": gauge("privacy_epsilon_spent", "Differential privacy: epsilon that this organisation declared so far."),
            "epsilon_budget": gauge("privacy_epsilon_budget", "Differential privacy: epsilon that the study allows."),
        }

    def sink(self, record: dict[str, Any]) -> None:
        if record["phase"] in UNTOLD:
            return
        self._count_work(record)
        self._show_state(record)
        if (reason := record.get("retry")) is not None:
            self._retries.labels(reason).inc()
        if record["status"] == "note" and record["level"] in ("warning", "error"):
            self._messages.labels(record["level"]).inc()
        if "queue" in record:
            self._count_transaction(record["queue"], record["key"])
        if (outcome := record.get("delivery")) is not None:
            self._hooks.labels(outcome).inc()

    def _count_work(self, record: dict[str, Any]) -> None:
        phase, status = record["phase"], record["status"]
        if status == "start":
            self._running.labels(phase).set(1)
            self._progress.labels(phase).set(0)
        elif status == "progress":
            self._progress.labels(phase).set(record["done"] / max(1, record["total"]))
        elif status in ("done", "failed") and "seconds" in record:
            self._running.labels(phase).set(0)
            self._progress.labels(phase).set(0)
            self._seconds.labels(phase).observe(record["seconds"])
            self._gas.labels(phase).inc(record["gas"])
            if status == "failed":
                self._failed.labels(phase).inc()
        if status != "progress":
            for counter, amount in ((self._received, record.get("received")), (self._sent, record.get("sent"))):
                if amount:
                    counter.labels("other" if status == "state" else phase).inc(amount)

    def _count_transaction(self, what: str, key: str) -> None:
        with self._lock:
            if what == "pending":
                self._pending.add(key)
            else:
                self._pending.discard(key)
            self._transactions.set(len(self._pending))

    def _show_state(self, record: dict[str, Any]) -> None:
        if "waiting" in record:
            self._waiting.set(record["waiting"])
        if record["status"] != "state" or "event" in record:
            return
        if "block" in record:
            for name, shown in self._plain.items():
                if name in record:
                    shown.set(record[name])
            for phase in Phase:
                if phase != Phase.NONE and "round_phase" in record:
                    self._round_phase.labels(phase.name.lower()).set(record["round_phase"] == phase.name.lower())
            for part, count in record.get("organisations", {}).items():
                self._parts.labels(part).set(count)
            for outcome in ("finalised", "voided"):
                self._rounds.labels(outcome).set(record[outcome])
        if "ipfs_up" in record:
            self._ipfs.set(record["ipfs_up"])
            self._peers.set(record["peers"])
        if "balance" in record:
            self._balance.set(record["balance"])

    def text(self) -> bytes:
        """All of them as Prometheus reads them. What takes room in the journal is counted now, and not before somebody asks."""
        with self._lock:
            self._kept.clear()
            with suppress(DefedError):  # what ails the journal ends the node, and not its metrics
                for kind, size in self._journal().items():
                    self._kept.labels(kind).set(size)
            return generate_latest(self.registry)

    @contextmanager
    def serve(self, host: str, port: int, allow_host: Sequence[str] = ()) -> Iterator[str]:
        """Answer on host and port (0: a free one) in a thread meanwhile; gives the URL at which this machine reaches them.

        Args:
            allow_host: names under which they may be asked for, besides loopback's and the address that is listened on.

        Raises:
            InvalidInput: if the address cannot be listened on.
        """
        app = page(PATH, self.text, CONTENT_TYPE_LATEST, names(host, allow_host))
        with serving(app, host, port, "pass another --metrics-port, or --no-metrics") as address:
            yield address.removesuffix("/") + PATH

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=PREFIX, registry=self.registry)


def product_version() -> str:
    try:
        return version("defed-bio")
    except PackageNotFoundError:
        return "source"
