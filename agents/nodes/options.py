"""How an organisation's agent works and is watched, as its operator chooses. Naming the options loads no node."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class RunOptions:
    """What an operator chooses of a running agent; without arguments, what most choose.

    Args:
        threads: of the CPU, for training and for cryptography.
        executor: what computes powers, `threads` or this organisation's own Dask cluster, which must be trusted like this machine
            (docs/cluster.md).
        poll: seconds between looks at a quiet chain; after news the next ones are sooner.
        patience: seconds that chain or IPFS may stay away before the agent ends.
        metrics, metrics_host, metrics_port: serve Prometheus metrics, by default on loopback port 9460 or a free one.
        metrics_allow_host: names under which they may be asked for, besides loopback's and the address listened on.
        log_file: JSON records; agent.log in the study's folder when absent.
        hook_command, hook_url: programs and addresses that get every event; addresses need `hook_secret_file`.

    Example:
        client.run(1, "mine.csv", RunOptions(threads=4, metrics=False))
    """

    threads: int = 1
    executor: str = "threads"
    poll: float = 1.0
    patience: float = 600.0
    metrics: bool = True
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    metrics_allow_host: Sequence[str] = ()
    log_file: StrPath | None = None
    hook_command: Sequence[str] = ()
    hook_url: Sequence[str] = field(default=(), repr=False)  # it may carry a credential
    hook_secret_file: StrPath | None = None
