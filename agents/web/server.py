"""Serves a web application on an address of this machine until it is told to stop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from defedbio.errors import InternalFault, InvalidInput
from defedbio.threads import kept_up
from defedbio.web.hardening import unspecified

GRACE_SECONDS = 2
MOST_CONNECTIONS = 500
PORT_HINT = "pass another --port, or stop what is there"


def serve(app: ASGIApp, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `ready` gets the address once connections are accepted.

    Raises:
        InvalidInput: if the address cannot be listened on.
    """
    settings, listener, url = _prepared(app, host, port)
    ready(url)
    uvicorn.Server(settings).run(sockets=[listener])


@contextmanager
def serving(app: ASGIApp, host: str, port: int, hint: str = PORT_HINT) -> Iterator[str]:
    """Serve in a thread meanwhile; gives the address. `hint` says what to do where it cannot be listened on.

    Raises:
        InvalidInput: if the address cannot be listened on.
    """
    settings, listener, url = _prepared(app, host, port, hint)
    server, stopped = uvicorn.Server(settings), threading.Event()

    def work() -> None:
        nonlocal server
        server = uvicorn.Server(settings)
        server.should_exit = stopped.is_set()
        try:
            server.run(sockets=[listener])
        except SystemExit:  # which a thread would take for its end
            raise InternalFault("the web server did not start") from None

    thread = kept_up(work, "web", stopped)
    try:
        yield url
    finally:
        stopped.set()
        server.should_exit = True
        thread.join()
        listener.close()


def _prepared(app: ASGIApp, host: str, port: int, hint: str = PORT_HINT) -> tuple[uvicorn.Config, socket.socket, str]:
    """How to serve, the socket on which connections are accepted already, and the address at which this machine reaches it."""
    listener = _listener(host, port, hint)
    reached = host if not unspecified(host) else "::1" if ":" in host else "127.0.0.1"
    shown = f"[{reached}]" if ":" in reached else reached
    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
    )
    return settings, listener, f"http://{shown}:{listener.getsockname()[1]}/"


def _listener(host: str, port: int, hint: str) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        raise InvalidInput(f"cannot listen on {host} port {port}: {error.strerror or error}", hint) from None
    return listener
