"""Where things are and how to log in; connects when something asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defedbio.client.password import VARIABLE, Secret, read_password
from defedbio.config import DEFAULT_HOME, DEFAULT_IPFS_API, DEFAULT_NETWORK_FILE, Home, read_json
from defedbio.errors import NotFound
from defedbio.report import Reporter, Sink

# What logs in is loaded when it logs in: a client that only looks at local files needs neither web3 nor an IPFS client.
if TYPE_CHECKING:
    from defedbio.chain.client import ChainClient
    from defedbio.chain.network import Network
    from defedbio.ipfs.kubo import KuboStore
    from defedbio.protocol.journal import Journal
    from defedbio.protocol.reading import Reader

IMPATIENCE_SECONDS = 5.0
ACCOUNT_HINT = "run `defedbio account new` first"


def silent(record: dict[str, Any]) -> None:
    """The sink of those who did not ask."""


@dataclass
class Session:
    """`rpc` may be empty: the network file names an endpoint, too. Endpoints can carry credentials, so none is in the repr."""

    home_path: Path = DEFAULT_HOME
    network_path: Path = DEFAULT_NETWORK_FILE
    rpc: str = field(default="", repr=False)
    ipfs: str = DEFAULT_IPFS_API
    password_file: Path | None = None
    given_password: Secret | None = field(default=None, repr=False)
    sink: Sink = field(default=silent, repr=False)

    @cached_property
    def home(self) -> Home:
        return Home(self.home_path.expanduser())

    @cached_property
    def network(self) -> Network:
        from defedbio.chain.network import Network

        path = self.network_path.expanduser()
        if not path.exists():
            raise NotFound(f"no network file at {path}", "ask the consortium for it, or run `brownie run deploy`; pass it as --network")
        return Network.load(path)

    @cached_property
    def password(self) -> Secret:
        return self.read_password()

    @cached_property
    def reporter(self) -> Reporter:
        return Reporter(self.sink)

    @cached_property
    def store(self) -> KuboStore:
        from defedbio.ipfs.kubo import KuboStore

        return KuboStore(self.ipfs)

    def impatient_store(self) -> KuboStore:
        """The own IPFS node, asked once and not for long: for those to whom its silence is an answer."""
        from defedbio.ipfs.kubo import KuboStore, Retry

        return KuboStore(self.ipfs, timeout=IMPATIENCE_SECONDS, retry=Retry(tries=1))

    @property
    def has_password(self) -> bool:
        """Whether the password can be had without asking."""
        return self.given_password is not None or self.password_file is not None or VARIABLE in os.environ

    def read_password(self, confirm: bool = False) -> Secret:
        """The password as it is now; asked for twice if it is asked for and `confirm`."""
        return self.given_password if self.given_password is not None else read_password(self.password_file, confirm)

    def own_address(self) -> str:
        from defedbio.chain.accounts import keystore_address

        self._require_account()
        return keystore_address(self.home.account)

    def transport_public(self) -> str:
        """The own public transport key, 64 hexadecimal digits."""
        return str(self._transport()["public"])

    def transport_private(self) -> bytes:
        from defedbio.network.transport import private_transport_key

        return private_transport_key(self._transport(), self.password)

    def _transport(self) -> dict[str, Any]:
        return read_json(self.home.transport, "transport key", ACCOUNT_HINT, {"public": str, "box": dict})

    def reader(self) -> Reader:
        """A connection that can only read; needs no account. Made once."""
        return self._reading

    def reader_of(self, network: Network) -> Reader:
        """The same on another network, at the endpoint that its file names."""
        from defedbio.chain.client import ChainClient

        return self._connected(ChainClient(network.rpc, network))

    def signer(self, journal: Journal) -> Reader:
        """A connection that signs as this organisation's account, with the journal that keeps a transaction from being sent twice."""
        from defedbio.chain.accounts import load_account
        from defedbio.chain.client import ChainClient
        from defedbio.network.known import remember

        self._require_account()
        account = load_account(self.home.account, self.password)
        remember(self.home, self.network)
        return self._connected(ChainClient(self._endpoint, self.network, account, journal))

    @contextmanager
    def signing(self) -> Iterator[Reader]:
        """`signer` for transactions outside studies. Key and journal are let go afterwards: another process may need the journal next."""
        from defedbio.protocol.journal import Journal

        self._require_account()
        journal = Journal(self.home.transactions)
        try:
            yield self.signer(journal)
        finally:
            journal.close()

    def close(self) -> None:
        """Let go of the IPFS node, if it was asked anything."""
        if "store" in vars(self):
            self.store.close()

    @cached_property
    def _reading(self) -> Reader:
        from defedbio.chain.client import ChainClient

        return self._connected(ChainClient(self._endpoint, self.network))

    @property
    def _endpoint(self) -> str:
        return self.rpc or self.network.rpc

    def _connected(self, client: ChainClient) -> Reader:
        from defedbio.protocol.reading import Reader

        client.connect()
        return Reader(client, self.store, self.reporter)

    def _require_account(self) -> None:
        if not self.home.account.exists():
            raise NotFound(f"no account at {self.home.account}", ACCOUNT_HINT)
