"""An organisation's own Dask cluster as an executor: the one module that imports distributed.

Slices travel as pickles, and hold key shares and obfuscators' randomness: the cluster is trusted like this machine (docs/decisions/0041).
What it does not finish is computed here, since a round has deadlines.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from defedbio.compute.slices import Executor
from defedbio.errors import DefedError, InvalidInput, Unreachable
from defedbio.report import Reporter

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

CONNECT_SECONDS = 5.0
STALL_SECONDS = 30.0  # without a finished slice; one takes less than a second
PAUSE_SECONDS = 60.0
CLOSE_SECONDS = 2.0
GONE = "the scheduler is gone"

S = TypeVar("S")
T = TypeVar("T")


class Cluster:
    """The scheduler at `address` (tcp:// or tls://), if `allows` holds of every worker's address. After trouble the cluster is left alone
    for a minute, and `local` computes everything."""

    def __init__(self, address: str, allows: Callable[[str], bool], local: Executor, report: Reporter) -> None:
        self._address, self._allows, self._local, self._report = address, allows, local, report
        self._client: Client | None = None
        self._again_at = 0.0
        self._lock = Lock()

    def connect(self) -> None:
        """Raises InvalidInput for a cluster that is not to be used, Unreachable for one that does not answer."""
        with self._lock:
            self._client = self._connected()
        self._report.note(f"lists of powers go to the Dask cluster at {self._address}")

    def map(self, function: Callable[[S], T], slices: Iterable[S], /) -> Iterator[T]:
        """The results in the order of the slices, from the cluster as far as it goes."""
        work = list(slices)
        done = self._on_cluster(function, work)
        rest = self._local.map(function, [part for i, part in enumerate(work) if i not in done])
        return (done[i] if i in done else next(rest) for i in range(len(work)))

    def close(self) -> None:
        with self._lock:
            self._leave()

    def _on_cluster(self, function: Callable[[S], T], work: Sequence[S]) -> dict[int, T]:
        """Results by position, of every slice unless there is trouble."""
        with self._lock:
            client = self._client or self._found_again()
            if client is None:
                return {}
            done: dict[int, T] = {}
            trouble = self._objection(client) or _compute(client, function, work, done)
            if trouble:
                self._leave()
                self._again_at = time.monotonic() + PAUSE_SECONDS
                self._report.note(
                    f"the Dask cluster at {self._address}: {trouble}; {len(work) - len(done)} of {len(work)} slices are computed here",
                    level="warning",
                    event="node.trouble",
                )
            return done

    def _found_again(self) -> Client | None:
        if time.monotonic() >= self._again_at:
            try:
                self._client = self._connected()
                self._report.note(f"the Dask cluster at {self._address} computes again")
            except DefedError as error:
                self._again_at = time.monotonic() + PAUSE_SECONDS
                self._report.note(error.message, level="warning")
        return self._client

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            _close(client)

    def _connected(self) -> Client:
        from distributed import Client

        # It logs a lost scheduler with a traceback; the note says so in a line.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        address, security = self._address, _security(self._address)
        try:
            _greet(address, security)
            client = Client(address, timeout=CONNECT_SECONDS, security=security, set_as_default=False, name="defedbio")
        except OSError as error:
            hint = "start it, or leave --executor out to compute here"
            raise Unreachable(f"no Dask scheduler answers at {address}: {type(error).__name__}", hint) from None
        except RuntimeError:
            raise InvalidInput(f"Dask is configured to require encryption, which {address} has not", "use dask+tls://") from None
        except ImportError:
            raise InvalidInput(f"the Dask scheduler at {address} has other versions than this node", "install the same of Dask") from None
        try:
            self._check_workers(client)
        except DefedError:
            _close(client)
            raise
        return client

    def _check_workers(self, client: Client) -> None:
        future = _submit(client, ready)
        try:
            fault = _fault(future, STALL_SECONDS)
        except TimeoutError:
            raise Unreachable(f"no worker of the Dask cluster at {self._address} answers", "start its workers") from None
        objection = self._objection(client)
        if GONE in (fault, objection):
            raise Unreachable(f"the Dask scheduler at {self._address} went away")
        if fault:
            raise InvalidInput(
                f"the workers of the Dask cluster at {self._address} cannot compute: {fault}",
                "install this version of DeFed-Bio and of Python on them",
            )
        if objection:
            raise InvalidInput(f"the Dask cluster at {self._address}: {objection}", "see docs/cluster.md on transport")

    def _objection(self, client: Client) -> str:
        """What speaks against sending this cluster secrets; empty if nothing does."""
        if client.status != "running":
            return GONE
        try:
            workers = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=CONNECT_SECONDS)["workers"]
        except (OSError, CancelledError):
            return GONE
        exposed = [worker for worker in workers if not self._allows(worker)]
        return f"slices would cross the network in the clear to its worker {exposed[0]}" if exposed else ""


def ready() -> bool:
    """Run on a worker: that it finds this function shows that it has this package."""
    return True


def _greet(address: str, security: Security) -> None:
    """Wait for the first byte that a scheduler says. Raises OSError: Dask itself waits for ever for one that accepts and says nothing."""
    url = urlsplit(address)
    with socket.create_connection((url.hostname, url.port), CONNECT_SECONDS) as plain:
        context = security.get_connection_args("client").get("ssl_context")
        with context.wrap_socket(plain) if url.scheme == "tls" else plain as stream:
            if not stream.recv(1):
                raise ConnectionResetError


def _close(client: Client) -> None:
    with suppress(TimeoutError):
        client.close(timeout=CLOSE_SECONDS)


def _compute(client: Client, function: Callable[[S], T], work: Sequence[S], done: dict[int, T]) -> str:
    """Put results into `done` by position; what kept the rest from it, empty if nothing is missing."""
    from distributed.client import ClosedClientError

    try:
        positions = {_submit(client, function, part): i for i, part in enumerate(work)}
    except ClosedClientError:
        return GONE
    trouble, waiting = "", set(positions)
    while waiting and not trouble:
        finished, waiting = wait(waiting, STALL_SECONDS, FIRST_COMPLETED)
        if not finished:
            trouble = f"nothing finished for {STALL_SECONDS:.0f} s"
        for future in finished:
            if fault := _fault(future):
                trouble = fault
            else:
                done[positions[future]] = future.result()
    return trouble


def _submit(client: Client, function: Callable[..., T], *slices: object) -> Future[T]:
    """Under a random name: Dask would otherwise name tasks by hashes of what is in them, which is secret."""
    future: Future[T] = client.get_executor(pure=False).submit(function, *slices)
    return future


def _fault(future: Future[T], timeout: float | None = None) -> str:
    """What kept a task from its result, empty if nothing did; never an exception's text, which may hold anything."""
    try:
        error = future.exception(timeout)
    except CancelledError:
        return GONE
    return "" if error is None else type(error).__name__


def _security(address: str) -> Security:
    from distributed.security import Security

    if not address.startswith("tls://"):
        return Security()
    security = Security(require_encryption=True)
    if not security.tls_ca_file or not security.tls_client_cert:
        raise InvalidInput(
            "TLS to the Dask cluster is not configured",
            "name ca-file, client.cert and client.key under distributed.comm.tls in Dask's configuration (docs/cluster.md)",
        )
    try:
        security.get_connection_args("client")
    except OSError as error:
        raise InvalidInput(f"the certificates for the Dask cluster cannot be read: {type(error).__name__}") from None
    return security
