"""`defedbio ceremony`: make a threshold key, as a dealer or together without one, and check one's share of it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

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
    say,
)
from defedbio.config import DEFAULT_IPFS_API
from defedbio.text import printable

if TYPE_CHECKING:
    from defedbio.client.ceremonies import CeremonyTerms, Progress


class Kind(StrEnum):
    distributed = "distributed"
    dealer = "dealer"


app = typer.Typer(help="Threshold key ceremonies: make a key together or deal one, confirm a share, show an epoch.", no_args_is_help=True)
CeremonyOption = Annotated[int, typer.Option("--ceremony", min=1, help="Ceremony number.")]
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
    emit(dealt.as_dict(), json, _dealt(dealt.epoch, threshold, len(holder), bits))


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
        lines.append(f"shares that are left: {shown.left}, of the {shown.threshold} that open a sum")
    emit(shown.as_dict(), json, lines)


@app.command()
def propose(
    holders: Annotated[str, typer.Option("--holders", help="Addresses of the key holders in their order, separated by commas.")],
    threshold: Annotated[int, typer.Option("--threshold", min=2, help="Holders needed to open a sum; more than half of them.")],
    kind: Annotated[
        Kind, typer.Option("--kind", help="distributed: the holders make the key together; dealer: this machine makes it.")
    ] = Kind.distributed,
    bits: Annotated[int, typer.Option("--bits", min=2048, max=7680, help="Bits of the modulus; distributed: 2048 or 3072.")] = 3072,
    step_seconds: Annotated[int, typer.Option("--step-seconds", min=60, help="Seconds that a step of a distributed ceremony has.")] = 3600,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Begin a key: announce a ceremony without a dealer, in which nobody ever has the whole key, or deal one.

    Of a distributed key the first --threshold of the holders do the work.
    """
    named = [holder.strip() for holder in holders.split(",")]
    begun = connect(home, network, rpc, ipfs, password_file).ceremony.propose(named, threshold, kind.value, bits, step_seconds).as_dict()
    if kind is Kind.dealer:
        text = _dealt(begun["epoch"], threshold, len(named), bits)
    else:
        text = (
            f"ceremony {begun['ceremony']}: {threshold} of {len(named)}, {bits} bits, {step_seconds} s a step",
            f"Each holder now runs `defedbio ceremony take-part --ceremony {begun['ceremony']}`, within {step_seconds} s.",
        )
    emit(begun, json, text)


@app.command("take-part")
def take_part(
    ceremony: CeremonyOption,
    yes: Annotated[bool, typer.Option("--yes", help="Accept without being asked; what one consents to is printed all the same.")] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads for the cryptography.")] = 1,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key together with the other holders, and keep this organisation's share. Runs until the ceremony has ended.

    Asked once whether to take part. A process that was killed goes on where it was when it is started again.
    """

    def confirm(terms: CeremonyTerms) -> bool:
        if not json:
            say(*str(terms).splitlines())
        elif not yes:
            print(printable(str(terms), keep="\n"), file=sys.stderr)
        return yes or typer.confirm("Take part?", err=json)

    def tell(progress: Progress, step: str) -> None:
        print(printable(f"{step}: {_told(progress)}"), file=sys.stderr)

    client = connect(home, network, rpc, ipfs, password_file)
    ended = client.ceremony.take_part(ceremony, confirm=confirm, on_progress=tell, threads=threads)
    if ended is None:
        raise typer.Exit(1)
    lines = [f"ceremony {ceremony} {ended.status}"]
    if ended.status == "succeeded":
        lines = [f"key epoch {ended.epoch} is active; the share is in {client.ceremony.share_file(ended.epoch)}"]
    elif ended.reason:
        lines.append(f"{', '.join(ended.at_fault) or 'nobody is named'}: {ended.reason}")
    emit(ended.as_dict(), json, lines)
    if ended.status != "succeeded":
        raise typer.Exit(4)


@app.command()
def progress(
    ceremony: CeremonyOption,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show how far a ceremony without a dealer is, whom it waits for, and how long it takes still."""
    shown = connect(network=network, rpc=rpc, ipfs=ipfs).ceremony.progress(ceremony)
    lines = [f"ceremony {ceremony}: {shown.threshold} of {len(shown.holders)}, {shown.bits} bits", _told(shown)]
    lines += [f"  {holder} complained: {reason}" for holder, reason in shown.complaints]
    emit(shown.as_dict(), json, lines)


def _dealt(epoch: int, threshold: int, holders: int, bits: int) -> tuple[str, str]:
    return (
        f"key epoch {epoch}: {threshold} of {holders}, {bits} bits",
        f"Each holder now runs `defedbio ceremony confirm --epoch {epoch}`.",
    )


def _told(progress: Progress) -> str:
    """One line."""
    if progress.status == "succeeded":
        return f"succeeded: key epoch {progress.epoch} is active"
    until = f"{datetime.fromtimestamp(progress.deadline, UTC):%Y-%m-%d %H:%M} UTC"
    what = f"step {progress.step}"
    if progress.status == "failed":
        what = "failed, seeds"
    elif progress.epoch:
        what = f"confirmations of key epoch {progress.epoch}"
    left = "" if progress.seconds_left is None else f"; at least {progress.seconds_left / 60:.1f} minutes from when the step began"
    waits = f", waits until {until} for {', '.join(progress.waited_for)}" if progress.waited_for else ""
    return f"{what}{waits}{left}"
