"""`defedbio verify`: re-check a finished round from chain and IPFS alone (R5)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from defedbio.cli.common import NETWORK, IpfsOption, JsonOption, NetworkOption, RpcOption, connect, emit, say
from defedbio.config import DEFAULT_IPFS_API

if TYPE_CHECKING:
    from defedbio.client.verification import Check

LEAST_TOLD = 0.05  # seconds


def verify(
    round_: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="Round number.")],
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Re-check commitments, set, updates, proofs, product, opening, model and model bytes. Exit code 4 when a check fails."""

    def on_check(check: Check) -> None:
        if not json:
            blame = f" [{check.peer}]" if check.peer else ""
            took = f" ({check.seconds:.1f} s)" if check.seconds is not None and check.seconds >= LEAST_TOLD else ""
            say(f"{'ok  ' if check.ok else 'FAIL'} {check.name:<12} {check.detail}{blame}{took}")

    client = connect(network=network, rpc=rpc, ipfs=ipfs)
    chain, manager = client.network.chain_id, client.network.contracts["RoundManager"]
    if not json:
        say(f"round {round_} of RoundManager {manager} on chain {chain}, which the network file {network} names")
    checks = client.verify(round_, on_check)
    good = all(check.ok for check in checks)
    data = {"round": round_, "chain_id": chain, "contract": manager, "verified": good, "checks": [asdict(check) for check in checks]}
    emit(data, json, f"round {round_} {'is verified' if good else 'is NOT verified'}")
    raise typer.Exit(0 if good else 4)
