"""`defedbio verify`: re-check a finished round from chain and IPFS alone (R5)."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.cli.common import NETWORK, IpfsOption, JsonOption, NetworkOption, RpcOption, Session, emit, say, study_view
from agents.config import DEFAULT_IPFS_API
from agents.nodes.auditor import verify_round


def verify(
    round_: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="Round number.")],
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Re-check commitments, set, updates, product, opening, model and model bytes. Exit code 4 when a check fails."""
    connection = Session(network_path=network, rpc=rpc, ipfs=ipfs).reader()
    on_chain = connection.rounds.round_of(round_)
    frame = connection.frame(on_chain.study)
    study = study_view(connection, on_chain.study)
    checks = []
    for check in verify_round(
        connection.fetcher(frame), study, study.rounds[round_], connection.keys.epoch_of(frame.spec.key_epoch).holders
    ):
        checks.append(check)
        if not json:
            blame = f" [{check.peer}]" if check.peer else ""
            say(f"{'ok  ' if check.ok else 'FAIL'} {check.name:<12} {check.detail}{blame}")
    good = all(check.ok for check in checks)
    rows = [{"name": c.name, "ok": c.ok, "detail": c.detail, "peer": c.peer} for c in checks]
    emit({"round": round_, "verified": good, "checks": rows}, json, f"round {round_} {'is verified' if good else 'is NOT verified'}")
    raise typer.Exit(0 if good else 4)
