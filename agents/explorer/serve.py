"""Runs the explorer's application until it is told to stop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from defedbio.chain.feed import EventFeed
from defedbio.errors import InvalidInput
from defedbio.explorer.index import Index
from defedbio.explorer.server import Explorer
from defedbio.nodes.connection import Connection

GRACE_SECONDS = 2
MOST_CONNECTIONS = 500


def serve(connection: Connection, host: str, port: int, hosts: list[str], ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `ready` gets the address once connections are accepted.

    Raises:
        InvalidInput: if the address cannot be listened on, or a host name is empty or a pattern.
    """
    server, listener, url = _server(connection, host, port, hosts)
    ready(url)
    server.run(sockets=[listener])


@contextmanager
def serving(connection: Connection, host: str, port: int, hosts: list[str]) -> Iterator[str]:
    """Serve in a thread meanwhile; gives the address.

    Raises:
        InvalidInput: if the address cannot be listened on.
    """
    server, listener, url = _server(connection, host, port, hosts)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="explorer", daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()


def _server(connection: Connection, host: str, port: int, hosts: list[str]) -> tuple[uvicorn.Server, socket.socket, str]:
    """The server, the socket on which connections are accepted already, and the address."""
    if any(not name or "*" in name for name in hosts):
        raise InvalidInput("host names must be named one by one", "pass --host with an address, and --allow-host once for each name")
    listener = _listener(host, port)
    shown = f"[{host}]" if ":" in host else host
    explorer = Explorer(connection, Index(EventFeed(connection.client)))
    settings = uvicorn.Config(
        explorer.app(hosts),
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
