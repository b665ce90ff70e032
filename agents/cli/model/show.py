"""`defedbio model list`, `card` and `report`: what models there are, and what is known of them."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from defedbio.cli.common import NETWORK, IpfsOption, JsonOption, NetworkOption, RpcOption, connect, emit, plain
from defedbio.cli.model.options import RoundOption, StudyOption
from defedbio.config import DEFAULT_IPFS_API
from defedbio.errors import ChainUnreachable, WrongChain

if TYPE_CHECKING:
    from defedbio.client.models import CardReport, Measured


def list_(
    study: Annotated[int | None, typer.Option("--study", min=1, help="Study number; all studies when absent.")] = None,
    metrics: Annotated[bool, typer.Option("--metrics/--no-metrics", help="Read metrics, which are in the models themselves.")] = True,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """List models with their lineage: round, parent, organisations in the sum, and how good they are where sums say so."""
    records = connect(network=network, rpc=rpc, ipfs=ipfs).model.list(study, metrics=metrics)
    table = Table("study", "round", "step", "model", "from round", "organisations", "metrics", "")
    for r in records:
        kind = f"{r.step} {r.kind}".strip()
        newest = "newest" if r.newest else ""
        row = (r.study, r.round, kind, r.cid, r.parent or "first model", len(r.organisations), _shown(r.measured), newest)
        table.add_row(*map(plain, row))
    emit([r.to_json() for r in records], json, table if records else "no models yet")


def card(
    file: Annotated[Path, typer.Argument(help="A model file with a card beside it, or the card.")],
    offline: Annotated[bool, typer.Option("--offline", help="Check hashes and signature only; do not ask the chain.")] = False,
    signer: Annotated[list[str] | None, typer.Option("--signer", help="Accept only the signature of this address; repeatable.")] = None,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show a model's card and check it part by part; each fact is shown with who stands for it. Exit code 4 if the signer is at fault, else
    2."""
    try:
        found = connect(network=network, rpc=rpc, ipfs=ipfs).model.card(file, offline=offline, signer=signer or ())
    except (WrongChain, ChainUnreachable) as error:
        error.hint = "; ".join(filter(None, (error.hint, "--offline checks hashes and signature only")))
        raise
    rows = [{"name": c.name, "ok": c.ok, "detail": c.detail, "peer": c.peer} for c in found.checks]
    lines = _summary(found)
    lines += [f"{'ok  ' if c.ok else 'FAIL'} {c.name:<9} {c.detail}{f' [{c.peer}]' if c.peer else ''}" for c in found.checks]
    lines += [f"note {note}" for note in found.notes]
    data = {
        **{"verified": found.ok, "signer": found.signer or None, "checks": rows, "notes": list(found.notes)},
        **{"standing": dict(found.standing), "card": found.card.document},
    }
    emit(data, json, lines)
    if not found.ok:
        raise typer.Exit(4 if any(c.peer for c in found.checks if not c.ok) else 2)


def report(
    study: StudyOption,
    round_: RoundOption = 0,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """What the encrypted sums say: the federated statistics, and the metrics of the model that a round started from."""
    found = connect(network=network, rpc=rpc, ipfs=ipfs).model.report(study, round_)
    emit(found, json, jsonlib.dumps(found, indent=1).splitlines())


def _shown(measured: Measured | None) -> str:
    """The metrics but their helpers: errors stand beside their metric, and spread over sites is for --json."""
    if measured is None:
        return "-"
    if measured.unusable:
        return f"unusable: {measured.unusable}"
    values = {name: value for name, value in measured.values.items() if value is not None}
    shown = []
    for name, value in values.items():
        if not name.endswith("_error") and "_site_" not in name and name not in ("sites", "samples"):
            error = values.get(f"{name}_error")
            shown.append(f"{name} {value:.4g}" + (f" ± {error:.1g}" if error else ""))
    return ", ".join(shown)


def _summary(found: CardReport) -> list[str]:
    """The card in words, each fact with its standing: a card that holds in one part may be made up in another."""
    from defedbio.client.models import Measured

    document = found.card.document
    chain, study, file, metrics, tuning = (document[part] for part in ("chain", "study", "file", "metrics", "tuning"))
    inside = [o for o in chain["organisations"] if o["in_set"]]
    names = ", ".join(document["names"].get(o["address"]) or o["address"] for o in inside)
    facts = [
        ("file", "file", f"{file['bytes']:,} bytes, {file['keccak256']}"),
        ("model of", "chain", f"round {chain['round']} of study {chain['study']}, {len(chain['lineage'])} rounds from the first model"),
        ("study", "study", f"{study['name']}: {study['task']['kind']} {', '.join(study['task']['columns'][:3])}"),
        ("data of", "names", names),
    ]
    if metrics is not None:
        facts.append(("metrics", "metrics", _shown(Measured(metrics["round"], metrics["values"], metrics.get("unusable", "")))))
    if "made" in found.standing:
        facts.append(("made as", "made", f"{'tuned from' if tuning else 'an export of'} that model, {file['format']}"))
    if tuning is not None:
        told = _shown(Measured(chain["round"], tuning["metrics"]))
        facts.append(("tuned", "tuning", f"{tuning['moves']}, {tuning['steps']} minibatches, on rows held out {told}"))
    return [f"  {label:<9} [{found.standing[part]}] {text}" for label, part, text in facts]
