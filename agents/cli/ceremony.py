"""`defedbio ceremony`: make a threshold key (dealer side) and check one's share of it (holder side)."""

from __future__ import annotations

from typing import Annotated

import typer

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
from agents.config import DEFAULT_IPFS_API
from agents.nodes import ceremony

app = typer.Typer(help="Threshold key ceremonies: deal a key, confirm a share, show an epoch.", no_args_is_help=True)
EpochOption = Annotated[int, typer.Option("--epoch", min=1, help="Key epoch number.")]


@app.command()
def deal(
    holder: Annotated[list[str], typer.Option("--holder", help="Address of a key holder; repeat for each, in order.")],
    threshold: Annotated[int, typer.Option("--threshold", min=2, help="Holders needed to open a sum; more than half of them.")],
    bits: Annotated[int, typer.Option("--bits", min=2048, max=8192, help="Bits of the modulus.")] = 3072,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Dealer side: make the key in this process's memory, seal a share to each holder, propose the epoch on chain.

    A dealer that kept the factors could read every update: run this on a machine that all holders trust, and see docs/threat-model.md.
    """
    connection = Session(home, network, rpc, ipfs, password_file).signer()
    epoch = ceremony.deal(connection, bits, threshold, holder)
    text = (
        f"key epoch {epoch}: {threshold} of {len(holder)}, {bits} bits\nEach holder now runs `defedbio ceremony confirm --epoch {epoch}`."
    )
    emit({"epoch": epoch, "threshold": threshold, "holders": holder, "bits": bits}, json, text)


@app.command()
def confirm(
    epoch: EpochOption,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Holder side: fetch the transcript, check the own share against it, keep it encrypted, confirm on chain (or reject there)."""
    session = Session(home, network, rpc, ipfs, password_file)
    connection = session.signer()
    registry = session.network.contracts.key_registry
    path = session.home.share(session.network.chain_id, registry, epoch)
    ceremony.confirm(connection, epoch, session.transport_private(), path, session.password)
    state = connection.keys.epoch_of(epoch)
    confirmed = len(state.confirmations)
    count = f"{confirmed} of {len(state.holders)} holders have confirmed: {state.status.name.lower()}"
    text = f"share of key epoch {epoch} checked and kept in {path}\n{count}"
    emit({"epoch": epoch, "confirmed": confirmed, "holders": len(state.holders), "status": state.status.name.lower()}, json, text)


@app.command()
def show(
    epoch: EpochOption,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show an epoch and check its public transcript."""
    connection = Session(network_path=network, rpc=rpc, ipfs=ipfs).reader()
    state, transcript = connection.transcript(epoch)
    bits, status = transcript.key.public_key.bits, state.status.name.lower()
    holders = [{"address": h, "confirmed": i in state.confirmations} for i, h in enumerate(state.holders)]
    data = {
        "epoch": epoch,
        "status": status,
        "threshold": state.threshold,
        "bits": bits,
        "holders": holders,
        "transcript_hash": "0x" + state.transcript_hash.hex(),
        "transcript_verified": True,
    }
    lines = [f"key epoch {epoch}: {status}, {state.threshold} of {len(holders)}, {bits} bits, transcript verified"]
    lines += [f"  {holder['address']} {'confirmed' if holder['confirmed'] else 'waiting'}" for holder in holders]
    emit(data, json, "\n".join(lines))
