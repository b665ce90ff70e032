"""A real consortium for the session: Anvil, four IPFS nodes, four accounts, a 2048-bit 3-of-4 key. Each test opens a study of its own."""

from __future__ import annotations

import os
import queue
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.consortium import ROOT, Consortium, Organisation, Process, cli_command, stopping
from tests.anvil import deployed_at
from tests.integration.prefork import prefork

NAMES = ("alpha", "beta", "gamma", "delta")
FEATURES = 6
BITS, THRESHOLD = 2048, 3
PATIENCE = 150.0
COMMAND_SECONDS = 120.0


@dataclass
class Watch:
    """Collects one study's records; `wait_for` blocks until one satisfies a condition."""

    records: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    arrivals: queue.Queue[tuple[str, dict[str, Any]]] = field(default_factory=queue.Queue)

    def listener(self, name: str) -> Callable[[dict[str, Any]], None]:
        return lambda record: self.arrivals.put((name, record))

    def wait_for(self, condition: Callable[[str, dict[str, Any]], bool], seconds: float = PATIENCE) -> dict[str, Any]:
        """The next record that satisfies `condition`; records before it are kept in `records` and not looked at again."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                name, record = self.arrivals.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"nothing of the kind in {seconds} s; last: {self.records[-8:]}") from None
            self.records.append((name, record))
            if condition(name, record):
                return record

    def messages(self) -> str:
        while not self.arrivals.empty():
            self.records.append(self.arrivals.get())
        return "\n".join(f"{name} {record.get('message', '')}" for name, record in self.records if record["status"] == "note")


@dataclass
class Study:
    number: int
    consortium: Consortium
    watch: Watch = field(default_factory=Watch)

    def start(self, organisation: Organisation, *extra: str) -> Process:
        return self.consortium.start_agent(organisation, self.number, self.watch.listener(organisation.name), *extra)

    def finish(self, agents: list[Process], seconds: float = PATIENCE) -> None:
        """Wait until every agent ended by itself with success."""
        for agent in agents:
            assert agent.popen.wait(seconds) == 0, agent.log.read_text("utf-8")[-2000:]

    def rounds(self) -> list[dict[str, Any]]:
        return list(self.consortium.cli(self.consortium.organisations[0], "round", "list", "--study", str(self.number))["rows"])


def write_data(path: Path, rows: int, seed: int) -> None:
    """A linearly separable table with noise; made here, so that tests need no other data. No number in it comes about anywhere else."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(0, 10, (rows, FEATURES))
    y = (x[:, 0] + x[:, 1] - x[:, 2] + generator.normal(0, 1, rows) > 5).astype(int)
    header = ",".join([*(f"f{i}" for i in range(FEATURES)), "label"])
    lines = [",".join([*(f"{v:.12f}" for v in row), str(label)]) for row, label in zip(x, y, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n", "utf-8")


def spec(epoch: int, rounds: int = 2, changes: dict[str, Any] | None = None, **deadlines: int) -> dict[str, Any]:
    """`changes` replace top-level fields."""
    # An idle Anvil's clock stands still, and enrolment counts from its newest block: other tests may take minutes in between.
    seconds = {"enrol": 3600, "commit": 60, "reveal": 60, "attest": 60, "aggregate": 60, "share": 60, "finalise": 60, **deadlines}
    return {
        "format": "defedbio-study/1",
        "name": "integration",
        "task": {"kind": "binary", "target": "label"},
        "features": {"kind": "table", "columns": [{"name": f"f{i}", "min": 0, "max": 10} for i in range(FEATURES)]},
        "preprocessing": {"standardise": "federated"},
        "model": {"kind": "logistic"},
        "training": {"learning_rate": 0.3, "steps": 20, "batch_size": 32},
        "rounds": rounds,
        "weighting": {"kind": "samples", "cap": 500},
        "quantisation": {"slot_bits": 24, "clip_norm": 5.0},
        "seed": 7,
        "key": {"epoch": epoch, "modulus_bits": BITS},
        "participants": {"seats": 4, "minimum": 3},
        "deadlines": seconds,
        **(changes or {}),
    }


def deploy(consortium: Consortium, artefacts: dict[str, dict[str, Any]]) -> None:
    """The contracts, with all organisations as founders. That `brownie run deploy` makes the same is for the demo's tests to show."""
    network = deployed_at(consortium.rpc, artefacts, [organisation.address for organisation in consortium.organisations])
    network.save(consortium.network_file)


def command(consortium: Consortium, organisation: Organisation, *args: object, **env: str) -> subprocess.CompletedProcess[str]:
    """A command of this organisation, however it ends; `env` comes on top of the organisation's settings."""
    argv = [*cli_command(), *map(str, args)]
    settings = {**os.environ, **consortium.environment(organisation), **env}
    with consortium.popen(
        argv, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=COMMAND_SECONDS)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, output, errors)


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory, artefacts: dict[str, dict[str, Any]]) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("consortium")
    with prefork() as popen, stopping(Consortium(folder, NAMES, popen=popen)) as made:
        made.start_chain()
        made.create_accounts()
        made.fund()
        deploy(made, artefacts)
        made.start_all_ipfs()
        made.register()
        for number, organisation in enumerate(made.organisations):
            organisation.data = folder / f"{organisation.name}.csv"
            write_data(organisation.data, 120 + 40 * number, seed=number)
        yield made


@pytest.fixture(scope="session")
def epoch(consortium: Consortium) -> int:
    return consortium.ceremony(BITS, THRESHOLD)


@pytest.fixture
def open_study(consortium: Consortium, epoch: int) -> Iterator[Callable[..., Study]]:
    started: list[Study] = []

    def make(**settings: Any) -> Study:
        number = consortium.open_study(spec(epoch, **settings))
        consortium.join(number)
        started.append(Study(number, consortium))
        return started[-1]

    yield make
    for name in [n for n in consortium.processes if n.startswith("agent-")]:
        consortium.processes.pop(name).stop()


@pytest.fixture(scope="session")
def finished(consortium: Consortium, epoch: int) -> Study:
    """A study that ran to its end: moments, a round of training, encrypted evaluation. Tests read it and leave it as it is."""
    number = consortium.open_study(spec(epoch, rounds=1, changes={"evaluation": {}}))
    consortium.join(number)
    study = Study(number, consortium)
    study.finish([study.start(o) for o in consortium.organisations])
    for name in [n for n in consortium.processes if n.startswith("agent-")]:
        consortium.processes.pop(name).stop()
    return study
