"""`defedbio model`: list, fetch, check, apply, tune and export global models."""

from __future__ import annotations

import typer

from defedbio.cli.model import apply, show, write

app = typer.Typer(help="Global models: list, fetch, check, apply, tune and export them.", no_args_is_help=True)
app.command("list")(show.list_)
app.command()(write.get)
app.command()(show.card)
app.command()(show.report)
app.command()(apply.predict)
app.command()(apply.personalise)
app.command()(write.export)
