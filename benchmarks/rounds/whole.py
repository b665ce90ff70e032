"""Whole rounds of a real consortium, encrypted, and the same study federated in plain over the same IPFS nodes.

    python -m benchmarks.rounds.whole [--organisations 4] [--rounds 4] [--hidden 100] [--steps 200] [--proofs none]
        [--flame FILE --py-spy PATH]

Four organisations by default, each with an agent process and an IPFS node, on Anvil, through scripts/consortium.py: 1,000 features and a
hidden layer of 100 are 100,201 parameters. The first round (means and variances) warms everything up and is left out. Seconds by phase are
the agents' own records, means over organisations and rounds; waiting is what is left of a round: looking for the others' transactions, and
standing by while another does what one does for all. `prove` and `verify-proofs` are the contribution's proof, made once and checked by
every node; with `--proofs none` the study asks for none. CPU seconds are the kernel's, of all threads, by kind of process.
Results go to build/benchmarks/rounds.json, Markdown tables to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.rounds.study import spec, write_data
from scripts.consortium import ROOT, Consortium, Process, StepFailed, stopping

OUTPUT = ROOT / "build" / "benchmarks" / "rounds.json"
TRANSACTIONS = (
    *("start-round", "commit", "reveal", "attest", "post-aggregate", "post-share", "post-part", "post-opening"),
    *("attest-model", "advance"),
)
NOT_PHASES = ("note", "chain", "round", "load-data", "state")
LIMIT_SECONDS = 900.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of what it started, so far; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:13])) / TICKS + sum(map(cpu_seconds, children))


class Watch:
    """Wall clock and CPU time by kind of process when the first organisation sees a round begin, and at the end of the last."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium, self._lock = consortium, threading.Lock()
        self.begun: dict[int, dict[str, float]] = {}
        self._end: dict[str, float] = {}

    def now(self) -> dict[str, float]:
        kinds = {"agents": 0.0, "chain": 0.0, "ipfs": 0.0}
        for name, process in list(self._consortium.processes.items()):
            kinds["ipfs" if name.startswith("ipfs") else "chain" if name == "chain" else "agents"] += cpu_seconds(process.popen.pid)
        return {"wall": time.monotonic(), **kinds}

    def begin(self, round_: int) -> None:
        with self._lock:
            if round_ not in self.begun:
                self.begun[round_] = self.now()

    def end(self) -> None:
        """The last call counts."""
        with self._lock:
            self._end = self.now()

    def measured(self) -> list[int]:
        """The rounds after the first."""
        return sorted(self.begun)[1:]

    def took(self) -> list[dict[str, float]]:
        """What each of these took."""
        marks = [*(self.begun[r] for r in self.measured()), self._end]
        return [{kind: after[kind] - before[kind] for kind in after} for before, after in pairwise(marks)]


class Records:
    """The agents' records of done phases, by round, phase and organisation."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._lock = watch, threading.Lock()
        self.phases: dict[tuple[int, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))

    def listen(self, name: str):  # type: ignore[no-untyped-def]
        def on_record(record: dict[str, Any]) -> None:
            phase, round_ = record["phase"], int(record.get("round") or 0)
            if phase == "chain" and record.get("entered") == "open":
                self._watch.begin(round_)
            elif phase == "chain" and record.get("entered") == "finalised" and round_ == max(self._watch.begun, default=0):
                self._watch.end()
            elif record["status"] in ("done", "failed") and phase not in NOT_PHASES:
                with self._lock:
                    at = self.phases[round_, phase][name]
                    for amount in ("seconds", "bytes", "gas", "received", "sent"):
                        at[amount] += record.get(amount, 0)

        return on_record

    def table(self, rounds: list[int], organisations: int) -> dict[str, dict[str, float]]:
        """By phase: mean seconds an organisation and round; bytes and gas of all organisations a round."""
        found: dict[str, dict[str, float]] = {}
        for phase in sorted({phase for _, phase in self.phases}):
            every = [amounts for r in rounds for amounts in self.phases.get((r, phase), {}).values()]
            if every:
                found[phase] = {"seconds": sum(a["seconds"] for a in every) / (len(rounds) * organisations)}
                found[phase] |= {k: sum(a[k] for a in every) / len(rounds) for k in ("gas", "received", "sent")}
        return found


def set_up(folder: Path, organisations: int, bits: int, document: dict[str, Any]) -> tuple[Consortium, int]:
    consortium = Consortium(folder, [f"site{i}" for i in range(organisations)])
    try:
        consortium.start_chain()
        consortium.create_accounts()
        consortium.fund()
        consortium.deploy()
        consortium.start_all_ipfs()
        consortium.register()
        document["key"]["epoch"] = consortium.ceremony(bits, organisations // 2 + 1)
        study = consortium.open_study(document)
        consortium.join(study)
    except BaseException:
        consortium.stop()
        raise
    return consortium, study


def encrypted(consortium: Consortium, study: int, files: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    watch = Watch(consortium)
    records = Records(watch)
    agents: list[Process] = []
    for organisation, data in zip(consortium.organisations, files, strict=True):
        organisation.data = data
        agents.append(consortium.start_agent(organisation, study, records.listen(organisation.name), "--no-metrics"))
    spy = None
    deadline = time.monotonic() + LIMIT_SECONDS
    while any(agent.popen.poll() is None for agent in agents):
        consortium.check_alive()
        if time.monotonic() > deadline or any(agent.popen.poll() not in (None, 0) for agent in agents):
            raise StepFailed("agents", "did not come to an end", consortium.logs)
        if arguments.flame and spy is None and len(watch.begun) > 1:
            command = [arguments.py_spy, "record", "--format", "flamegraph", "--rate", "50", "--output", str(arguments.flame)]
            spy = subprocess.Popen([*command, "--pid", str(agents[0].popen.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.05)
    if spy is not None:
        spy.wait(60)
    each = watch.took()
    return {"rounds": each, "phases": records.table(watch.measured(), len(agents)), "seconds": [r["wall"] for r in each]}


def plain(consortium: Consortium, spec_path: Path, files: list[Path], rounds: int) -> dict[str, Any]:
    """The same steps without chain and encryption; the first site averages."""
    watch = Watch(consortium)
    answers: list[list[dict[str, Any]]] = []
    sites: list[subprocess.Popen[str]] = []

    def everyone(message: dict[str, Any], but: int | None = None) -> None:
        for index, site in enumerate(sites):
            if index != but and site.stdin is not None:
                site.stdin.write(json.dumps(message) + "\n")
                site.stdin.flush()

    def hear(index: int) -> dict[str, Any]:
        stream = sites[index].stdout
        line = stream.readline() if stream is not None else ""
        if not line:
            raise StepFailed("plain", f"site {index} ended", consortium.logs)
        return dict(json.loads(line))

    with ExitStack() as stack:
        for index, (organisation, data) in enumerate(zip(consortium.organisations, files, strict=True)):
            command = [sys.executable, "-m", "benchmarks.rounds.plain", str(spec_path), str(data), organisation.ipfs_api, str(index)]
            sites.append(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
                )
            )
            stack.callback(sites[-1].kill)
            consortium.processes[f"agent-plain-{index}"] = Process(f"plain-{index}", consortium.logs, sites[-1])
        for index in range(len(sites)):
            hear(index)
        everyone({"go": True})
        for round_ in range(rounds):
            watch.begin(round_)
            answers.append([hear(index) for index in range(len(sites))])
            first = sites[0].stdin
            assert first is not None
            first.write(json.dumps({"cids": [a["cid"] for a in answers[-1]]}) + "\n")
            first.flush()
            everyone(hear(0), but=0)
            for index in range(len(sites)):
                hear(index)
            watch.end()
            everyone({"next": True})
        for index in range(len(sites)):
            sites[index].wait(60)
            consortium.processes.pop(f"agent-plain-{index}")
    each = watch.took()
    return {
        "rounds": each,
        "seconds": [r["wall"] for r in each],
        "train": mean(a["train"] for step in answers[1:] for a in step),
        "bytes": sum(a["bytes"] for a in answers[-1]),
    }


def cpu(row: dict[str, float]) -> float:
    return row["agents"] + row["chain"] + row["ipfs"]


def on_own_machines(run: dict[str, Any], organisations: int) -> float:
    """About how many seconds a round would take where every organisation had a machine to itself: its part of the computation, which is
    alike for all, on one core, and the time that transactions wait to be mined here. The network is taken to be as fast as loopback."""
    mined = sum(amounts["seconds"] for phase, amounts in run.get("phases", {}).items() if phase in TRANSACTIONS)
    return mean((r["agents"] + r["ipfs"]) / organisations for r in run["rounds"]) + mined


def tables(report: dict[str, Any]) -> Iterator[str]:
    secret, open_ = report["encrypted"], report["plain"]
    wall = mean(secret["seconds"])
    order = sorted(secret["phases"].items(), key=lambda item: -item[1]["seconds"])
    yield "| phase | s an organisation | % of the round | MB from IPFS, all | MB to IPFS, all | gas, all |"
    yield "|---|---|---|---|---|---|"
    work = [(n, p) for n, p in order if n not in TRANSACTIONS]
    sent = [(n, p) for n, p in order if n in TRANSACTIONS]
    spent = sum(p["seconds"] for _, p in order)

    def row(name: str, p: dict[str, float]) -> str:
        return (
            f"| {name} | {p['seconds']:.2f} | {100 * p['seconds'] / wall:.0f} | {p['received'] / 1e6:.2f} | {p['sent'] / 1e6:.2f} "
            f"| {p['gas']:,.0f} |"
        )

    for name, p in work:
        yield row(name, p)
    yield row(
        f"transactions until mined ({len(sent)} kinds)", {k: sum(p[k] for _, p in sent) for k in ("seconds", "received", "sent", "gas")}
    )
    yield row("waiting for others and looking at the chain", {"seconds": wall - spent, "received": 0, "sent": 0, "gas": 0})
    yield row("**round**", {"seconds": wall, **{k: sum(p[k] for _, p in order) for k in ("received", "sent", "gas")}})
    yield ""
    yield "| a round | wall s, median (least to most) | CPU s | agents | IPFS nodes | chain |"
    yield "|---|---|---|---|---|---|"
    for name, run in (("encrypted", secret), ("plain", open_)):
        s, means = run["seconds"], {k: mean(r[k] for r in run["rounds"]) for k in ("agents", "ipfs", "chain")}
        yield (
            f"| {name} | {median(s):.2f} ({min(s):.2f} to {max(s):.2f}) | {sum(means.values()):.2f} "
            f"| {means['agents']:.2f} | {means['ipfs']:.2f} | {means['chain']:.2f} |"
        )
    walls = [median(run["seconds"]) for run in (secret, open_)]
    cpus = [mean(map(cpu, run["rounds"])) for run in (secret, open_)]
    yield f"| ratio | {walls[0] / walls[1]:.1f} | {cpus[0] / cpus[1]:.1f} | | | |"
    yield ""
    added, added_cpu = walls[0] - walls[1], cpus[0] - cpus[1]
    yield f"Encryption and the chain add {added:.2f} s a round ({added_cpu:.2f} CPU s), {added / walls[1]:.1f} times the plain round;"
    yield f"training takes {open_['train']:.2f} s of it. At 1.5 times, a plain round would have to take {added / 1.5:.1f} s."
    apart, apart_plain = (on_own_machines(run, report["options"]["organisations"]) for run in (secret, open_))
    yield ""
    yield f"On machines of their own, one core at work on each, a round would take about {apart:.1f} s, a plain one {apart_plain:.1f} s."


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rounds.whole", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--organisations", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4, help="measured rounds, after the one that warms up")
    parser.add_argument("--hidden", type=int, default=100, help="width of the hidden layer: 1,002 parameters each, and one")
    parser.add_argument("--steps", type=int, default=200, help="minibatches of 64 that an organisation trains a round")
    parser.add_argument("--bits", type=int, default=3072)
    parser.add_argument("--proofs", choices=("required", "none"), default="required", help="what the study's spec says of proofs")
    parser.add_argument("--flame", type=Path, help="write a flame graph of the first organisation's agent here")
    parser.add_argument("--py-spy", default=shutil.which("py-spy") or "py-spy", help="the py-spy to draw it with")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    document = spec(arguments.organisations, arguments.hidden, arguments.rounds, arguments.steps, arguments.bits) | {
        "proofs": arguments.proofs
    }
    with tempfile.TemporaryDirectory(prefix="defedbio-rounds-") as name:
        folder = Path(name)
        files = write_data(folder, arguments.organisations)
        consortium, study = set_up(folder / "consortium", arguments.organisations, arguments.bits, document)
        with stopping(consortium):
            secret = encrypted(consortium, study, files, arguments)
            open_ = plain(consortium, consortium.folder / "study.json", files, arguments.rounds + 1)
    parameters = arguments.hidden * 1002 + 1
    report = {
        "options": {k: v for k, v in vars(arguments).items() if isinstance(v, int)}
        | {"parameters": parameters, "proofs": arguments.proofs},
        "encrypted": secret,
        "plain": open_,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1), "utf-8")
    print("\n".join(tables(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
