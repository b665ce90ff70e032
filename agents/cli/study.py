"""`defedbio study`: create, show and join studies."""

from __future__ import annotations

import sys
from pathlib import Path
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
    from defedbio.client.studies import Consent

app = typer.Typer(help="Studies: what is learned, how, and with whom.", no_args_is_help=True)
StudyArgument = Annotated[int, typer.Argument(min=1, help="Study number on the chain.")]


@app.command()
def create(
    spec: Annotated[Path, typer.Argument(help="Study spec (JSON).", exists=True, dir_okay=False)],
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a spec and open the study. The caller becomes its coordinator, without power after (R3)."""
    from defedbio.client.specs import parse

    parsed = parse(spec)
    opened = connect(home, network, rpc, ipfs, password_file).study.create(parsed)
    number = opened.study
    text = [f"study {number} is open: {parsed.name}", f"spec {opened.spec_cid}"]
    if opened.dealt:
        text.append(f"A dealer made the key of epoch {parsed.key_epoch}: whoever kept it reads every single update.")
    emit(opened.as_dict(), json, [*text, f"Organisations join with `defedbio study join {number}`."])


@app.command()
def show(
    study: StudyArgument,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show a study's spec, rules, participants and progress, the spec checked against the chain's hash."""
    shown = connect(network=network, rpc=rpc, ipfs=ipfs).study.show(study)
    progress = f"{len(shown.participants)} of {shown.seats} seats taken, {shown.steps_done} of {shown.steps} rounds finalised"
    emit(shown.as_dict(), json, (*str(shown.consent).splitlines(), progress))


@app.command()
def join(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Accept without being asked; what one consents to is printed all the same.")] = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Read what one consents to, accept it, enrol (S2). The node refuses any study that was not accepted here."""

    def confirm(consent: Consent) -> bool:
        if not json:
            say(*str(consent).splitlines())
        elif not yes:
            print(printable(str(consent), keep="\n"), file=sys.stderr)
        return yes or typer.confirm("Train on this organisation's data under these terms?", err=json)

    joined = connect(home, network, rpc, ipfs, password_file).study.join(study, confirm=confirm)
    if joined is None:
        raise typer.Exit(1)
    text = (
        f"enrolled as participant {joined.position} of {joined.seats}",
        f"Next: `defedbio data check`, then `defedbio run --study {study}`.",
    )
    emit(joined.as_dict(), json, text)
