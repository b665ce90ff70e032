"""Where a node's lists of powers are computed: by threads of this machine, or by the organisation's own Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from defedbio.compute.cluster import Cluster
from defedbio.compute.slices import Executor, Sliced
from defedbio.crypto.arithmetic import Arithmetic
from defedbio.errors import InvalidInput
from defedbio.report import Reporter

THREADS = "threads"
TRANSPORTS = {"dask": "tcp", "dask+tls": "tls", "dask+insecure": "tcp"}
FORMS = "threads, dask+tls://HOST:PORT, dask://HOST:PORT on this machine, or dask+insecure://HOST:PORT (docs/cluster.md)"


@dataclass(frozen=True)
class Place:
    """What `--executor` says: the scheduler's address as Dask writes it (None: threads of this machine), and whether slices may cross
    a network in the clear."""

    scheduler: str | None = None
    in_clear: bool = False

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises InvalidInput for another form, or a way that would send key shares in the clear without saying so."""
        if text == THREADS:
            return cls()
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError:
            raise _unknown(text) from None
        if url.scheme not in TRANSPORTS or not host or not port or "@" in url.netloc or url.path or url.query or url.fragment:
            raise _unknown(text)
        if url.scheme == "dask" and not loopback(host):
            raise InvalidInput(
                f"dask:// to {host} would send key shares over the network in the clear",
                "give the cluster certificates and use dask+tls://, or dask+insecure:// where something else encrypts (docs/cluster.md)",
            )
        written = f"[{host}]" if ":" in host else host
        return cls(f"{TRANSPORTS[url.scheme]}://{written}:{port}", url.scheme == "dask+insecure")

    def allows(self, worker: str) -> bool:
        """Whether a worker at this address of Dask's gets its slices as this place says."""
        url = urlsplit(worker)
        return self.in_clear or url.scheme == "tls" or loopback(url.hostname or "")


@contextmanager
def open_arithmetic(place: Place, threads: int, report: Reporter) -> Iterator[Arithmetic]:
    """Lists of powers by an executor: `threads` of this machine, or the cluster of `place` and the threads wherever that fails."""
    with open_executor(place, threads, report) as executor:
        yield Sliced(executor)


@contextmanager
def open_executor(place: Place, threads: int, report: Reporter) -> Iterator[Executor]:
    """See `open_arithmetic`.

    Raises:
        InvalidInput, Unreachable: as `Cluster.connect`.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="powers") as local:
        if place.scheduler is None:
            yield local
        else:
            with closing(Cluster(place.scheduler, place.allows, local, report)) as cluster:
                cluster.connect()
                yield cluster


def loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unknown(text: str) -> InvalidInput:
    return InvalidInput(f"{text!r} is no executor", f"use {FORMS}")
