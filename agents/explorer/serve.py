"""Runs the explorer's application until it is told to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from agents.errors import InvalidInput
from agents.explorer.server import Explorer
from agents.nodes.connection import Connection

GRACE_SECONDS = 2


def serve(connection: Connection, host: str, port: int, hosts: list[str], ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `ready` gets the address once connections are accepted.

    Raises:
        InvalidInput: if the address cannot be listened on.
    """
    listener = _listener(host, port)
    shown = f"[{host}]" if ":" in host else host
    explorer = Explorer(connection)
    settings = uvicorn.Config(
        explorer.app(hosts), log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS, server_header=False
    )
    ready(f"http://{shown}:{listener.getsockname()[1]}/")
    uvicorn.Server(settings).run(sockets=[listener])


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
