"""`make demo`: four organisations train one blood-brain-barrier model together, encrypted, over a local chain and IPFS.

Everything runs through the command line that a real organisation uses; this script only starts it, watches, and compares the result with
local-only and pooled training. Facts go to build/demo/report.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from scripts.consortium import ROOT, Consortium, StepFailed
from scripts.demo_report import Ledger, comparison, final_text, write_report
from scripts.demo_screen import Screen

DEFAULT_FOLDER = ROOT / "build" / "demo"
SPEC = Path(__file__).with_name("demo_study.json")
AGENT_SECONDS = 1200.0
DEALT = "to be quick, one machine deals the key; `make demo CEREMONY=distributed` has the holders make it together, in minutes"


def main() -> int:
    arguments = parse_arguments()
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    console.print(
        f"[bold]DeFed-Bio demo[/]: {arguments.organisations} organisations, {arguments.bits}-bit keys, {arguments.threshold} open a sum"
    )
    consortium: Consortium | None = None
    keep = False
    try:
        names, files = prepare_data(arguments)
        consortium = Consortium(arguments.folder, names, chain=arguments.chain)
        facts = run(arguments, consortium, files, console)
        report = write_report(arguments.folder / "report.json", facts)
        console.print(final_text(report, consortium, arguments.folder), markup=False, soft_wrap=True)
        keep = arguments.keep
        if keep:
            wait_kept(consortium, report["explorer"], console)
        return 0
    except StepFailed as error:
        console.print(f"[red]failed[/] {error.step}: {error.reason}\n  read {error.log}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    finally:
        if consortium is not None:
            consortium.stop()
            console.print("everything that was started is stopped")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--organisations", type=int, default=4, help="literature sources to take as organisations, largest first after the four"
    )
    parser.add_argument("--threshold", type=int, default=0, help="holders needed to open a sum; a majority when absent")
    parser.add_argument("--rounds", type=int, default=0, help="training rounds; the study's when absent")
    parser.add_argument(
        "--ceremony",
        choices=("dealer", "distributed"),
        default="dealer",
        help="how the key is made: dealt by the first organisation, in seconds, or by all holders together, in minutes",
    )
    parser.add_argument("--bits", type=int, default=0, help="bits of the modulus; 3072 when absent, 2048 of a distributed ceremony")
    parser.add_argument("--chain", choices=("anvil", "ganache"), default="anvil")
    parser.add_argument("--seed", type=int, default=1, help="of the first model and of the comparison's local training")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--keep", action="store_true", help="leave chain, IPFS nodes, explorer and agents' folders up until Ctrl-C")
    arguments = parser.parse_args()
    if not 3 <= arguments.organisations <= 15:
        parser.error("--organisations must be 3 to 15")
    arguments.threshold = arguments.threshold or arguments.organisations // 2 + 1
    arguments.bits = arguments.bits or (3072 if arguments.ceremony == "dealer" else 2048)
    arguments.folder = arguments.folder.resolve()
    return arguments


def prepare_data(arguments: argparse.Namespace) -> tuple[list[str], dict[str, Path]]:
    """The organisations' names (their literature sources), and files by name. Tests: "external", "holdout", and each one's "NAME test"."""
    from scripts.demo_data import write

    folder = arguments.folder / "data"
    summary = write(folder, arguments.organisations)
    sites = {name.removesuffix(".csv").split("_")[1]: folder / name for name in summary["organisations"]}
    own_tests = {f"{site} test": folder / name for site, name in zip(sites, summary["tests"], strict=True)}
    return list(sites), {**sites, **own_tests, "external": folder / "external.csv", "holdout": folder / "holdout.csv"}


def run(arguments: argparse.Namespace, consortium: Consortium, files: dict[str, Path], console: Console) -> dict[str, Any]:
    """Set up, train, evaluate; returns the report's facts."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str, text: str) -> Iterator[None]:
        started = time.monotonic()
        with console.status(text):
            yield
        seconds[name] = round(time.monotonic() - started, 2)
        console.print(f"  {text:<58} {seconds[name]:7.1f} s")

    console.print("[bold]Set-up[/]")
    with timed("chain", f"start the chain ({consortium.chain})"):
        consortium.start_chain()
    with timed("accounts", "make an account and a transport key at each organisation"):
        consortium.create_accounts()
        consortium.fund()
    with timed("deploy", "deploy the contracts with `brownie run deploy`"):
        consortium.deploy()
    with timed("ipfs", "start one IPFS node at each organisation"):
        consortium.start_all_ipfs()
    with timed("register", "register each organisation on the chain"):
        consortium.register()
    if arguments.ceremony == "dealer":
        console.print(f"  {DEALT}", soft_wrap=True)
    quorum = f"{arguments.threshold} of {arguments.organisations}"
    with timed("ceremony", f"key ceremony ({arguments.ceremony}): {arguments.bits} bits, {quorum}"):
        epoch = make_key(arguments, consortium, console)
    spec = study_spec(arguments, epoch)
    with timed("study", "open the study, read and accept its spec, enrol"):
        study = consortium.open_study(spec)
        consortium.join(study)
    with timed("explorer", "start the round explorer"):
        explorer = consortium.start_explorer(consortium.organisations[0])
    console.print(f"  watch the rounds at [bold]{explorer}study/{study}[/]", soft_wrap=True)
    set_up = round(sum(seconds.values()), 2)
    console.print(f"[bold]Study {study}[/]: {spec['rounds']} training rounds, one agent process an organisation")
    ledger = Ledger(arguments.organisations)
    started = time.monotonic()
    train(consortium, study, files, spec, ledger, console)
    training_seconds = round(time.monotonic() - started, 2)
    with timed("compare", "train local-only and pooled with the same budget"):
        model = consortium.folder / "model.safetensors"
        got = consortium.cli(consortium.organisations[-1], "model", "get", "--study", str(study), "--out", str(model))
        sites = [o.name for o in consortium.organisations]
        parameters, metric = comparison(consortium.folder / "study.json", model, files, sites, arguments.seed)
    with timed("verify", "re-check the last round from chain and IPFS alone"):
        verified = consortium.cli(consortium.organisations[-1], "verify", str(got["round"]))["verified"]
    network = json.loads(consortium.network_file.read_text("utf-8"))
    return {
        "organisations": [o.name for o in consortium.organisations],
        "rounds": spec["rounds"],
        "steps": got["step"] + 1,
        "parameters": parameters,
        "modulus_bits": arguments.bits,
        "threshold": arguments.threshold,
        "ceremony": arguments.ceremony,
        "metric": metric,
        "seconds": {
            "setup": {phase: value for phase, value in seconds.items() if phase not in ("compare", "verify")},
            "setup_total": set_up,
            "by_phase": ledger.seconds_by_phase(),
            "total": training_seconds,
        },
        "bytes": ledger.bytes_by_phase(),
        "gas": ledger.gas_by_phase(),
        "bytes_per_parameter": ledger.bytes_per_parameter(parameters),
        "proof_bytes": ledger.proof_bytes(),
        "gas_per_member_round": ledger.gas_per_member_round(),
        "model_cid": got["cid"],
        "model_hash": got["hash"],
        "last_round": got["round"],
        "last_round_verified": verified,
        "chain": {"id": network["chain_id"], "rpc": consortium.rpc, "kind": consortium.chain},
        "contracts": network["contracts"],
        "study": study,
        "explorer": explorer,
    }


def make_key(arguments: argparse.Namespace, consortium: Consortium, console: Console) -> int:
    """The key epoch."""
    if arguments.ceremony == "dealer":
        return consortium.ceremony(arguments.bits, arguments.threshold)
    began = time.monotonic()

    def tell(line: str) -> None:
        step, left = line.partition(",")[0], line.partition("; ")[2]
        console.print(f"    {time.monotonic() - began:6.1f} s  {step:<12} {left}".rstrip(), soft_wrap=True)

    return consortium.ceremony_together(arguments.bits, arguments.threshold, tell)


def study_spec(arguments: argparse.Namespace, epoch: int) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(SPEC.read_text("utf-8"))
    spec["key"] = {"epoch": epoch, "modulus_bits": arguments.bits}
    spec["participants"] = {"seats": arguments.organisations, "minimum": 3}
    spec["rounds"] = arguments.rounds or spec["rounds"]
    spec["seed"] = arguments.seed
    return spec


def train(consortium: Consortium, study: int, files: dict[str, Path], spec: dict[str, Any], ledger: Ledger, console: Console) -> None:
    """One agent process an organisation, watched until all end."""
    screen = Screen(console, [o.name for o in consortium.organisations], spec["rounds"])
    lock = threading.Lock()

    def listen(name: str):  # type: ignore[no-untyped-def]
        def on_record(record: dict[str, Any]) -> None:
            with lock:
                ledger.take(name, record)
                screen.take(name, record)

        return on_record

    with screen:
        agents = []
        for organisation in consortium.organisations:
            organisation.data = files[organisation.name]
            agents.append(consortium.start_agent(organisation, study, listen(organisation.name)))
        deadline = time.monotonic() + AGENT_SECONDS
        while any(agent.popen.poll() is None for agent in agents):
            consortium.check_alive()
            for agent in agents:
                if agent.popen.poll() not in (None, 0):
                    raise StepFailed(agent.name, f"ended with exit code {agent.popen.returncode}: {_last_error(agent.log)}", agent.log)
            if time.monotonic() > deadline:
                raise StepFailed("training", f"no end after {AGENT_SECONDS:.0f} s", consortium.logs)
            with lock:
                screen.refresh()
            time.sleep(0.2)
        for agent in agents:
            if agent.popen.returncode != 0:
                raise StepFailed(agent.name, f"ended with exit code {agent.popen.returncode}: {_last_error(agent.log)}", agent.log)
            agent.stop()


def wait_kept(consortium: Consortium, explorer: str, console: Console) -> None:
    """Leave everything running until Ctrl-C, and say where it is."""
    console.print(f"kept: explorer {explorer}", soft_wrap=True)
    console.print(
        f"kept: chain {consortium.rpc}, contracts in {consortium.network_file}. To act as one of the organisations:", soft_wrap=True
    )
    shared = f"DEFEDBIO_NETWORK={consortium.network_file} DEFEDBIO_PASSWORD_FILE={consortium.password_file}"
    for o in consortium.organisations:
        console.print(f"  {o.name}: export {shared} DEFEDBIO_HOME={o.home} DEFEDBIO_IPFS={o.ipfs_api}", soft_wrap=True)
    console.print("Ctrl-C stops everything.")
    while True:
        consortium.check_alive()
        time.sleep(1.0)


def _last_error(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8").splitlines() if line.startswith(("error:", "  what"))]
    return " ".join(line.strip() for line in lines[-2:]) or "no message"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
