"""`defedbio explorer`: look at the network in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.cli.common import NETWORK, IpfsOption, NetworkOption, RpcOption, Session, say
from agents.config import DEFAULT_IPFS_API


def explorer(
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; anyone who reaches it can read everything shown.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8420,
    allow_host: Annotated[list[str] | None, typer.Option("--allow-host", help="Another host name under which browsers may ask.")] = None,
) -> None:
    """Serve a read-only web page of members, studies, rounds and blobs, live, from the chain and IPFS. Ctrl-C ends it."""
    from agents.explorer.serve import serve

    connection = Session(network_path=network, rpc=rpc, ipfs=ipfs).reader()
    serve(connection, host, port, ["127.0.0.1", "localhost", "[::1]", host, *(allow_host or [])], lambda url: say(f"explorer at {url}"))
