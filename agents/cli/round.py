"""`defedbio round`: what happened in a study's rounds."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from defedbio.cli.common import NETWORK, JsonOption, NetworkOption, RpcOption, connect, emit, plain, say

if TYPE_CHECKING:
    from defedbio.client.rounds import OrganisationRecord, RoundRecord

app = typer.Typer(help="Rounds: list them, show one's whole record.", no_args_is_help=True)


@app.command("list")
def list_rounds(
    study: Annotated[int, typer.Option("--study", min=1, help="Study number.")],
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    json: JsonOption = False,
) -> None:
    """List a study's rounds."""
    rows = connect(network=network, rpc=rpc).round.list(study)
    table = Table("round", "step", "phase", "committed", "revealed", "in set", "model", title=f"study {study}")
    for row in rows:
        table.add_row(*map(plain, astuple(row)))
    emit([row.as_dict() for row in rows], json, table)


@app.command()
def show(
    round_: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="Round number.")],
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    json: JsonOption = False,
) -> None:
    """Show a round's record: who committed, revealed, was in the set and why, shares, opening, model."""
    record = connect(network=network, rpc=rpc).round.show(round_)
    emit(record.as_dict(), json, _table(record))
    if not json:
        say(
            *(f"{part.participant} posted a product that was shown to be wrong" for part in record.participants if part.wrong_product),
            f"aggregate {record.aggregate_root}",
            f"opening {record.opening_root}",
            f"model {record.model_hash} at {record.model_cid or '-'}",
        )


def _table(record: RoundRecord) -> Table:
    table = Table(
        "participant", "committed", "revealed", "in set", "share", "model", "proof", "update", title=f"round {record.round}: {record.phase}"
    )
    for part in record.participants:
        share = _tick(part.share) + (", disputed" if part.share_disputed else "")
        committed = _tick(part.committed) if part.awaited or part.committed else "not waited for"
        flags = (committed, _tick(part.revealed), _tick(part.in_set), share, _tick(part.attested_model))
        table.add_row(part.participant, *flags, _proof(part), plain(part.update_cid))
    return table


def _proof(part: OrganisationRecord) -> str:
    """The hash of an update's proof, and what key holders said who checked it."""
    if not part.revealed:
        return "-"
    found = f"good to {part.checked} holders" + (f", bad to {part.refused}" if part.refused else "")
    return found if part.proof_hash == "-" else f"{part.proof_hash[:10]}, {found}"


def _tick(value: bool) -> str:
    return "yes" if value else "-"
