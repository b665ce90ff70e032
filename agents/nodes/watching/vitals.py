"""What no round asks about and an operator wants to know: the account's gas money, the own IPFS node's peers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from defedbio.chain.client import ChainClient
from defedbio.errors import Unreachable
from defedbio.report import Reporter
from defedbio.threads import kept_up

SECONDS = 15.0


class HasPeers(Protocol):
    def peers(self) -> list[str]: ...


@contextmanager
def watched(report: Reporter, client: ChainClient, store: HasPeers, seconds: float = SECONDS) -> Iterator[None]:
    """Look every `seconds`, in a thread of its own: an endpoint that hangs delays no round. Nothing that fails here stops the node."""
    stop = threading.Event()
    thread = kept_up(partial(_look_again_and_again, report, client, store, seconds, stop), "vitals", stop)
    try:
        yield
    finally:
        stop.set()
        thread.join(1.0)


def _look_again_and_again(report: Reporter, client: ChainClient, store: HasPeers, seconds: float, stop: threading.Event) -> None:
    while True:
        look(report, client, store)
        if stop.wait(seconds):
            return


def look(report: Reporter, client: ChainClient, store: HasPeers) -> None:
    """Report once. An IPFS node that does not answer has no peers; an unknown balance is left as it was."""
    try:
        report.state(ipfs_up=True, peers=len(store.peers()))
    except Unreachable:
        report.state(ipfs_up=False, peers=0)
    with suppress(Unreachable):
        report.state(balance=client.balance())
