"""`defedbio data`: does a local file fit the study?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defedbio.cli.common import NETWORK, IpfsOption, JsonOption, NetworkOption, RpcOption, connect, emit
from defedbio.config import DEFAULT_IPFS_API
from defedbio.errors import InvalidInput

app = typer.Typer(help="Check local data. Nothing of it is sent anywhere, no value is printed.", no_args_is_help=True)


@app.command()
def check(
    data: Annotated[Path, typer.Option("--data", help="The file to check.")],
    study: Annotated[int | None, typer.Option("--study", min=1, help="Study on the chain whose schema applies.")] = None,
    spec: Annotated[Path | None, typer.Option("--spec", help="A spec file instead of a study on the chain; needs no network.")] = None,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Say which rows and columns do not fit the study's schema. Exit code 0 when the file fits, 1 when it does not."""
    given = [schema for schema in (study, spec) if schema is not None]
    if len(given) != 1:
        raise InvalidInput("name the schema", "pass either --study or --spec")
    report = connect(network=network, rpc=rpc, ipfs=ipfs).data.check(given[0], data)
    emit(report.to_json(), json, report.lines())
    raise typer.Exit(0 if report.ok else 1)
