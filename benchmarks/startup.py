"""What the command line costs before it does anything: CPU seconds (user and system) and peak memory of whole processes.

    PYTHONPATH=. .venv/bin/python benchmarks/startup.py [--runs 7] [--only WORD]

Measured are `import typer, rich` alone, below which no command of typer's can be; the list of commands, a command's help, completions; and
each command that needs no torch, up to where it talks to the network: chain and IPFS are an endpoint that turns every request away at once.
The keystore of these runs is opened with next to no scrypt. `account new` makes real ones, which is nearly all of its time.
Another commit is measured by naming a folder where its agents/ is linked as defedbio, as `make types` links it:

    PYTHONPATH=build/import:. .venv/bin/python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from eth_account import Account

from defedbio.chain.network import CONTRACTS, Contracts, Network

PASSWORD = "a long enough password"
DEADLINES = dict.fromkeys(("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise"), 60)
SPEC: dict[str, Any] = {
    "format": "defedbio-study/1",
    "name": "startup",
    "task": {"kind": "binary", "target": "ill"},
    "features": {"kind": "table", "columns": [{"name": "age", "min": 0, "max": 100}, {"name": "dose", "min": 0, "max": 1}]},
    "model": {"kind": "logistic"},
    "training": {"learning_rate": 0.3, "steps": 10, "batch_size": 32},
    "rounds": 3,
    "quantisation": {"slot_bits": 32, "clip_norm": 5.0},
    "seed": 1,
    "key": {"epoch": 1},
    "participants": {"seats": 4},
    "deadlines": DEADLINES,
}
HELD = "0x" + "a1" * 20
# Every command that needs no torch. `new` is a home without an account; what is written is written where nothing is.
COMMANDS = (
    "doctor",
    "account new --home new",
    "account show",
    "ipfs serve --rpc-port 0",
    "register --name Example",
    "member list",
    f"ceremony deal --threshold 2 --holder {HELD} --holder {HELD} --holder {HELD}",
    "ceremony confirm --epoch 1",
    "ceremony show --epoch 1",
    "study create spec.json",
    "study show 1",
    "study join 1 --yes",
    "module list",
    "data check --spec spec.json --data mine.csv",
    "data check --study 1 --data mine.csv",
    "top --study 1 --once",
    "round list --study 1",
    "round show 1",
    "model list",
    "model get --study 1 --out written",
    "model card none --offline",
    "model report --study 1",
    "verify 1",
    "audit make --study 1 --out written",
    "audit check none",
    "explorer --port 0",
)
HELP = ("--help", "study --help", "study show --help", "run --help", "simulate --help", "model --help", "model predict --help")
COMPLETIONS = ("st", "study ", "run --")


class _Away(BaseHTTPRequestHandler):
    """Forbids everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def place() -> Iterator[dict[str, str]]:
    """A folder to run commands in, $PWD, and the environment that has them find there what they need but no chain and no IPFS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Away)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    try:
        with tempfile.TemporaryDirectory() as folder:
            _furnish(Path(folder), f"http://127.0.0.1:{port}")
            yield {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": ":".join(str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(":") if path),
                "HOME": folder,
                "PWD": folder,
                "DEFEDBIO_HOME": f"{folder}/home",
                "DEFEDBIO_NETWORK": f"{folder}/network.json",
                "DEFEDBIO_IPFS": f"/ip4/127.0.0.1/tcp/{port}",
                "DEFEDBIO_PASSWORD": PASSWORD,
                "DEFEDBIO_NODE": "/bin/false",  # no Node.js: a node is not started
            }
    finally:
        server.shutdown()
        server.server_close()


def _furnish(folder: Path, rpc: str) -> None:
    network = Network(31337, rpc, Contracts.of(*(f"0x{number:040x}" for number in range(1, len(CONTRACTS) + 1))))
    keystore = Account.encrypt(Account.create().key, PASSWORD, kdf="scrypt", iterations=2)
    source = "import torch\n\ndef build(spec):\n    return torch.nn.Linear(2, 1)\n"
    digest = hashlib.sha256(source.encode()).hexdigest()
    modules = folder / "home" / "modules"
    modules.mkdir(parents=True)
    for path, text in {
        folder / "network.json": network.to_json(),
        folder / "spec.json": json.dumps(SPEC),
        folder / "mine.csv": "age,dose,ill\n" + "".join(f"{20 + row},0.{row},{row % 2}\n" for row in range(60)),
        folder / "home" / "account.json": json.dumps(keystore),
        folder / "home" / "transport.json": json.dumps({"format": "defedbio-transport/1", "public": "1f" * 32, "box": {}}),
        modules / f"{digest}.py": source,
        modules / f"{digest}.json": json.dumps({"sha256": digest, "name": "own", "bytes": len(source)}),
    }.items():
        path.write_text(text, "utf-8")


def completing(words: str) -> dict[str, str]:
    """What a shell (bash) sets to ask how `defedbio words` may go on."""
    return {"_DEFEDBIO_COMPLETE": "complete_bash", "COMP_WORDS": f"defedbio {words}", "COMP_CWORD": str(len(words.split(" ")))}


@dataclass(frozen=True)
class Cost:
    seconds: float
    megabytes: float
    code: int


# The kernel counts what started a process as that process' peak, so what starts it is small: a Python with nothing in it.
START = """
import os, sys
nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=nowhere), 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
"""


def cost(arguments: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Of one process of this interpreter, from its start to its end."""
    command = [sys.executable, "-I", "-S", "-c", START, sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=environment["PWD"], stdout=subprocess.PIPE, text=True, check=True)
    seconds, megabytes, code = done.stdout.split()
    return Cost(float(seconds), float(megabytes), int(code))


def cases() -> dict[str, tuple[list[str], dict[str, str]]]:
    """By what the table calls it: a process' arguments and what it needs in its environment."""
    program = ["-m", "defedbio"]
    return {
        "import typer, rich": (["-c", "import typer, rich"], {}),
        "no argument": (program, {}),
        **{words: ([*program, *words.split()], {}) for words in HELP},
        **{f"defedbio {words}<TAB>": (program, completing(words)) for words in COMPLETIONS},
        **{words: ([*program, *words.split()], {}) for words in COMMANDS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="", help="measure only what has this in its name")
    options = parser.parse_args()
    print(f"{'':<62}{'CPU s':>7}{'lowest':>8}{'highest':>8}{'MB':>6}{'exit':>6}   of {options.runs} runs: median, spread")
    for name, (arguments, more) in cases().items():
        if options.only not in name:
            continue
        found = []
        for _ in range(options.runs):
            with place() as environment:
                found.append(cost(arguments, environment | more))
        seconds = [each.seconds for each in found]
        peak, code = statistics.median(each.megabytes for each in found), found[0].code
        print(f"{name[:60]:<62}{statistics.median(seconds):7.2f}{min(seconds):8.2f}{max(seconds):8.2f}{peak:6.0f}{code:6}", flush=True)


if __name__ == "__main__":
    main()
