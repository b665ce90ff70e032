"""The organisation's agent in this process."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from defedbio.client.session import Session
from defedbio.compute.executor import THREADS, Place
from defedbio.errors import InvalidInput
from defedbio.nodes.organisation import LoopOptions
from defedbio.nodes.service import LOOPBACK, NodeService, Operations
from defedbio.protocol.journal import Journal
from defedbio.protocol.reading import Reader
from defedbio.report import Reporter, Sink

__all__ = ["LOOPBACK", "THREADS", "Sink", "run", "secret_of"]


def run(
    session: Session,
    study: int,
    data: Path | None,
    threads: int,
    place: Place,
    loop: LoopOptions,
    operations: Operations,
    on_record: Sink,
    stop: threading.Event,
) -> bool:
    """See Client.run."""
    from defedbio.learning.local import use_threads

    use_threads(threads)
    address = session.own_address()
    # One that is its own: its records are the node's, and the password is not asked for again.
    with closing(replace(session, given_password=session.password)) as own, closing(session.impatient_store()) as peers:

        def connect(journal: Journal, report: Reporter) -> Reader:
            own.reporter = report
            return own.signer(journal)

        service = NodeService(session.home, session.network, address, study, connect, peers, on_record, operations, place, threads)
        return service.run(data, session.password, loop, stop)


def secret_of(path: Path | None) -> bytes:
    """The secret that web hooks are signed with.

    Raises:
        InvalidInput: without a file, or one that cannot be read.
    """
    if path is None:
        raise InvalidInput("--hook-url needs --hook-secret-file", "requests are signed, so that a receiver knows whose they are")
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise InvalidInput(f"the hook secret {path} cannot be read: {type(error).__name__}") from None
