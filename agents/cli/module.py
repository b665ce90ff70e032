"""`defedbio module`: the operator's own torch modules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defedbio.cli.common import HOME, HomeOption, JsonOption, connect, emit

app = typer.Typer(help="Your own torch modules: nothing that a study names runs here unless you allowed it.", no_args_is_help=True)


@app.command()
def allow(
    source: Annotated[Path, typer.Argument(help="Python file that defines build(spec) -> torch.nn.Module.", exists=True, dir_okay=False)],
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Run the file once to check it, keep a copy, and print the hash that a study's spec must name. Read the file before."""
    digest = connect(home).module.allow(source)
    emit({"sha256": digest, "file": str(source)}, json, (f"allowed: {source.name}", f"sha256 {digest}"))


@app.command("list")
def list_(home: HomeOption = HOME, json: JsonOption = False) -> None:
    """The hashes of the modules that studies may use here."""
    found = connect(home).module.list()
    emit([{"sha256": digest} for digest in found], json, found or "no module is allowed")
