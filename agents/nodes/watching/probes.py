"""Reads that may find nobody: a running agent's metrics, a journal that is not there."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from defedbio.chain.client import ChainClient
from defedbio.errors import DefedError, Unreachable
from defedbio.nodes.watching.metrics import PREFIX
from defedbio.protocol.catalogue import LET_GO
from defedbio.protocol.effects.keeping import sizes_by_kind
from defedbio.protocol.memory import key_of

T = TypeVar("T")
METRICS_SECONDS = 2.0
MAX_METRICS_BYTES = 1 << 20
MAX_ENTRY_BYTES = 1 << 16


@dataclass
class Findings:
    """Reads that may fail; what failed is told, not raised."""

    problems: list[str] = field(default_factory=list)

    def attempt(self, what: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except DefedError as error:
            self.problems.append(f"{what}: {error.message}")
        return None


def read_metrics(url: str) -> dict[str, float]:
    """A node's own metrics by name without prefix, `name/label` for those with one label; only what is a number.

    Raises:
        Unreachable: if they cannot be had.
    """
    from prometheus_client.parser import text_string_to_metric_families

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=METRICS_SECONDS) as response:
            text = response.read(MAX_METRICS_BYTES).decode("utf-8")
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except (OSError, ValueError) as error:
        raise Unreachable(f"the agent's metrics cannot be read: {type(error).__name__}") from None
    own = [sample for sample in samples if sample.name.startswith(f"{PREFIX}_") and isfinite(sample.value)]
    return {"/".join([s.name.removeprefix(f"{PREFIX}_"), *s.labels.values()]): s.value for s in own if "le" not in s.labels}


def pending_transactions(journal: Path, client: ChainClient) -> int | None:
    """How many journalled transactions are not mined; None if the journal cannot be read. Opened to be read only."""
    if not journal.exists():
        return 0
    try:
        with closing(_read_only(journal)) as database:
            entries = sorted(_transactions(database), key=lambda entry: -int(entry["nonce"]))
    except sqlite3.Error:
        return None
    pending = 0
    for entry in entries:
        # Nonces are used in their order: below a mined one all are.
        if any(client.receipt(bytes.fromhex(tx_hash[2:])) is not None for tx_hash in entry["hashes"]):
            break
        pending += 1
    return pending


def journal_sizes(journal: Path) -> dict[str, int] | None:
    """Bytes of a journal's entries by their kinds, of a journal that no agent holds; None if one does."""
    if not journal.exists():
        return {}
    try:
        with closing(_read_only(journal)) as database:
            return dict(sizes_by_kind(dict(database.execute("SELECT key, length(value) FROM record"))))
    except sqlite3.Error:
        return None


def journal_sizes_told(metrics: dict[str, float]) -> dict[str, int] | None:
    """The same by the metrics of the agent that holds it; None where they do not say."""
    return {name.partition("/")[2]: int(size) for name, size in metrics.items() if name.startswith("journal_bytes/")} or None


def let_go_record(journal: Path) -> dict[str, Any] | None:
    """The record that this organisation ceased to keep anything of the journal's study; None where it keeps it. A journal that is held is
    of a study that goes on."""
    if not journal.exists():
        return None
    try:
        with closing(_read_only(journal)) as database:
            row = database.execute("SELECT value FROM record WHERE key = ?", (key_of(LET_GO),)).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else LET_GO.codec.load(bytes(row[0]))


def _read_only(journal: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)


def _transactions(database: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    query = "SELECT value FROM record WHERE (key LIKE 'round/%' OR key LIKE 'study/%') AND length(value) < ?"
    for (value,) in database.execute(query, (MAX_ENTRY_BYTES,)):
        with suppress(ValueError):
            entry = json.loads(bytes(value))
            if isinstance(entry, dict) and {"nonce", "hashes", "raw"} <= entry.keys():
                yield entry
