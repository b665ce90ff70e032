"""`defedbio doctor`: what is installed, reachable, mismatched."""

from __future__ import annotations

import typer
from rich.table import Table

from defedbio.cli.common import HOME, NETWORK, HomeOption, IpfsOption, JsonOption, NetworkOption, RpcOption, connect, emit, plain
from defedbio.config import DEFAULT_IPFS_API


def doctor(
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Check packages, account, chain, contracts, IPFS and the registered profile. Exit code 1 when something is an error."""
    findings = connect(home, network, rpc, ipfs).doctor()
    table = Table("check", "", "detail")
    for finding in findings:
        table.add_row(finding.name, finding.level, plain(finding.detail))
    emit([finding.as_dict() for finding in findings], json, table)
    raise typer.Exit(1 if any(finding.level == "error" for finding in findings) else 0)
