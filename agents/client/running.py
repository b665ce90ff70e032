"""The organisation's agent in this process."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from defedbio.client.session import Session
from defedbio.nodes.options import RunOptions
from defedbio.nodes.service import NodeService
from defedbio.protocol.journal import Journal
from defedbio.protocol.reading import Reader
from defedbio.report import Reporter, Sink


def run(session: Session, study: int, data: Path | None, options: RunOptions, on_record: Sink, stop: threading.Event) -> bool:
    """See Client.run."""
    from defedbio.learning.local import use_threads

    # A session of its own: its records are the node's.
    with closing(replace(session)) as own, closing(session.impatient_store()) as peers:

        def connect(journal: Journal, report: Reporter) -> Reader:
            own.reporter = report
            return own.signer(journal)

        service = NodeService(session.home, session.network, session.own_address(), study, connect, peers, on_record, options)
        own.given_password = session.password  # so that it is not asked for again
        use_threads(options.threads)
        return service.run(data, session.password, stop)
