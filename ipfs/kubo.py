"""A blob store behind Kubo's RPC: Kubo itself, or the embedded node, which speaks the same.

The only importer of ipfshttpclient (0.8.0a2, pinned) and of what it stands on; none of their types or exceptions leave this module.
The client is built without its `connect()`, whose only effect is a warning about versions of Kubo newer than itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import ipfshttpclient
import multiaddr
import requests
import urllib3.exceptions
from ipfshttpclient import encoding
from ipfshttpclient import exceptions as rpc
from requests.adapters import HTTPAdapter

from defedbio import foreign_json
from defedbio.errors import BlobMismatch, BlobUnavailable, InvalidInput, MalformedBlob, StoreUnreachable, Unreachable
from defedbio.ipfs.cid import Cid, check_cid, cid_of, file_size_below, is_blob, parse_cid
from defedbio.ipfs.store import NodeIdentity

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_PIECE_BYTES = 65536
_ANSWER_BYTES = 1 << 26
_ROOT_BLOCK_BYTES = 2 * 1024 * 1024  # Bitswap carries no larger block
_GRACE = 2.0  # seconds by which the node's own deadline is waited out
_COLLECTION = 600.0
_ADD_OPTIONS = {"cid-version": "1", "raw-leaves": "true", "chunker": "size-262144", "pin": "true"}
_NOT_KUBO = "an answer that is not Kubo's RPC"
_NODE_HINT = "is the IPFS node running? `defedbio ipfs serve` starts the embedded one"


@dataclass(frozen=True)
class Retry:
    """How often a call to an unreachable own node is tried and how long the pauses between are: first, first*2, ... in seconds."""

    tries: int = 6
    first: float = 0.25
    longest: float = 4.0

    def __post_init__(self) -> None:
        if self.tries < 1 or self.first < 0 or self.longest < self.first:
            raise InvalidInput(f"bad retry rule: {self.tries} tries, pauses {self.first} to {self.longest} s")

    def pauses(self) -> Iterator[float]:
        """tries - 1 pauses."""
        return (min(self.first * 2.0**attempt, self.longest) for attempt in range(self.tries - 1))


class KuboStore:
    """defedbio.ipfs.store.BlobStore over the RPC at `api` (e.g. /ip4/127.0.0.1/tcp/5001; /https at the end for TLS).

    `timeout` bounds every call that needs this node alone, in seconds. Nothing is contacted before the first call.
    """

    def __init__(self, api: str, *, timeout: float = 30.0, retry: Retry | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        try:
            self._client: Any = ipfshttpclient.Client(api)
        except (rpc.AddressError, multiaddr.exceptions.Error, ValueError) as error:
            raise InvalidInput(f"not an RPC multiaddress: {api!r}", "for example /ip4/127.0.0.1/tcp/5001") from error
        # ipfshttpclient makes its own session otherwise, which obeys proxy variables and warns with urllib3 2.
        self._session = _OwnNodeSession()
        self._client._client._session = self._session
        self._api = api
        self._timeout = timeout
        self._retry = retry or Retry()
        self._sleep = sleep

    def __enter__(self) -> KuboStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def add(self, data: bytes) -> str:
        expected = cid_of(data)
        # A long upload is bounded by 1 s for each MB on top: the server answers only once it has stored everything.
        timeout = self._timeout + len(data) / 1e6
        cid = self._own_node("add a blob", lambda: self._client.add_bytes(data, opts=dict(_ADD_OPTIONS), timeout=timeout))
        if cid != expected:
            raise InvalidInput(
                f"the IPFS node at {self._api} named a blob {cid}, not {expected}",
                "it adds with other settings than 256 KiB chunks, raw leaves and 174 links a node: see ipfs/kubo/README.md",
            )
        return expected

    def get(self, cid: str, max_bytes: int, timeout: float, sources: Sequence[str] = ()) -> bytes:
        try:
            parsed = parse_cid(cid)
        except InvalidInput as error:
            raise MalformedBlob(error.message) from error
        deadline = time.monotonic() + timeout
        data = self._deliver(cid, max_bytes, deadline, sources)
        if len(data) > max_bytes:
            raise MalformedBlob(f"{cid} is longer than the {max_bytes} bytes that it may have")
        try:
            check_cid(cid, data)
        except BlobMismatch:
            # Kubo ends an interrupted answer as if it were whole. Blame needs more: that the root block promises no more than came.
            promised = self._promised_size(parsed, deadline)
            if promised is not None and len(data) < promised:
                raise BlobUnavailable(f"only {len(data)} of {promised} bytes of {cid} were delivered") from None
            raise
        return data

    def pin(self, cid: str, timeout: float = 60.0, sources: Sequence[str] = ()) -> None:
        _check_argument(cid)
        try:
            self._call(f"pin {cid}", lambda: self._client.pin.add(cid, **_bounded(timeout, **_first(sources))))
        except (_Slow, _Refused) as error:
            raise BlobUnavailable(f"{cid} could not be pinned within {timeout:g} s: {error}") from error

    def unpin(self, cid: str) -> None:
        _check_argument(cid)
        try:
            self._call(f"unpin {cid}", lambda: self._client.pin.rm(cid, timeout=self._timeout))
        except _Refused as error:
            if "not pinned" not in str(error):
                raise StoreUnreachable(f"the IPFS node at {self._api} did not unpin {cid}: {error}", _NODE_HINT) from error
        except _Slow as error:
            raise self._silent(f"unpin {cid}") from error

    def is_pinned(self, cid: str) -> bool:
        _check_argument(cid)
        try:
            self._call(f"look up the pin {cid}", lambda: self._client.pin.ls(cid, type="recursive", timeout=self._timeout))
        except _Refused as error:
            if "not pinned" in str(error):
                return False
            raise StoreUnreachable(f"the IPFS node at {self._api} did not look up the pin {cid}: {error}", _NODE_HINT) from error
        except _Slow as error:
            raise self._silent(f"look up the pin {cid}") from error
        return True

    def pinned(self) -> list[str]:
        def read() -> list[str]:
            # Not `client.pin.ls`: a repository of many pins answers in pieces only so, which are bounded in all.
            answer = self._client._client.request("/pin/ls", (), decoder="json", opts={"type": "recursive"}, timeout=self._timeout)
            keys = [_object(_object(document).get("Keys") or {}) for document in answer]
            return [str(cid) for found in keys for cid in found]

        return [cid for cid in self._own_node("list the pins", read) if is_blob(cid)]

    def connect(self, multiaddr: str) -> None:
        _check_peer_address(multiaddr)
        # Not `client.swarm.connect`: in 0.8.0a2 it sends every character of the address as one more address.
        request = self._client._client.request
        try:
            self._call("connect to a peer", lambda: request("/swarm/connect", (multiaddr,), decoder="json", timeout=self._timeout))
        except (_Refused, _Slow) as error:
            raise Unreachable(f"no connection to {multiaddr}: {error}", "is that IPFS node running and reachable from here?") from error

    def reserve(self, multiaddrs: Sequence[str]) -> None:
        def peering(what: str, *arguments: str) -> list[Any]:
            return list(self._client._client.request(f"/swarm/peering/{what}", arguments, decoder="json", timeout=self._timeout))

        def held() -> dict[str, list[str]]:
            peers = [_object(peer) for peer in _object(peering("ls")[0]).get("Peers") or ()]
            return {str(peer["ID"]): [f"{address}/p2p/{peer['ID']}" for address in peer.get("Addrs") or ()] for peer in peers}

        known = self._own_node("list the members' nodes", held)
        for peer in known.keys() - {address.rpartition("/p2p/")[2] for address in multiaddrs}:
            self._own_node("forget a node that is no member's", partial(peering, "rm", peer))
        bad = []
        for address in multiaddrs:
            try:
                _check_peer_address(address)
                if address not in known.get(address.rpartition("/p2p/")[2], ()):
                    self._call("keep a place for a member's node", partial(peering, "add", address))
            except (InvalidInput, _Refused):
                bad.append(address)
            except _Slow as error:
                raise self._silent("keep a place for a member's node") from error
        if bad:
            raise InvalidInput(f"not multiaddresses of nodes: {', '.join(bad)[:300]}")

    def identity(self) -> NodeIdentity:
        def read() -> NodeIdentity:
            answer = _object(self._client.id(timeout=self._timeout).as_json())
            try:
                return NodeIdentity(str(answer["ID"]), tuple(answer.get("Addresses") or ()), str(answer.get("AgentVersion") or ""))
            except InvalidInput as error:
                raise _Refused(f"{_NOT_KUBO}: {error.message}", 0) from error

        return self._own_node("tell who it is", read)

    def peers(self) -> list[str]:
        def read() -> list[str]:
            answer = _object(self._client.swarm.peers(timeout=self._timeout).as_json())
            return sorted({str(_object(peer)["Peer"]) for peer in answer.get("Peers") or ()})

        return self._own_node("list the peers", read)

    def presence(self, cid: str, peer_id: str, timeout: float = 10.0) -> bool:
        _check_argument(cid)
        bounds = _bounded(timeout, peer=peer_id)

        def ask() -> bool:
            match self._client._client.request("/bitswap/presence", (cid,), decoder="json", **bounds):
                case [{"Has": bool(has)}]:
                    return has
            raise _Refused(_NOT_KUBO, 0)

        try:
            return self._call("ask a peer for a blob", ask)
        except _Refused as error:
            if error.status == 404:
                hint = "the embedded node can; Kubo's RPC has no such call"
                raise Unreachable("this IPFS node cannot ask another what it has", hint) from None
            raise Unreachable(f"{peer_id} did not say whether it has {cid}: {error}") from error
        except _Slow as error:
            raise Unreachable(f"{peer_id} did not say in time whether it has {cid}") from error

    def collect_garbage(self) -> None:
        self._own_node("collect garbage", lambda: self._client._client.request("/repo/gc", decoder="json", timeout=_COLLECTION))

    def _deliver(self, cid: str, max_bytes: int, deadline: float, sources: Sequence[str]) -> bytes:
        def cat() -> bytes:
            left = _left(deadline)
            with self._client.cat(cid, stream=True, **_bounded(left, length=max_bytes + 1, **_first(sources))) as pieces:
                return _read(pieces, max_bytes, deadline)

        try:
            return self._call(f"fetch {cid}", cat, deadline)
        except (_Slow, _Refused) as error:
            raise BlobUnavailable(f"no connected node delivered {cid} in time: {error}") from error

    def _promised_size(self, cid: Cid, deadline: float) -> int | None:
        """The file length by the root block of `cid`, None when that block cannot be had."""

        def block() -> bytes:
            with self._client.block.get(str(cid), stream=True, **_bounded(max(_left(deadline), 1.0))) as pieces:
                return _read(pieces, _ROOT_BLOCK_BYTES, deadline + _GRACE)

        try:
            return file_size_below(cid, self._call(f"fetch the root block of {cid}", block))
        except (_Slow, _Refused):
            return None

    def _own_node(self, what: str, action: Callable[[], _T]) -> _T:
        try:
            return self._call(what, action)
        except _Refused as error:
            if error.status == 413:
                raise InvalidInput(f"the IPFS node at {self._api} did not {what}: {error}", "raise its upload limit") from error
            raise StoreUnreachable(f"the IPFS node at {self._api} did not {what}: {error}", _NODE_HINT) from error
        except _Slow as error:
            raise self._silent(what) from error

    def _call(self, what: str, action: Callable[[], _T], deadline: float | None = None) -> _T:
        """Every call is safe to repeat. A lost connection is retried, within `deadline` if given; a refusal or a slow answer is not."""
        lost: _Lost | None = None
        for pause in [0.0, *self._retry.pauses()]:
            if lost is not None:
                log.info("the IPFS node at %s: %s; again in %g s", self._api, lost, pause, extra={"retry": "ipfs"})
                self._sleep(pause)
            try:
                return _translated(action)
            except _Lost as error:
                lost = error
            if deadline is not None and lost.midway and time.monotonic() > deadline:
                break
        if lost is not None and lost.midway:
            raise _Slow("the node broke off while answering")
        tried = f"cannot be reached to {what} ({self._retry.tries} tries)"
        raise StoreUnreachable(f"the IPFS node at {self._api} {tried}", _NODE_HINT) from lost

    def _silent(self, what: str) -> StoreUnreachable:
        return StoreUnreachable(f"the IPFS node at {self._api} did not answer in time to {what}", _NODE_HINT)


class _Lost(Exception):
    """No connection to the own node, or (`midway`) one that broke during the answer."""

    def __init__(self, message: str, midway: bool) -> None:
        super().__init__(message)
        self.midway = midway


class _Slow(Exception):
    """The node took the call and did not finish it in time."""


class _Refused(Exception):
    """The node answered with an error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _translated(action: Callable[[], _T]) -> _T:
    """Runs one RPC call; ipfshttpclient translates what fails before the body, requests' own exceptions come out of the body."""
    try:
        return action()
    except rpc.StatusError as error:
        response = getattr(error.original, "response", None)
        raise _Refused(str(error)[:300], getattr(response, "status_code", 0)) from error
    except rpc.TimeoutError as error:
        if isinstance(error.original, requests.ConnectTimeout):
            raise _Lost("connecting took too long", midway=False) from error
        raise _Slow("the node did not answer in time") from error
    except rpc.ConnectionError as error:
        raise _Lost("no connection", midway=False) from error
    except (rpc.ProtocolError, requests.exceptions.ChunkedEncodingError) as error:
        raise _Lost("the connection broke", midway=True) from error
    except requests.ConnectionError as error:
        if error.args and isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError):
            raise _Slow("the node stopped answering") from error
        raise _Lost("the connection broke", midway=True) from error
    except (rpc.Error, requests.RequestException, AssertionError, KeyError) as error:  # ipfshttpclient asserts what it expects
        raise _Refused(f"{_NOT_KUBO} ({type(error).__name__})", 0) from error


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise _Refused(_NOT_KUBO, 0)
    return answer


def _read(pieces: Iterator[bytes], max_bytes: int, deadline: float) -> bytes:
    """Reads to the end, to the first piece past `max_bytes` or until `deadline`, whichever comes first."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > max_bytes:
            break
        if time.monotonic() > deadline + _GRACE:
            raise _Slow(f"{len(data)} bytes had come when the time was up")
    return bytes(data)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


def _bounded(seconds: float, **options: object) -> dict[str, Any]:
    """Arguments of a call that waits for other nodes: the node gives up after `seconds`, we a little later."""
    return {"opts": {"timeout": f"{max(int(seconds * 1000), 1)}ms", **options}, "timeout": seconds + _GRACE}


def _first(sources: Sequence[str]) -> dict[str, object]:
    return {"from": ",".join(sources)} if sources else {}


def _check_argument(cid: str) -> None:
    parse_cid(cid)


def _check_peer_address(address: str) -> None:
    try:
        names = [protocol.name for protocol in multiaddr.Multiaddr(address).protocols()]
    except (multiaddr.exceptions.Error, ValueError) as error:
        raise InvalidInput(f"not a multiaddress: {address[:200]!r}") from error
    if not names or names[-1] != "p2p":
        raise InvalidInput(f"the multiaddress does not end in /p2p/<peer id>: {address[:200]!r}")


class _Json(encoding.Json):  # type: ignore[misc]
    """Answers are documents, one a line; the library's own reader takes whatever Python does, and raises what Python does."""

    def __init__(self) -> None:
        self._raw = bytearray()

    def parse_partial(self, raw: bytes) -> Generator[Any, Any, Any]:
        self._raw += raw
        if len(self._raw) > _ANSWER_BYTES:
            raise rpc.DecodingError("json", ValueError("the answer is too long"))
        yield from ()

    def parse_finalize(self) -> Generator[Any, Any, Any]:
        try:
            for line in bytes(self._raw).splitlines():
                if line.strip():
                    yield foreign_json.read(line, "the answer", _ANSWER_BYTES)
        except InvalidInput as error:
            raise rpc.DecodingError("json", error) from error


encoding.__encodings["json"] = _Json


class _PiecewiseResponse(requests.Response):
    """ipfshttpclient asks for whole bodies at once; an answer is never trusted to be as short as it should."""

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        return super().iter_content(chunk_size or _PIECE_BYTES, decode_unicode)


class _Adapter(HTTPAdapter):
    def build_response(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().build_response(*args, **kwargs)
        response.__class__ = _PiecewiseResponse
        return response


class _OwnNodeSession(requests.Session):
    """Talks to the own node only: no proxy or password from the environment, no redirect to somewhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.mount("http://", _Adapter())
        self.mount("https://", _Adapter())

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(*args, **{**kwargs, "allow_redirects": False})
