"""What an organisation keeps of a study, and how it lets go what is due, while no agent of the study runs here."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from defedbio.config import JOURNAL, Home
from defedbio.nodes.participation import housekeeper
from defedbio.nodes.pins import ClaimingStore, claims_of
from defedbio.nodes.watching.probes import Findings, journal_sizes, journal_sizes_told, let_go_record, read_metrics
from defedbio.nodes.watching.running import running_agent
from defedbio.protocol import retention
from defedbio.protocol.effects.keeping import Housekeeping, tidy
from defedbio.protocol.evidence import round_blobs
from defedbio.protocol.memory import open_journal
from defedbio.protocol.reading import Reader
from defedbio.protocol.view import StudyView

MOST_CHORES = 100_000


@dataclass(frozen=True)
class Stored:
    """What the journal holds, in bytes by kind (None where a running agent does not say), and what finalised rounds keep pinned, as
    (blobs, bytes at most) by kind. `end` is how the study ended, in words, empty while it goes on, and `retained_until` until when it is
    kept then, in unix seconds; `rests_until` is that of one that goes on, if no round of it begins. With `let_go` nothing is kept."""

    study: int
    journal: dict[str, int] | None
    blobs: dict[str, tuple[int, int]]
    retention_days: int
    end: str
    retained_until: int | None
    rests_until: int | None
    let_go: bool


def stored(connection: Reader, home: Home, study: int) -> Stored:
    """What the catalogue says of this study now.

    Raises:
        NotFound: for an unknown study. Unreachable: when chain or IPFS do not answer.
    """
    network = connection.client.network
    folder = home.study(network.chain_id, network.contracts["RoundManager"], study)
    frame, life = connection.frame(study), connection.lifetime(study)
    gone = _let_go(folder / JOURNAL, life.view)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for round_ in () if gone else life.view.finalised:
        for kind, _, most in {(blob.kind, blob.cid, blob.most) for blob in round_blobs(frame, round_) if blob.kept}:
            counts[kind] += 1
            sizes[kind] += most
    agent, metrics = running_agent(folder), dict[str, float]()
    if agent is not None and agent.metrics:
        metrics = Findings().attempt("metrics", lambda: read_metrics(agent.metrics)) or {}
    rests = life.end is not None and life.end.rests and not life.ended
    return Stored(
        study,
        journal_sizes(folder / JOURNAL) if agent is None else journal_sizes_told(metrics),
        {kind: (counts[kind], sizes[kind]) for kind in counts},
        life.days,
        life.end.why if life.end is not None and life.ended else "",
        life.kept_until if life.ended else None,
        life.kept_until if rests else None,
        gone,
    )


def clean(connection: Reader, home: Home, study: int, address: str) -> int:
    """Keep, forget and let go all that is due, and have the own IPFS node delete what is not pinned; gives how many things were due.

    Raises:
        InvalidInput: while an agent of the study runs here. NotFound: for an unknown study. Unreachable: when chain or IPFS do not answer.
    """
    network, client = connection.client.network, connection.client
    folder = home.study(network.chain_id, network.contracts["RoundManager"], study)
    view, chores = connection.study_view(study), 0
    if folder.exists() and not _let_go(folder / JOURNAL, view):
        frame = connection.frame(study)
        view, claims = replace(view, max_voids=frame.spec.max_voids), claims_of(home, folder)
        keeping = replace(connection, store=ClaimingStore(connection.store, claims))
        head = client.block(max(client.head().number - frame.confirmations, 0)) or client.head()
        with closing(open_journal(folder / JOURNAL)) as journal:
            tools, done = housekeeper(keeping, frame, address, journal, claims), Housekeeping(collected_at=time.monotonic())
            while chores < MOST_CHORES and tidy(tools, view, head, done):
                chores += 1
    connection.store.collect_garbage()
    return chores


def _let_go(journal: Path, view: StudyView) -> bool:
    """Whether nothing is kept of the study any more: one that goes on after that is kept again."""
    record = let_go_record(journal)
    return record is not None and not retention.goes_on(view, record)
