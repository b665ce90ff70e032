"""`defedbio register`: publish this organisation's profile on the chain (R1)."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.chain.values import Profile
from agents.cli.common import (
    HOME,
    NETWORK,
    HomeOption,
    IpfsOption,
    JsonOption,
    NetworkOption,
    PasswordFileOption,
    RpcOption,
    Session,
    emit,
)
from agents.config import DEFAULT_IPFS_API, read_json
from agents.crypto.merkle import keccak256


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
    session = Session(home, network, rpc, ipfs, password_file)
    public = bytes.fromhex(read_json(session.home.transport, "transport key", "run `defedbio account new` first")["public"])
    address = multiaddr or next(iter(session.store.identity().multiaddrs), "")
    profile = Profile(name, metadata, public, address)
    connection = session.signer()
    head = connection.client.head().number
    fingerprint = keccak256(f"{name}|{metadata}|{public.hex()}|{address}|{head}".encode()).hex()
    receipt = connection.registry.register(f"register/{fingerprint}", profile)
    member = connection.registry.is_member(connection.client.address)
    state = "a member" if member else "a candidate: members admit it with `brownie run admit`"
    data = {
        "address": connection.client.address,
        "multiaddr": address,
        "member": member,
        "gas": receipt.gas_used,
        "tx": "0x" + receipt.tx_hash.hex(),
    }
    emit(data, json, f"{name} is registered as {connection.client.address}, {state}\nIPFS {address or '(none)'}\ngas {receipt.gas_used}")
