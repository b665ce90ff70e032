"""`defedbio round`: what happened in a study's rounds."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.table import Table

from agents.cli.common import NETWORK, JsonOption, NetworkOption, RpcOption, Session, emit, plain, say, study_view
from agents.domain import Phase
from agents.errors import NotFound
from agents.protocol.view import RoundView, StudyView

app = typer.Typer(help="Rounds: list them, show one's whole record.", no_args_is_help=True)


@app.command("list")
def list_rounds(
    study: Annotated[int, typer.Option("--study", min=1, help="Study number.")],
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    json: JsonOption = False,
) -> None:
    """List a study's rounds."""
    connection = Session(network_path=network, rpc=rpc).reader()
    connection.studies.study_of(study)
    view = study_view(connection, study)
    rows = [
        {
            "round": r.id,
            "step": r.step,
            "phase": r.phase.name.lower(),
            "committed": len(r.commitments),
            "revealed": len(r.reveals),
            "in_set": len(r.frozen),
            "model_cid": r.model_cid,
        }
        for _, r in sorted(view.rounds.items())
    ]
    table = Table("round", "step", "phase", "committed", "revealed", "in set", "model", title=f"study {study}")
    for row in rows:
        table.add_row(*(plain(row[k]) for k in row))
    emit(rows, json, table)


@app.command()
def show(
    round_: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="Round number.")],
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    json: JsonOption = False,
) -> None:
    """Show a round's record: who committed, revealed, was in the set and why, shares, opening, model."""
    connection = Session(network_path=network, rpc=rpc).reader()
    on_chain = connection.rounds.round_of(round_)
    study = study_view(connection, on_chain.study)
    view = study.rounds.get(round_)
    if view is None:
        raise NotFound(f"round {round_} is not in the node's logs yet")
    data = record_of(study, view)
    emit(data, json, _table(data))
    if not json:
        say(f"aggregate {data['aggregate_root']}\nopening {data['opening_root']}\nmodel {data['model_hash']} at {data['model_cid'] or '-'}")


def record_of(study: StudyView, view: RoundView) -> dict[str, Any]:
    """The round as JSON-able facts."""
    shares = {s.holder: s for s in view.shares}
    attestors = {a.holder for a in view.attestations}
    aggregate = next((p.root for p in view.aggregates if any(s.aggregate_root == p.root for s in view.shares)), b"")
    rows = []
    for position, address in enumerate(study.participants):
        reveal = view.reveals.get(position)
        rows.append(
            {
                "participant": address,
                "committed": address in view.commitments,
                "revealed": reveal is not None,
                "update_cid": reveal.cid if reveal else "",
                "in_set": position in view.frozen,
                "share": address in shares,
                "share_disputed": address in view.disputed,
                "attested_model": address in attestors,
            }
        )
    return {
        "round": view.id,
        "study": view.study,
        "step": view.step,
        "phase": view.phase.name.lower(),
        "deadline": view.deadline,
        "overdue": not view.phase.ended and time.time() > view.deadline,
        "parent": view.parent,
        "participants": rows,
        "left_out": {holder: reasons for holder, reasons in view.reasons.items() if reasons},
        "aggregate_root": _hex(aggregate),
        "opening_root": _hex(view.opening_root),
        "model_hash": _hex(view.model_hash),
        "model_cid": view.model_cid,
        "voided": view.phase == Phase.VOIDED,
    }


def _table(data: dict[str, Any]) -> Table:
    table = Table(
        "participant", "committed", "revealed", "in set", "share", "model", "update", title=f"round {data['round']}: {data['phase']}"
    )
    for row in data["participants"]:
        share = "disputed" if row["share_disputed"] else _tick(row["share"])
        flags = (_tick(row["committed"]), _tick(row["revealed"]), _tick(row["in_set"]), share, _tick(row["attested_model"]))
        table.add_row(row["participant"], *flags, plain(row["update_cid"]))
    return table


def _tick(value: bool) -> str:
    return "yes" if value else "-"


def _hex(value: bytes) -> str:
    return "0x" + value.hex() if value else "-"
