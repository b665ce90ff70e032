"""What an organisation keeps of a study, and how it lets go what is due, while no agent of the study runs here."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass

from defedbio.config import JOURNAL, Home
from defedbio.nodes.participation import housekeeper
from defedbio.nodes.watching.probes import Findings, has_let_go, journal_sizes, journal_sizes_told, read_metrics
from defedbio.nodes.watching.running import running_agent
from defedbio.protocol import retention
from defedbio.protocol.effects.keeping import Housekeeping, tidy
from defedbio.protocol.evidence import round_blobs
from defedbio.protocol.memory import open_journal
from defedbio.protocol.reading import Reader

MOST_CHORES = 100_000


@dataclass(frozen=True)
class Stored:
    """What the journal holds, in bytes by kind (None where a running agent does not say), and what finalised rounds keep pinned, as
    (blobs, bytes at most) by kind. `retained_until` in unix seconds; None while the study goes on. With `let_go` nothing is kept."""

    study: int
    journal: dict[str, int] | None
    blobs: dict[str, tuple[int, int]]
    retention_days: int
    retained_until: int | None
    let_go: bool


def stored(connection: Reader, home: Home, study: int) -> Stored:
    """What the catalogue says of this study now.

    Raises:
        NotFound: for an unknown study. Unreachable: when chain or IPFS do not answer.
    """
    network = connection.client.network
    folder = home.study(network.chain_id, network.contracts["RoundManager"], study)
    frame, view, let_go = connection.frame(study), connection.study_view(study), has_let_go(folder / JOURNAL)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for round_ in () if let_go else view.finalised:
        for kind, _, most in {(blob.kind, blob.cid, blob.most) for blob in round_blobs(frame, round_) if blob.kept}:
            counts[kind] += 1
            sizes[kind] += most
    ended = None
    # Whether it stopped early, its newest model says, which is not asked for here: such a study shows no end until it is cleaned.
    if view.latest is not None and retention.over(view, frame.key.threshold, False):
        block = connection.client.block(view.latest.ended_in)
        ended = block.timestamp if block is not None else None
    agent, metrics = running_agent(folder), dict[str, float]()
    if agent is not None and agent.metrics:
        metrics = Findings().attempt("metrics", lambda: read_metrics(agent.metrics)) or {}
    days = frame.spec.retention_days
    return Stored(
        study,
        journal_sizes(folder / JOURNAL) if agent is None else journal_sizes_told(metrics),
        {kind: (counts[kind], sizes[kind]) for kind in counts},
        days,
        None if ended is None else retention.retained_until(ended, days),
        let_go,
    )


def clean(connection: Reader, home: Home, study: int, address: str) -> int:
    """Keep, forget and let go all that is due, and have the own IPFS node delete what is not pinned; gives how many things were due.

    Raises:
        InvalidInput: while an agent of the study runs here. NotFound: for an unknown study. Unreachable: when chain or IPFS do not answer.
    """
    network, client = connection.client.network, connection.client
    path = home.study(network.chain_id, network.contracts["RoundManager"], study) / JOURNAL
    view, chores = connection.study_view(study), 0
    if path.exists() and not has_let_go(path):
        frame = connection.frame(study)
        head = client.block(max(client.head().number - frame.confirmations, 0)) or client.head()
        with closing(open_journal(path)) as journal:
            tools, done = housekeeper(connection, home, frame, address, journal), Housekeeping(collected_at=time.monotonic())
            while chores < MOST_CHORES and tidy(tools, view, head, done):
                chores += 1
    connection.store.collect_garbage()
    return chores
