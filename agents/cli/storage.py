"""`defedbio storage`: what the organisation keeps of a study, and for how long."""

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
    RpcOption,
    amount,
    connect,
    emit,
)
from defedbio.config import DEFAULT_IPFS_API
from defedbio.text import moment

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
    elif found.retained_until is None:
        lines.append(f"kept while the study runs and for {found.retention_days} days after its end")
    else:
        lines.append(f"kept until {moment(found.retained_until):%Y-%m-%d %H:%M:%S UTC}")
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
