"""KuboStore in front of a node that lies, breaks off or is not there: each is refused for its own reason."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from defedbio.errors import BlobMismatch, BlobUnavailable, InvalidInput, MalformedBlob, StoreUnreachable, Unreachable
from defedbio.ipfs.cid import cid_of
from defedbio.ipfs.kubo import KuboStore, Retry

DATA = os.urandom(1000)
CID = cid_of(DATA)

Answer = Callable[[BaseHTTPRequestHandler, dict[str, list[str]]], None]


class LyingNode:
    """Speaks HTTP for real; what each call answers is put in by the test."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, dict[str, list[str]]]] = []
        lying = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                parts = urlsplit(self.path)
                name, query = parts.path.removeprefix("/api/v0/"), parse_qs(parts.query)
                lying.calls.append((name, query))
                lying.answers.get(name, error("no answer is set"))(self, query)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.api = f"/ip4/127.0.0.1/tcp/{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def count(self, name: str) -> int:
        return sum(called == name for called, _ in self.calls)


def reply(body: bytes, length: int | None = None, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def error(message: str, status: int = 500) -> Answer:
    return reply(json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode(), status=status)


def hang_up(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


@pytest.fixture
def node() -> Iterator[LyingNode]:
    lying = LyingNode()
    yield lying
    lying.stop()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def store(node: LyingNode, pauses: list[float]) -> Iterator[KuboStore]:
    with KuboStore(node.api, timeout=2.0, retry=Retry(tries=4, first=1.0, longest=3.0), sleep=pauses.append) as opened:
        yield opened


class TestLies:
    """C3: every byte fetched is checked against the CID before it is used."""

    def test_the_right_bytes_pass(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["cat"] = reply(DATA)
        assert store.get(CID, 1000, 5.0) == DATA
        (_, query), *_ = node.calls
        assert query["length"] == ["1001"], "the node is told the cap"
        assert query["timeout"][0].endswith("ms")

    @pytest.mark.parametrize("delivered", [b"", DATA[:-1], DATA[:-1] + bytes([DATA[-1] ^ 1]), os.urandom(1000), DATA + b"x"])
    def test_other_bytes_are_a_mismatch(self, node: LyingNode, store: KuboStore, delivered: bytes) -> None:
        node.answers["cat"] = reply(delivered)
        with pytest.raises(BlobMismatch, match=f"{len(delivered)} bytes delivered for {CID}"):
            store.get(CID, 2000, 5.0)

    def test_too_many_bytes_are_malformed(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["cat"] = reply(DATA + b"x")
        with pytest.raises(MalformedBlob, match="longer than the 1000 bytes"):
            store.get(CID, 1000, 5.0)

    def test_an_endless_answer_is_cut_at_the_cap(self, node: LyingNode, store: KuboStore) -> None:
        sent = 0

        def endless(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
            nonlocal sent
            handler.send_response(200)
            handler.send_header("Content-Length", str(10**12))
            handler.end_headers()
            try:
                while sent < 2**30:
                    sent += handler.wfile.write(bytes(65536))
            except OSError:
                handler.close_connection = True

        node.answers["cat"] = endless
        with pytest.raises(MalformedBlob, match="longer than the 1000 bytes"):
            store.get(CID, 1000, 5.0)
        assert sent < 2**30

    def test_an_interrupted_answer_that_looks_whole_is_no_ones_fault(self, node: LyingNode, store: KuboStore) -> None:
        """Kubo ends a failed `cat` like a good one; the root block shows that more was to come."""
        node.answers["cat"] = reply(DATA[:400])
        node.answers["block/get"] = reply(DATA)
        with pytest.raises(BlobUnavailable, match="only 400 of 1000 bytes"):
            store.get(CID, 2000, 5.0)

    def test_a_wrong_root_block_excuses_nothing(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["cat"] = reply(DATA[:400])
        node.answers["block/get"] = reply(DATA + b"x")
        with pytest.raises(BlobMismatch, match="400 bytes delivered"):
            store.get(CID, 2000, 5.0)

    def test_a_redirect_is_not_followed(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["cat"] = reply(b"", status=307, Location="/api/v0/elsewhere")
        node.answers["elsewhere"] = reply(DATA)
        with pytest.raises(BlobMismatch):
            store.get(CID, 1000, 5.0)
        assert node.count("elsewhere") == 0

    def test_another_cid_for_an_added_blob_is_refused(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["add"] = reply(json.dumps({"Name": "x", "Hash": cid_of(b"other"), "Size": "5"}).encode())
        with pytest.raises(InvalidInput, match=f"named a blob {cid_of(b'other')}, not {CID}"):
            store.add(DATA)

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"ID": "x", "Addresses": ["/ip4/1.2.3.4/tcp/1"]}', b"{}{}"])
    def test_an_answer_that_is_no_identity_is_refused(self, node: LyingNode, store: KuboStore, body: bytes) -> None:
        node.answers["id"] = reply(body)
        with pytest.raises(StoreUnreachable, match="an answer that is not Kubo's RPC"):
            store.identity()


class TestLoss:
    """C4: loss of the IPFS node costs a retry with back-off."""

    def test_a_dead_node_is_tried_with_growing_pauses_and_a_bound(self, pauses: list[float]) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            api = f"/ip4/127.0.0.1/tcp/{unused.getsockname()[1]}"
            store = KuboStore(api, retry=Retry(tries=4, first=1.0, longest=3.0), sleep=pauses.append)
            with pytest.raises(StoreUnreachable, match=r"cannot be reached to fetch .* \(4 tries\)"):
                store.get(CID, 1000, 5.0)
        assert pauses == [1.0, 2.0, 3.0]

    def test_a_node_that_comes_back_serves_the_waiting_call(self, node: LyingNode, store: KuboStore, pauses: list[float]) -> None:
        def once(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
            node.answers["cat"] = reply(DATA)
            hang_up(handler, query)

        node.answers["cat"] = once
        assert store.get(CID, 1000, 5.0) == DATA
        assert pauses == [1.0]

    def test_an_answer_that_always_breaks_off_is_unavailable(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["cat"] = reply(DATA[:400], length=1000)
        with pytest.raises(BlobUnavailable, match="broke off"):
            store.get(CID, 1000, 5.0)
        assert node.count("cat") == 4

    def test_a_refusal_is_not_repeated(self, node: LyingNode, store: KuboStore, pauses: list[float]) -> None:
        node.answers["cat"] = error("context deadline exceeded")
        with pytest.raises(BlobUnavailable, match="context deadline exceeded"):
            store.get(CID, 1000, 5.0)
        assert pauses == []

    def test_a_silent_node_is_unreachable_for_its_own_calls(self, node: LyingNode) -> None:
        release = threading.Event()
        node.answers["id"] = lambda handler, query: (release.wait(10), None)[1]
        with pytest.raises(StoreUnreachable, match="did not answer in time"):
            KuboStore(node.api, timeout=0.2).identity()
        release.set()

    def test_an_upload_over_the_nodes_limit_is_the_callers(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["add"] = error("the upload is longer than 10 bytes", status=413)
        with pytest.raises(InvalidInput, match="longer than 10 bytes"):
            store.add(b"x" * 11)


class TestClient:
    def test_no_peers_may_be_null_as_kubo_says_it(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["swarm/peers"] = reply(b'{"Peers": null}')
        assert store.peers() == []

    def test_pins_of_what_cannot_be_a_blob_of_ours_are_left_out(self, node: LyingNode, store: KuboStore) -> None:
        """As Kubo lists them, with the empty folder that each repository pins."""
        keys = {CID: {"Type": "recursive"}, "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn": {"Type": "recursive"}}
        node.answers["pin/ls"] = reply(json.dumps({"Keys": keys}).encode())
        assert store.pinned() == [CID] and node.calls[-1][1]["type"] == ["recursive"]
        node.answers["pin/ls"] = reply(b"{}")
        assert store.pinned() == []
        node.answers["pin/ls"] = reply(b'{"Keys": [1]}')
        with pytest.raises(StoreUnreachable, match="did not list the pins"):
            store.pinned()

    def test_connect_sends_one_address(self, node: LyingNode, store: KuboStore) -> None:
        address = "/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWD3f8rMKF2sYEn3xVi9HrHGAWhLAa6sA5ciL8Ji36sSbS"
        node.answers["swarm/connect"] = reply(b'{"Strings": ["connect success"]}')
        store.connect(address)
        assert [query["arg"] for _, query in node.calls] == [[address]]

    def test_proxies_of_the_environment_are_not_used(self, node: LyingNode, store: KuboStore, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        node.answers["cat"] = reply(DATA)
        assert store.get(CID, 1000, 5.0) == DATA

    def test_no_version_warning(self, node: LyingNode) -> None:
        node.answers["cat"] = reply(DATA)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert KuboStore(node.api).get(CID, 1000, 5.0) == DATA

    @pytest.mark.parametrize("api", ["", "http://127.0.0.1:5001", "/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/5001", "/ip4/300.0.0.1/tcp/1"])
    def test_a_bad_rpc_address_is_the_callers(self, api: str) -> None:
        with pytest.raises(InvalidInput, match="not an RPC multiaddress"):
            KuboStore(api)

    @pytest.mark.parametrize("rule", [{"tries": 0}, {"first": -1.0}, {"first": 5.0, "longest": 1.0}])
    def test_a_bad_retry_rule_is_refused(self, rule: dict[str, float]) -> None:
        with pytest.raises(InvalidInput, match="bad retry rule"):
            Retry(**rule)  # type: ignore[arg-type]


class TestPresence:
    def test_a_node_without_the_call_cannot_tell(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["bitswap/presence"] = error("404 page not found", 404)
        with pytest.raises(Unreachable, match="this IPFS node cannot ask another what it has"):
            store.presence(CID, "12D3KooWpeer")

    def test_the_peer_is_named_and_the_wait_bounded(self, node: LyingNode, store: KuboStore) -> None:
        node.answers["bitswap/presence"] = reply(b'{"Has": true}')
        assert store.presence(CID, "12D3KooWpeer", 1.5)
        assert node.calls == [("bitswap/presence", {"arg": [CID], "peer": ["12D3KooWpeer"], "timeout": ["1500ms"]})]

    @pytest.mark.parametrize("body", [b"{}", b'{"Has": "yes"}', b"[]", b"not JSON"])
    def test_nonsense_is_no_answer(self, node: LyingNode, store: KuboStore, body: bytes) -> None:
        node.answers["bitswap/presence"] = reply(body)
        with pytest.raises(Unreachable, match="did not say whether it has"):
            store.presence(CID, "12D3KooWpeer")
