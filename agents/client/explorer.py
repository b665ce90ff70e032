"""The read-only web page of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from starlette.applications import Starlette

from defedbio.client.session import Session
from defedbio.explorer.application import application
from defedbio.web.hardening import names
from defedbio.web.server import serve, serving

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

        Example:
            with client.explorer.serve(port=0) as address:
                webbrowser.open(address)
        """
        return serving(self._application(host, allow_host), host, port)

    def serve_until_signal(
        self, on_ready: Callable[[str], None], *, host: str = LOOPBACK, port: int = PORT, allow_host: Sequence[str] = ()
    ) -> None:
        """The same until SIGINT or SIGTERM; for the main thread of a process that does nothing else.

        Example:
            client.explorer.serve_until_signal(print, port=8420)
        """
        serve(self._application(host, allow_host), host, port, on_ready)

    def _application(self, host: str, others: Sequence[str]) -> Starlette:
        return application(self._session.reader(), names(host, others))
