"""What the commands about models share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from defedbio.client.models import ModelFile

StudyOption = Annotated[int, typer.Option("--study", min=1, help="Study number.")]
RoundOption = Annotated[int, typer.Option("--round", min=0, help="Round whose model; the newest finalised one when absent.")]
ModelOption = Annotated[Path | None, typer.Option("--model", help="A local model of the study, once checked, instead of the chain's.")]
SignOption = Annotated[
    bool | None,
    typer.Option("--sign/--no-sign", help="Sign the card with the own account; by default if there is one and its password is given."),
]
SignerOption = Annotated[list[str] | None, typer.Option("--signer", help="Address whose signature counts, beside the own account's.")]
UnsignedOption = Annotated[bool, typer.Option("--unsigned", help="Take a local model for which nobody vouches.")]


def beside(written: ModelFile) -> tuple[str, ...]:
    """The files written, for a reader, line by line."""
    if written.card is None:
        return (f"written to {written.file}, without a card: nobody vouches for the model",)
    signed = f", signed: {written.signature}" if written.signature is not None else ", not signed"
    return f"written to {written.file}", f"card {written.card} and {written.page}{signed}"
