"""`defedbio ipfs`: the embedded IPFS node."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defedbio.cli.common import HOME, HomeOption, JsonOption, connect

if TYPE_CHECKING:
    from defedbio.client.ipfs import NodeReady

app = typer.Typer(help="The embedded IPFS node. Kubo serves as well: pass --ipfs to the other commands.", no_args_is_help=True)


@app.command()
def serve(
    rpc_port: Annotated[int, typer.Option("--rpc-port", min=0, max=65535, help="Loopback port of the RPC; 0 picks a free one.")] = 5001,
    listen: Annotated[list[str] | None, typer.Option("--listen", help="Multiaddress to accept peers on; repeatable.")] = None,
    announce: Annotated[list[str] | None, typer.Option("--announce", help="Public multiaddress to tell others; repeatable.")] = None,
    swarm_key: Annotated[Path | None, typer.Option("--swarm-key", help="Key file of a private swarm: only its nodes connect.")] = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Run the node until stopped. Its RPC listens on loopback only; peers are accepted on loopback unless --listen says otherwise."""

    def on_ready(ready: NodeReady) -> None:
        if json:
            print(jsonlib.dumps({"rpc": ready.rpc, "peer_id": ready.peer_id, "multiaddrs": list(ready.multiaddrs)}), flush=True)
        else:
            print(
                f"IPFS node {ready.peer_id}\nRPC {ready.rpc} (pass it as --ipfs)",
                *(f"listens on {a}" for a in ready.multiaddrs),
                sep="\n",
                flush=True,
            )

    connect(home).ipfs.serve_until_signal(
        on_ready, rpc_port=rpc_port, listen=listen or ["/ip4/127.0.0.1/tcp/0"], announce=announce or [], swarm_key=swarm_key
    )
