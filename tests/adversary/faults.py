"""Faults that no peer of a node has to be asked for: processes killed and started again, an RPC that lies or hangs, reorganisations."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scripts.consortium import Process
from tests.anvil import Anvil

DEEPEST = 5
Answer = dict[str, Any]


def reorganise(anvil: Anvil, depth: int, keep: bool = False) -> None:
    """Replace the newest `depth` blocks (1 to 5) by as many others. Their transactions are lost, or with `keep` sent again."""
    assert 1 <= depth <= DEEPEST
    newest = int(anvil.rpc("eth_blockNumber"), 16)
    lost = [
        anvil.rpc("eth_getRawTransactionByHash", tx)
        for number in range(newest - depth + 1, newest + 1)
        for tx in anvil.rpc("eth_getBlockByNumber", hex(number), False)["transactions"]
    ]
    anvil.rpc("anvil_rollback", depth)
    # Blocks of the same numbers with other hashes: a moment later than those they replace.
    anvil.rpc("evm_increaseTime", 1)
    anvil.mine(depth)
    if keep:
        for raw in lost:
            anvil.rpc("eth_sendRawTransaction", raw)


def restart(process: Process, start: Callable[[], Process]) -> Process:
    """SIGKILL, as a crash or a cut of power ends a process, and the same again."""
    process.kill()
    return start()


@dataclass
class FaultyRpc:
    """A node between a client and Anvil that can lie, refuse or hang. `lie(method, answer)` gives what is answered in place of Anvil's
    answer; `hangs` names methods that get no answer until `heal`; `calls` counts what was asked. With a `tip` it is a node that is behind:
    it passes transactions on, and knows no block after that one."""

    behind: str
    url: str = ""
    lie: Callable[[str, Answer], Answer] | None = None
    hangs: set[str] = field(default_factory=set)
    tip: int | None = None
    calls: dict[str, int] = field(default_factory=dict)
    healed: threading.Event = field(default_factory=threading.Event)

    def heal(self) -> None:
        """Answer truly from now on, what hangs included."""
        self.lie = self.tip = None
        self.hangs.clear()
        self.healed.set()

    def answer(self, body: bytes) -> bytes:
        asked = json.loads(body)
        method = str(asked.get("method", ""))
        self.calls[method] = self.calls.get(method, 0) + 1
        if method in self.hangs:
            self.healed.wait()
        if self.tip is not None:
            asked["params"] = [hex(self.tip) if param in ("latest", "pending") else param for param in asked["params"]]
            body = json.dumps(asked).encode()
        request = urllib.request.Request(self.behind, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            raw: bytes = response.read()
        if self.tip is not None and method == "eth_getTransactionReceipt":
            answer = json.loads(raw)
            if (mined := answer.get("result")) and int(mined["blockNumber"], 16) > self.tip:
                raw = json.dumps({**answer, "result": None}).encode()
        return json.dumps(self.lie(method, json.loads(raw))).encode() if self.lie else raw


@contextmanager
def faulty_rpc(anvil: Anvil) -> Iterator[FaultyRpc]:
    """A `FaultyRpc` before this Anvil, at a URL of its own; true until told otherwise."""
    faulty = FaultyRpc(anvil.url)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                answer = faulty.answer(body)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                self.close_connection = True  # the client gave up

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    faulty.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        faulty.heal()
        server.shutdown()
        server.server_close()
        thread.join()
