"""The read-only web page of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from defedbio.client.session import Session
from defedbio.explorer import serve

LOOPBACK, PORT = "127.0.0.1", 8420


class Explorer:
    def __init__(self, session: Session) -> None:
        self._session = session

    def serve(self, *, host: str = LOOPBACK, port: int = PORT, allow_host: Sequence[str] = ()) -> AbstractContextManager[str]:
        """Serve inside a `with` statement, which gets the page's address.

        Args:
            host: address to listen on; anyone who reaches it can read everything shown.
            port: 0 takes a free one.
            allow_host: other host names under which browsers may ask.

        Raises:
            InvalidInput: if the address cannot be listened on. Unreachable: without a chain.
        """
        return serve.serving(self._session.reader(), host, port, _hosts(host, allow_host))

    def serve_until_signal(
        self, on_ready: Callable[[str], None], *, host: str = LOOPBACK, port: int = PORT, allow_host: Sequence[str] = ()
    ) -> None:
        """The same until SIGINT or SIGTERM; for the main thread of a process that does nothing else."""
        serve.serve(self._session.reader(), host, port, _hosts(host, allow_host), on_ready)


def _hosts(host: str, others: Sequence[str]) -> list[str]:
    return ["127.0.0.1", "localhost", "[::1]", host, *others]
