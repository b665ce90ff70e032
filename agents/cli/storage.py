"""`defedbio storage`: what the organisation keeps of a study, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from defedbio.cli.common import (
    HOME,
    NETWORK,
    HomeOption,
    IpfsOption,
    JsonOption,
    NetworkOption,
    RpcOption,
    amount,
    connect,
    emit,
    say,
)
from defedbio.config import DEFAULT_IPFS_API
from defedbio.text import moment

if TYPE_CHECKING:
    from defedbio.client.storage import Strays

app = typer.Typer(help="What the organisation keeps of a study, and for how long.", no_args_is_help=True)
StudyOption = Annotated[int, typer.Option("--study", min=1, help="Study number on the chain.")]


@app.command()
def show(
    study: StudyOption,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show what is kept in the journal and on IPFS, by kind, and until when."""
    found = connect(home, network, rpc, ipfs).storage.show(study)
    lines = ["journal", *(f"  {kind:<18}{amount(size):>10}" for kind, size in sorted((found.journal or {}).items()))]
    if found.journal is None:
        lines.append("  held by the running agent: see its metrics")
    lines += ["pinned of finalised rounds"]
    lines += [f"  {kind:<18}{amount(of.bytes):>10} at most, {of.blobs} blobs" for kind, of in sorted(found.pinned.items())]
    if found.let_go:
        lines.append("let go: the retention is over, and this node keeps nothing of the study on IPFS")
    elif found.retained_until is not None:
        lines.append(f"kept until {_day(found.retained_until)}: the study ended, {found.end}")
    else:
        lines.append(f"kept while the study runs and for {found.retention_days} days after its end")
    if found.rests_until is not None and not found.let_go:
        lines.append(f"kept until {_day(found.rests_until)} if no round of it begins or ends")
    if found.strays:
        lines.append(f"{found.strays} blobs are pinned beside, which no study here keeps: see `defedbio storage strays`")
    emit(found.as_dict(), json, lines)


@app.command()
def clean(
    study: StudyOption,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Do now what the study's agent does by itself: pin finalised rounds whole, forget ended ones, let go of all once retention is over."""
    cleaned = connect(home, network, rpc, ipfs).storage.clean(study)
    text = f"{cleaned.done} things were due and are done" if cleaned.done else "nothing was due"
    emit(cleaned.as_dict(), json, f"{text}; what is not pinned was deleted from the own IPFS node")


@app.command("strays")
def strays_(
    unpin: Annotated[bool, typer.Option("--unpin", help="Unpin and delete them, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without being asked; what it means is printed all the same.")] = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show what is pinned on the own IPFS node and no study of this home keeps, as after a restore; with --unpin, delete it.

    What other homes or other software keep on the same IPFS node is among it: docs/storage.md.
    """

    def confirm(found: Strays) -> bool:
        if not json:
            say(*_meaning(found))
        return yes or typer.confirm("Is all of it nobody else's, and may be deleted?", err=json)

    found = connect(home, network, rpc, ipfs).storage.strays(unpin=unpin, confirm=confirm)
    if unpin and found.cids and not found.done:
        raise typer.Exit(1)
    emit(found.as_dict(), json, f"{len(found.cids)} blobs are unpinned and deleted" if found.done else _meaning(found))


def _meaning(found: Strays) -> list[str]:
    lines = [*found.cids, f"{len(found.cids)} blobs are pinned here that no study of this home keeps"]
    if found.untold:
        lines.append(f"  or that one of these may keep, of which nobody knows: {', '.join(found.untold)}; see `defedbio storage clean`")
    if found.enrolled:
        which = ", ".join(map(str, found.enrolled))
        lines.append(f"  what studies {which} keep is among them: this organisation is enrolled in these, and has no folder of them here")
    return lines


def _day(seconds: int) -> str:
    return f"{moment(seconds):%Y-%m-%d %H:%M:%S UTC}"
