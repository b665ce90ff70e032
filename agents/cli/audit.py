"""`defedbio audit`: make a bundle of evidence of a study, and check one with no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from defedbio.cli.common import NETWORK, IpfsOption, JsonOption, NetworkOption, RpcOption, connect, emit, plain, say
from defedbio.config import DEFAULT_IPFS_API

if TYPE_CHECKING:
    from defedbio.client.verification import Check

app = typer.Typer(help="Evidence: a bundle for a regulator, and its check with no network.", no_args_is_help=True)
EXITS = {"verified": 0, "partly verified": 1, "NOT verified": 4, "consistent in itself": 7}
ADVICE = "somebody may have made all of it up; give the network file (--network) and a node (--rpc) that you trust"


@app.command()
def make(
    study: Annotated[int, typer.Option("--study", min=1, help="Study number on the chain.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make, or a zip file if the name ends in .zip. It must not exist.")],
    without_updates: Annotated[
        bool, typer.Option("--without-updates", help="Leave the encrypted updates out: smaller, and only partly verifiable.")
    ] = False,
    zip_: Annotated[bool, typer.Option("--zip", help="Make one zip file, whatever its name.")] = False,
    confirmations: Annotated[int, typer.Option("--confirmations", min=0, help="Leave out this many of the newest blocks.")] = 0,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Collect proofs, blobs and a report of a study into one bundle. Keep the id that it prints apart from the bundle."""
    client = connect(network=network, rpc=rpc, ipfs=ipfs)
    with Console(stderr=True).status("reading the chain") as status:
        bundle = client.audit.make(
            study,
            out,
            without_updates=without_updates,
            zip=zip_,
            confirmations=confirmations,
            progress=lambda what, done, total: status.update(plain(f"{what} {done}{f' of {total}' if total else ''}")),
        )
    made = bundle.made
    lines = [
        *(_line(check) for check in made.checks if not check.ok),
        f"{made.path}: {made.files} files, {made.bytes:,} bytes, as of block {made.anchor}; {made.verdict}",
        f"  complete for rounds {_numbers(made.complete)}{f'; NOT for {_numbers(made.incomplete)}' if made.incomplete else ''}",
        *(f"  could not be had and is not in it: {cid}" for cid in made.missing),
        f"id {made.id}",
        f"check it anywhere: defedbio audit check {made.path} --id {made.id} --network FILE --rpc URL",
    ]
    emit(bundle.as_dict(), json, lines)


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="Bundle: a folder or a zip file.")],
    network: Annotated[
        Path | None,
        typer.Option(
            "--network", envvar="DEFEDBIO_NETWORK", help="Network file that you trust: the bundle must be of its chain and contracts."
        ),
    ] = None,
    rpc: Annotated[str, typer.Option("--rpc", help="Compare the headers with this Ethereum node; nothing else uses a network.")] = "",
    block: Annotated[str, typer.Option("--block", help="Hash of the block as of which the bundle speaks, from whom you trust.")] = "",
    id_: Annotated[str, typer.Option("--id", help="The bundle's id as its maker told it: finds a replaced one.")] = "",
    json: JsonOption = False,
) -> None:
    """Check a bundle. Exit code 0: verified; 1: as far as the bundle goes; 7: consistent in itself, network or chain being its own word;
    4: a check fails; 2: not a bundle."""

    def show(line: str) -> None:
        if not json:
            say(line)

    found = connect().audit.check(
        bundle, network=network or "", rpc=rpc, block=block, id=id_, on_start=show, on_check=lambda check: show(_line(check))
    )
    at = f", as of block {found.anchor[0]}, {found.anchor[1]}" if found.anchor is not None else ""
    own = f": {' and '.join(found.own_word)} are its own word: {ADVICE}" if found.verdict == "consistent in itself" else ""
    emit(found.as_dict(), json, f"{found.verdict}{at}{own}")
    raise typer.Exit(EXITS[found.verdict])


def _numbers(rounds: tuple[int, ...]) -> str:
    return ", ".join(map(str, rounds)) or "none"


def _line(check: Check) -> str:
    from defedbio.client.audits import NotPossible, OwnWord

    mark = "--  " if isinstance(check, NotPossible) else "own " if isinstance(check, OwnWord) else "ok  " if check.ok else "FAIL"
    return f"{mark} {check.name:<22} {check.detail}{f' [{check.peer}]' if check.peer else ''}"
