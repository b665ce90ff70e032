"""`defedbio explorer`: look at the network in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from defedbio.cli.common import NETWORK, IpfsOption, NetworkOption, RpcOption, connect, say
from defedbio.config import DEFAULT_IPFS_API


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
    client = connect(network=network, rpc=rpc, ipfs=ipfs)
    client.explorer.serve_until_signal(lambda url: say(f"explorer at {url}"), host=host, port=port, allow_host=allow_host or ())
