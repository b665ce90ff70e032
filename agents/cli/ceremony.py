"""`defedbio ceremony`: make a threshold key (dealer side) and check one's share of it (holder side)."""

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

app = typer.Typer(help="Threshold key ceremonies: deal a key, confirm a share, show an epoch.", no_args_is_help=True)
EpochOption = Annotated[int, typer.Option("--epoch", min=1, help="Key epoch number.")]


@app.command()
def deal(
    holder: Annotated[list[str], typer.Option("--holder", help="Address of a key holder; repeat for each, in order.")],
    threshold: Annotated[int, typer.Option("--threshold", min=2, help="Holders needed to open a sum; more than half of them.")],
    bits: Annotated[int, typer.Option("--bits", min=2048, max=7680, help="Bits of the modulus.")] = 3072,
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
    dealt = connect(home, network, rpc, ipfs, password_file).ceremony.deal(holder, threshold, bits)
    text = (
        f"key epoch {dealt.epoch}: {threshold} of {len(holder)}, {bits} bits",
        f"Each holder now runs `defedbio ceremony confirm --epoch {dealt.epoch}`.",
    )
    emit(dealt.as_dict(), json, text)


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
    ceremony = connect(home, network, rpc, ipfs, password_file).ceremony
    done = ceremony.confirm(epoch)
    text = (
        f"share of key epoch {epoch} checked and kept in {ceremony.share_file(epoch)}",
        f"{done.confirmed} of {done.holders} holders have confirmed: {done.status}",
    )
    emit(done.as_dict(), json, text)


@app.command()
def show(
    epoch: EpochOption,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show an epoch and check its public transcript."""
    shown = connect(network=network, rpc=rpc, ipfs=ipfs).ceremony.show(epoch)
    lines = [f"key epoch {epoch}: {shown.status}, {shown.threshold} of {len(shown.holders)}, {shown.bits} bits, transcript verified"]
    lines += [f"  {h.address} {'retired' if h.retired else 'confirmed' if h.confirmed else 'waiting'}" for h in shown.holders]
    if shown.left < len(shown.holders):
        lines.append(f"{shown.left} shares are left of the {shown.threshold} that open a sum")
    emit(shown.as_dict(), json, lines)
