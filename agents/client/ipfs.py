"""The embedded IPFS node. Kubo serves as well: name its RPC when the client is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from defedbio.client.session import Session
from defedbio.ipfs.node import DEFAULT_LISTEN, DEFAULT_RPC_PORT, EmbeddedNode, NodeReady, serve

__all__ = ["EmbeddedNode", "Ipfs", "NodeReady"]


class Ipfs:
    def __init__(self, session: Session) -> None:
        self._session = session

    def serve(
        self,
        *,
        rpc_port: int = DEFAULT_RPC_PORT,
        listen: Sequence[str] = DEFAULT_LISTEN,
        announce: Sequence[str] = (),
        swarm_key: Path | None = None,
    ) -> EmbeddedNode:
        """The organisation's node, to be used in a `with` statement: it runs inside, and `ready` says where.

        Args:
            rpc_port: loopback port of its RPC; 0 picks a free one, so give `ready.rpc` to the client that shall use it.
            listen: multiaddresses to accept peers on. announce: public ones to tell others.
            swarm_key: file of a private swarm's key: only nodes that have it connect, auditors' too.

        Raises:
            InvalidInput, StoreUnreachable: when it starts, without Node.js 22 or if another node has the repository.

        Example:
            with client.ipfs.serve(rpc_port=0) as node:
                other = Client(ipfs=node.ready.rpc)
        """
        return EmbeddedNode(self._session.home.ipfs, rpc_port=rpc_port, listen=listen, announce=announce, swarm_key=swarm_key)

    def serve_until_signal(
        self,
        on_ready: Callable[[NodeReady], None],
        *,
        rpc_port: int = DEFAULT_RPC_PORT,
        listen: Sequence[str] = DEFAULT_LISTEN,
        announce: Sequence[str] = (),
        swarm_key: Path | None = None,
    ) -> None:
        """The same until SIGINT or SIGTERM; for the main thread of a process that does nothing else.

        Example:
            client.ipfs.serve_until_signal(lambda ready: print(ready.rpc), listen=["/ip4/0.0.0.0/tcp/4001"])
        """
        serve(self._session.home.ipfs, rpc_port=rpc_port, listen=listen, announce=announce, swarm_key=swarm_key, on_ready=on_ready)
