"""Serves a web application on an address of this machine until it is told to stop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from defedbio.errors import InvalidInput

GRACE_SECONDS = 2
MOST_CONNECTIONS = 500


def serve(app: ASGIApp, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `ready` gets the address once connections are accepted.

    Raises:
        InvalidInput: if the address cannot be listened on.
    """
    server, listener, url = _server(app, host, port)
    ready(url)
    server.run(sockets=[listener])


@contextmanager
def serving(app: ASGIApp, host: str, port: int) -> Iterator[str]:
    """Serve in a thread meanwhile; gives the address.

    Raises:
        InvalidInput: if the address cannot be listened on.
    """
    server, listener, url = _server(app, host, port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="web", daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()


def _server(app: ASGIApp, host: str, port: int) -> tuple[uvicorn.Server, socket.socket, str]:
    """The server, the socket on which connections are accepted already, and the address."""
    listener = _listener(host, port)
    shown = f"[{host}]" if ":" in host else host
    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
    )
    return uvicorn.Server(settings), listener, f"http://{shown}:{listener.getsockname()[1]}/"


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {host} port {port}: {error.strerror or error}", "pass another --port, or stop what is there"
        ) from None
    return listener
