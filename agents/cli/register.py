"""`defedbio register`: publish this organisation's profile on the chain (R1)."""

from __future__ import annotations

from typing import Annotated

import typer

from defedbio.cli.common import (
    HOME,
    NETWORK,
    HomeOption,
    IpfsOption,
    JsonOption,
    NetworkOption,
    PasswordFileOption,
    RpcOption,
    connect,
    emit,
)
from defedbio.config import DEFAULT_IPFS_API


def register(
    name: Annotated[str, typer.Option("--name", help="The organisation's name, at most 64 bytes. Public.")],
    multiaddr: Annotated[
        str, typer.Option("--multiaddr", help="Multiaddress of the own IPFS node that others can dial; the node's own first when absent.")
    ] = "",
    metadata: Annotated[str, typer.Option("--metadata", help="CID of public metadata, if any.")] = "",
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Publish or replace the own profile: name, transport key and IPFS multiaddress. Members then vote to admit a newcomer."""
    done = connect(home, network, rpc, ipfs, password_file).register(name, multiaddr=multiaddr, metadata=metadata)
    state = "a member" if done.member else f"a candidate: members vote with `defedbio member admit {done.address}`"
    lines = (f"{name} is registered as {done.address}, {state}", f"IPFS {done.multiaddr or '(none)'}", f"gas {done.gas}")
    emit(done.as_dict(), json, lines)
