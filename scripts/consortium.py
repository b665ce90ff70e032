"""A consortium on one machine: a chain, and for every organisation its own folder, IPFS node and agent process, driven through the same
command line that a real organisation uses. The demo and the integration tests are built on it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHAIN_ID = 31337
FUNDS_WEI = 10**20
STOP_SECONDS = 15.0
START_SECONDS = 60.0
CEREMONY_SECONDS = 7200.0
Popen = Callable[..., "subprocess.Popen[str]"]


class StepFailed(Exception):
    """A step of the local consortium failed; `log` is the file to read."""

    def __init__(self, step: str, reason: str, log: Path) -> None:
        super().__init__(f"{step}: {reason} (see {log})")
        self.step, self.reason, self.log = step, reason, log


@dataclass
class Process:
    """A started process; its output goes to `log`, and line by line to `on_line` if given."""

    name: str
    log: Path
    popen: subprocess.Popen[str]
    reader: threading.Thread | None = None

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        if self.reader is not None:
            self.reader.join(STOP_SECONDS)


@dataclass
class Organisation:
    name: str
    home: Path
    ipfs_api: str = ""
    ipfs_listen: str = ""
    address: str = ""
    data: Path | None = None


@dataclass
class Consortium:
    """Everything lives under `folder`: chain state, homes, logs. `stop` ends every process that was started, by `popen`."""

    folder: Path
    names: Sequence[str]
    chain: str = "anvil"
    popen: Popen = subprocess.Popen
    organisations: list[Organisation] = field(default_factory=list)
    processes: dict[str, Process] = field(default_factory=dict)
    rpc: str = ""

    def __post_init__(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        self.organisations = [Organisation(name, self.folder / "homes" / name) for name in self.names]
        self.password_file.write_text(secrets.token_urlsafe(24), "utf-8")
        self.password_file.chmod(0o600)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def network_file(self) -> Path:
        return self.folder / "network.json"

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    def stop(self) -> None:
        """Stop agents first, then IPFS nodes, then the chain."""
        for name in reversed(list(self.processes)):
            self.processes[name].stop()
        self.processes.clear()

    # -- processes ---------------------------------------------------------------------------------------------------------------

    def spawn(
        self, name: str, argv: Sequence[str], env: dict[str, str] | None = None, on_line: Callable[[str], None] | None = None
    ) -> Process:
        """Start a process in a group of its own, so that Ctrl-C reaches only this one, which then stops the rest in order."""
        log = self.logs / f"{name}.log"
        stream = log.open("a", encoding="utf-8")
        popen = self.popen(
            list(argv),
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if on_line else stream,
            stderr=stream if on_line else subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        process = Process(name, log, popen)
        if on_line is not None:
            process.reader = threading.Thread(target=_pump, args=(popen, stream, on_line), name=f"read-{name}", daemon=True)
            process.reader.start()
        else:
            stream.close()
        self.processes[name] = process
        return process

    def check_alive(self) -> None:
        """Raises StepFailed if a chain or IPFS process ended by itself."""
        for name, process in self.processes.items():
            if not name.startswith("agent-") and process.popen.poll() is not None:
                raise StepFailed(name, f"ended with exit code {process.popen.returncode}", process.log)

    def run(self, step: str, argv: Sequence[str], env: dict[str, str] | None = None, timeout: float = 300.0) -> str:
        """Run a command to its end and return its standard output; its whole output goes to the step's log."""
        log = self.logs / f"{step}.log"
        with self.popen(
            list(argv),
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise StepFailed(step, f"no end after {timeout:.0f} s", log) from None
            except BaseException:
                process.kill()
                raise
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"$ {' '.join(argv)}\n{output}{errors}")
        if process.returncode != 0:
            lines = [line for line in (errors or output).splitlines() if line.strip()]
            raise StepFailed(
                step, next((x for x in lines if x.startswith("error:")), lines[-1] if lines else f"exit code {process.returncode}"), log
            )
        return output

    # -- the chain ---------------------------------------------------------------------------------------------------------------

    def start_chain(self) -> None:
        """Anvil (default) or Ganache on a free loopback port; started again, Anvil goes on with its state on the same port."""
        port = int(self.rpc.rpartition(":")[2]) if self.rpc else free_port()
        self.rpc = f"http://127.0.0.1:{port}"
        self.spawn("chain", _chain_command(self.chain, port, self.folder / "chain-state.json"))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                rpc_call(self.rpc, "eth_chainId")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise StepFailed("chain", f"no answer on {self.rpc}", self.logs / "chain.log")

    def deploy(self) -> None:
        """`brownie run deploy` with all organisations as founders; writes the network file."""
        with one_brownie():
            # Brownie's own record of a deployment that was cut short would make it refuse to connect to this new chain.
            shutil.rmtree(ROOT / "build" / "brownie" / "deployments" / str(CHAIN_ID), ignore_errors=True)
            self.brownie("deploy", DEFEDBIO_FOUNDERS=",".join(o.address for o in self.organisations))

    def brownie(self, script: str, *args: str, **env: str) -> str:
        """`brownie run SCRIPT` on this chain, with a brownie home of this consortium's own."""
        home = self.folder / "brownie"
        settings = {**brownie_environment(home), "DEFEDBIO_NETWORK": str(self.network_file), **env}
        if not home.exists():
            home.mkdir(parents=True)
            add = ["networks", "add", "LocalEth", "consortium", f"host={self.rpc}", f"chainid={CHAIN_ID}"]
            self.run("brownie-network", [_brownie(), *add], settings)
        return self.run(f"brownie-{script}", [_brownie(), "run", script, *args, "--network", "consortium"], settings)

    def fund(self) -> None:
        """Give every organisation gas money from the local chain's first account."""
        try:
            (rich, *_) = rpc_call(self.rpc, "eth_accounts")
            for organisation in self.organisations:
                rpc_call(self.rpc, "eth_sendTransaction", {"from": rich, "to": organisation.address, "value": hex(FUNDS_WEI)})
        except OSError as error:
            self.check_alive()
            raise StepFailed("chain", f"{self.rpc} does not answer: {error}", self.logs / "chain.log") from None

    # -- organisations -----------------------------------------------------------------------------------------------------------

    def environment(self, organisation: Organisation) -> dict[str, str]:
        return {
            "DEFEDBIO_HOME": str(organisation.home),
            "DEFEDBIO_NETWORK": str(self.network_file),
            "DEFEDBIO_RPC": self.rpc,
            "DEFEDBIO_IPFS": organisation.ipfs_api or "/ip4/127.0.0.1/tcp/1",
            "DEFEDBIO_PASSWORD_FILE": str(self.password_file),
        }

    def cli(self, organisation: Organisation, *args: str, timeout: float = 300.0) -> dict[str, Any]:
        """One `defedbio … --json` command of this organisation."""
        step = f"{organisation.name}-{'-'.join(a for a in args[:2] if not a.startswith('-') and '/' not in a)}"
        output = self.run(step, [*cli_command(), *args, "--json"], self.environment(organisation), timeout)
        return dict(json.loads(output)) if output.strip().startswith("{") else {"rows": json.loads(output or "[]")}

    def each(self, *args: str, timeout: float = 300.0) -> list[dict[str, Any]]:
        """The same command at every organisation, side by side."""
        with ThreadPoolExecutor(len(self.organisations)) as pool:
            return list(pool.map(lambda o: self.cli(o, *args, timeout=timeout), self.organisations))

    def create_accounts(self) -> None:
        for organisation, account in zip(self.organisations, self.each("account", "new"), strict=True):
            organisation.address = account["address"]

    def start_ipfs(self, organisation: Organisation) -> None:
        """The organisation's embedded node, through `defedbio ipfs serve`; ready when it says so."""
        ready = threading.Event()

        def on_line(line: str) -> None:
            if not ready.is_set() and line.startswith("{"):
                organisation.ipfs_api = json.loads(line)["rpc"]
                ready.set()

        name = f"ipfs-{organisation.name}"
        # Started again, the node is where its registered multiaddress and its agent look for it.
        rpc_port = organisation.ipfs_api.rpartition("/")[2] or "0"
        organisation.ipfs_listen = organisation.ipfs_listen or f"/ip4/127.0.0.1/tcp/{free_port()}"
        argv = [*cli_command(), "ipfs", "serve", "--rpc-port", rpc_port, "--listen", organisation.ipfs_listen, "--json"]
        process = self.spawn(name, argv, self.environment(organisation), on_line)
        deadline = time.monotonic() + START_SECONDS
        while not ready.wait(0.1):
            if process.popen.poll() is not None or time.monotonic() > deadline:
                raise StepFailed(name, "the IPFS node did not start", process.log)

    def start_explorer(self, organisation: Organisation) -> str:
        """The organisation's explorer on a free port; returns its address once it answers."""
        ready = threading.Event()
        found: list[str] = []

        def on_line(line: str) -> None:
            if not ready.is_set() and "http://" in line:
                found.append("http://" + line.split("http://", 1)[1].strip())
                ready.set()

        process = self.spawn("explorer", [*cli_command(), "explorer", "--port", "0"], self.environment(organisation), on_line)
        deadline = time.monotonic() + START_SECONDS
        while not ready.wait(0.1):
            if process.popen.poll() is not None or time.monotonic() > deadline:
                raise StepFailed("explorer", "the explorer did not start", process.log)
        return found[0]

    def start_all_ipfs(self) -> None:
        with ThreadPoolExecutor(len(self.organisations)) as pool:
            list(pool.map(self.start_ipfs, self.organisations))

    def register(self) -> None:
        with ThreadPoolExecutor(len(self.organisations)) as pool:
            list(pool.map(lambda o: self.cli(o, "register", "--name", o.name), self.organisations))

    def ceremony(self, bits: int, threshold: int, dealer: int = 0) -> int:
        """Deal at one organisation, confirm at all; returns the key epoch."""
        holders = [part for o in self.organisations for part in ("--holder", o.address)]
        epoch = self.cli(self.organisations[dealer], "ceremony", "deal", "--bits", str(bits), "--threshold", str(threshold), *holders)[
            "epoch"
        ]
        self.each("ceremony", "confirm", "--epoch", str(epoch))
        return int(epoch)

    def ceremony_together(self, bits: int, threshold: int, tell: Callable[[str], None] = lambda line: None) -> int:
        """Make a key without a dealer: every organisation holds a share, in a process of its own, and the first `threshold` do the work.
        Returns the key epoch. `tell` gets, of each step when it begins, what the first holder says of it."""
        number = self.announce(bits, threshold)
        parts = [self.take_part(o, number, max(1, (os.cpu_count() or 1) // threshold)) for o in self.organisations]
        deadline = time.monotonic() + CEREMONY_SECONDS
        told = 0
        while any(part.popen.poll() is None for part in parts):
            self.check_alive()
            for part in parts:
                if part.popen.poll():
                    raise StepFailed(part.name, f"ended with exit code {part.popen.returncode}", part.log)
            if time.monotonic() > deadline:
                raise StepFailed("ceremony", f"no end after {CEREMONY_SECONDS:.0f} s", parts[0].log)
            begun = _steps(parts[0].log.read_text("utf-8"))
            for line in begun[told:]:
                tell(line)
            told = len(begun)
            time.sleep(0.5)
        return int(self.cli(self.organisations[0], "ceremony", "progress", "--ceremony", str(number))["epoch"])

    def announce(self, bits: int, threshold: int) -> int:
        """The number of a ceremony without a dealer in which all organisations are holders."""
        holders = ",".join(o.address for o in self.organisations)
        sizes = ["--threshold", str(threshold), "--bits", str(bits), "--step-seconds", "86400"]
        return int(self.cli(self.organisations[0], "ceremony", "propose", "--holders", holders, *sizes)["ceremony"])

    def take_part(self, organisation: Organisation, ceremony: int, threads: int = 1) -> Process:
        """The organisation's process in a ceremony; what it says goes to its log."""
        argv = [*cli_command(), "ceremony", "take-part", "--ceremony", str(ceremony), "--yes", "--threads", str(threads), "--json"]
        return self.spawn(f"agent-{organisation.name}-ceremony-{ceremony}", argv, self.environment(organisation))

    def open_study(self, spec: dict[str, Any], coordinator: int = 0) -> int:
        path = self.folder / "study.json"
        path.write_text(json.dumps(spec, indent=1), "utf-8")
        return int(self.cli(self.organisations[coordinator], "study", "create", str(path))["study"])

    def join(self, study: int) -> None:
        self.each("study", "join", str(study), "--yes")

    def start_agent(self, organisation: Organisation, study: int, on_record: Callable[[dict[str, Any]], None], *extra: str) -> Process:
        """The organisation's agent process; its JSON records go to `on_record` and to its log."""
        argv = [*cli_command(), "run", "--study", str(study), "--poll", "0.2", "--json", *extra]
        if organisation.data is not None:
            argv += ["--data", str(organisation.data)]

        def on_line(line: str) -> None:
            if line.startswith("{"):
                on_record(json.loads(line))

        return self.spawn(f"agent-{organisation.name}", argv, self.environment(organisation), on_line)


def _steps(log: str) -> list[str]:
    """Of what `ceremony take-part` said, the first line of each step under its name."""
    lines = [line for line in log.splitlines() if ": step " in line]
    return [line for before, line in pairwise(["", *lines]) if before.partition(":")[0] != line.partition(":")[0]]


def cli_command() -> list[str]:
    return [sys.executable, "-m", "defedbio"]


def brownie_environment(home: Path) -> dict[str, str]:
    """Brownie with a home of the project's own, the pinned compiler, and Anvil on the path."""
    anvil = _anvil()
    path = os.pathsep.join([str(anvil.parent), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {"HOME": str(home), "SOLCX_BINARY_PATH": str(ROOT / "build" / "solc"), "PATH": path, "PYTHONWARNINGS": "ignore"}


@contextmanager
def one_brownie() -> Iterator[None]:
    """Wait until no other process runs brownie in this checkout: it writes what it compiles and deploys into build/brownie."""
    with (ROOT / "build" / "brownie.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _brownie() -> str:
    return str(Path(sys.executable).parent / "brownie")


def _anvil() -> Path:
    """The platform's real binary: the `anvil` that npm links is a wrapper whose death leaves the node running."""
    binaries = sorted((ROOT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"))
    if not binaries:
        raise StepFailed("chain", "Anvil is not installed: run `make setup`", ROOT / "build" / "logs")
    return binaries[0]


def _chain_command(kind: str, port: int, state: Path) -> list[str]:
    if kind == "anvil":
        return [
            str(_anvil()),
            *("--port", str(port), "--chain-id", str(CHAIN_ID), "--hardfork", "osaka", "--base-fee", "1000000000"),
            *("--state", str(state), "--state-interval", "5"),
        ]
    node = shutil.which("node", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])) or "node"
    ganache = ROOT / "node_modules" / "ganache" / "dist" / "node" / "cli.js"
    return [
        node,
        str(ganache),
        "--server.host",
        "127.0.0.1",
        "--server.port",
        str(port),
        "--chain.chainId",
        str(CHAIN_ID),
        "--chain.hardfork",
        "shanghai",
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rpc_call(url: str, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error'].get('message')}")
    return answer["result"]


@contextmanager
def stopping(consortium: Consortium) -> Iterator[Consortium]:
    try:
        yield consortium
    finally:
        consortium.stop()


def _pump(popen: subprocess.Popen[str], stream: Any, on_line: Callable[[str], None]) -> None:
    assert popen.stdout is not None
    # Closed when `on_line` fails, so that the process ends rather than wait for a reader.
    with stream, popen.stdout:
        for line in popen.stdout:
            stream.write(line)
            stream.flush()
            on_line(line)
