"""Encrypted sums side by side: `make bench`, or `python -m benchmarks.crypto.compare [--quick] [--only native ckks] ...`.

Every contender sums the same vectors in a process of its own, on one core, checks its sum against the plain one, and reports CPU and wall
time of each step (medians of several repetitions), bytes and peak memory. What would take hours is measured on fewer parameters and marked.
Results go to build/benchmarks/crypto.json, a Markdown table to standard output, progress to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.crypto import table
from benchmarks.crypto.contenders import CONTENDERS, Contender

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "benchmarks" / "crypto.json"
APART = ROOT / ".venv-bench" / "bin" / "python"
LIMIT = "limit"
ORGANISATIONS = 10
QUICK_PARAMETERS, QUICK_NUMBERS = 500, 10
# Libraries that bring threads of their own stay on one; Flower reports nothing home.
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
ALONE |= {"FLWR_TELEMETRY_ENABLED": "0", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


class Runner:
    """Starts workers on one core, one after the other. This process stays small: a child's peak memory is never below its parent's."""

    def __init__(self, cpu: int, repeat: int) -> None:
        self._cpu, self._repeat = cpu, repeat

    def contender(self, contender: Contender, parameters: int, bits: int) -> dict[str, Any]:
        python = APART if contender.apart else Path(sys.executable)
        if not python.exists():
            raise SystemExit(f"{contender.title} needs {python.relative_to(ROOT)}: `make bench` makes it, --only leaves contenders out")
        words = [contender.name, parameters, bits, ORGANISATIONS, self._repeat, self._cpu]
        return self._run(contender.title, [python, "-m", "benchmarks.crypto.worker", *words])

    def limit(self, library: Path, bits: int) -> dict[str, Any]:
        words = [library, bits, max(3, self._repeat), self._cpu]
        return self._run("the raw multiply limit", [sys.executable, "-m", "benchmarks.crypto.limit", *words])

    def _run(self, what: str, command: Sequence[object]) -> dict[str, Any]:
        done = subprocess.run([str(word) for word in command], cwd=ROOT, env=os.environ | ALONE, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{done.stderr.strip()}\n{what} failed; nothing was written")
        return dict(json.loads(done.stdout.splitlines()[-1]))


def cases(contenders: Sequence[Contender], args: argparse.Namespace) -> Iterator[tuple[Contender, int, int, int | None]]:
    """(contender, parameters, parameters measured, bits); a contender without a modulus comes once for each size."""
    for contender in contenders:
        for size in args.parameters:
            most = contender.at_most or size
            if args.quick and contender.one_by_one:
                most = QUICK_NUMBERS
            for modulus in args.bits if contender.keyed else (None,):
                yield contender, size, min(size, most), modulus


def compare(args: argparse.Namespace) -> dict[str, Any]:
    vector = "avx512ifma" in _cpuinfo("flags").split()
    if not vector:
        _say("without the native kernel and the raw multiply limit: this processor lacks AVX-512-IFMA\n")
    chosen = [c for c in CONTENDERS if c.name in args.only and (vector or c.name != table.NATIVE)]
    runner = Runner(args.cpu, args.repeat)
    measured: dict[tuple[str, int, int | None], dict[str, Any]] = {}
    results = []
    for contender, size, fewer, modulus in cases(chosen, args):
        key = (contender.name, fewer, modulus)
        if key not in measured:
            _say(f"{contender.title}, {fewer:,} parameters{f', {modulus} bits' if modulus else ''}: ")
            started = time.monotonic()
            measured[key] = runner.contender(contender, fewer, modulus or 0)
            _say(f"{time.monotonic() - started:.1f} s\n")
        facts = {"contender": contender.name, "title": contender.title, "decrypts": contender.decrypts}
        results.append({**facts, "parameters": size, "measured": fewer, "bits": modulus, **measured[key]})
    return {"results": results, "limit": _limits(runner, args) if vector and LIMIT in args.only else {}}


def _limits(runner: Runner, args: argparse.Namespace) -> dict[str, Any]:
    library = args.output.with_name("limit.so")
    source = Path(__file__).with_name("limit.c")
    try:
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True)
    except FileNotFoundError:
        _say("no raw multiply limit: there is no C compiler (cc)\n")
        return {}
    _say("raw multiply limit\n")
    return {str(bits): runner.limit(library, bits) for bits in args.bits}


def _cpuinfo(field: str) -> str:
    """A field of the first processor, empty where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(field)), "")


def _machine(cpu: int) -> dict[str, Any]:
    return {
        "processor": _cpuinfo("model name") or platform.processor(),
        "avx512ifma": "avx512ifma" in _cpuinfo("flags").split(),
        "cores": os.cpu_count(),
        "pinned_to": cpu if cpu >= 0 else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _last_core() -> int:
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    names = [c.name for c in CONTENDERS]
    parser = argparse.ArgumentParser(
        prog="benchmarks.crypto.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parameters", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="sizes of an update (default: %(default)s)"
    )
    parser.add_argument("--bits", type=int, nargs="+", default=[2048, 3072], choices=(512, 2048, 3072), help="moduli; 512 is for tests")
    parser.add_argument(
        "--only", nargs="+", default=[*names, LIMIT], choices=[*names, LIMIT], metavar="NAME", help=f"of {', '.join([*names, LIMIT])}"
    )
    parser.add_argument("--repeat", type=int, default=3, help="the fewest repetitions of a step (default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help=f"a smoke test: {QUICK_PARAMETERS} parameters, one by one {QUICK_NUMBERS}, each step once"
    )
    parser.add_argument("--cpu", type=int, default=_last_core(), help="the core to stay on, -1 for any (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the JSON goes (default: build/benchmarks/crypto.json)")
    args = parser.parse_args(words)
    if args.quick:
        args.parameters, args.repeat = [QUICK_PARAMETERS], 1
    if min(args.parameters) < 1 or args.repeat < 1:
        parser.error("parameters and repetitions must be positive")
    return args


def main(words: Sequence[str] | None = None) -> None:
    args = arguments(words)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    options = {"parameters": args.parameters, "bits": args.bits, "organisations": ORGANISATIONS, "repeat": args.repeat, "only": args.only}
    report = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine(args.cpu), "options": options, **compare(args)}
    args.output.write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(table.lines(report)))


if __name__ == "__main__":
    main()
