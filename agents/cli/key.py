"""`defedbio key`: this organisation's shares of threshold keys, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from defedbio.cli.ceremony import EpochOption
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

if TYPE_CHECKING:
    from defedbio.client.keys import Ending

app = typer.Typer(help="This organisation's shares of threshold keys: list them, destroy one.", no_args_is_help=True)


@app.command("list")
def list_(home: HomeOption = HOME, network: NetworkOption = NETWORK, rpc: RpcOption = "", json: JsonOption = False) -> None:
    """Show each key epoch in which this organisation has a seat, whether its share is here, and how many shares are left."""
    shares = connect(home, network, rpc).key.list()
    table = Table("epoch", "status", "own share", "left", "open a sum")
    for share in shares:
        own = "retired" if share.retired else "here" if share.here else "not here"
        table.add_row(str(share.epoch), share.status, own, f"{share.left} of {share.holders}", str(share.threshold))
    emit([share.as_dict() for share in shares], json, table if shares else "this organisation is a holder of no key")


@app.command()
def destroy(
    epoch: EpochOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without being asked; what it means is printed all the same.")] = False,
    even_if_needed: Annotated[
        bool, typer.Option("--even-if-needed", help="Also while a study needs the share, or another key the transport key.")
    ] = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Erase the own share of a key for ever and record that on the chain. Shows first what it means, and asks.

    Once fewer shares than the threshold are left, nobody can open anything of this key, wherever copies of ciphertexts are. Backups that
    hold the share have to go, too: docs/erasure.md.
    """

    def confirm(ending: Ending) -> bool:
        if not json:
            say(*_meaning(ending))
        return yes or typer.confirm("Erase this share? It never comes back.", err=json)

    done = connect(home, network, rpc, ipfs, password_file).key.destroy(epoch, confirm=confirm, even_if_needed=even_if_needed)
    if not done.done:
        raise typer.Exit(1)
    emit(done.as_dict(), json, f"the share of key epoch {epoch} is erased, and recorded as that; shares that are left: {done.left}")


def _meaning(ending: Ending) -> list[str]:
    share = ending.share
    after = "nobody can open anything of it any more" if ending.opens_nothing_after else f"any {share.threshold} of them open a sum"
    lines = [
        f"key epoch {share.epoch}, {share.threshold} of {share.holders}: the share here is erased",
        "  if a dealer sealed it to the transport key that is here, that is erased and replaced as well",
        f"  shares that are left afterwards: {ending.left}; {after}",
        *(f"  NEEDED BY study {need.study}: {need.why}" for need in ending.needs),
        *(f"  NEEDED ELSEWHERE? {why}" for why in ending.elsewhere),
        "  backups of this home that hold the share have to be destroyed as well; what a disk keeps of an erased file cannot be seen",
    ]
    return lines
