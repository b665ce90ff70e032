"""How costs grow by organisations, parameters and rounds, with fitted exponents.

    python -m benchmarks.growth.run [--only members parameters rounds] [--long]

members: 3, 10, 30 and 100 organisations without keys beside a committee of 7 holders (4 open), transactions sent to the contracts on Anvil.
parameters: 10^4 and 10^5 (--long: to 10^7) through defedbio.crypto, three organisations, CPU seconds of one process and its peak memory.
rounds: 100, 300 and 1,000 rounds of 10 members, which a node follows from a start, in a process of its own.
Results go to build/benchmarks/growth.json, Markdown tables to standard output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.growth import fit, members, rounds

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "benchmarks" / "growth.json"
PARTS = ("members", "parameters", "rounds")
STEPS = ("encrypt and encode", "check", "aggregate", "share", "combine", "check the openings")


def by_parameters(folder: Path, sizes: list[int]) -> dict[str, Any]:
    """Each size in processes of its own (benchmarks.growth.memory)."""
    found = {}
    for size in sizes:
        output = folder / f"memory-{size}.json"
        command = [
            sys.executable,
            "-m",
            "benchmarks.growth.memory",
            "--organisations",
            "3",
            "--parameters",
            str(size),
            "--output",
            str(output),
        ]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        found[str(size)] = json.loads(output.read_text())
    return found


def tables(report: dict[str, Any]) -> Iterator[str]:
    if found := report.get("members"):
        sizes = [int(size) for size in found]
        yield from fit.header("organisations", sizes)

        def of(name: str, scale: float = 1.0, each: bool = False) -> dict[int, float]:
            return {int(s): r[name] * scale / (r["rounds"] if each else 1) for s, r in found.items()}

        yield fit.row("gas a member and round, of its own", of("gas_member_round"))
        yield fit.row("gas a holder and round, besides", of("gas_holder_round"))
        yield fit.row("gas of everything else, a round", of("gas_shared_round"))
        yield fit.row("events a round", of("events", each=True))
        yield fit.row("kB of events a round", of("event_bytes", 1e-3, True))
        yield fit.row("CPU ms to fetch and decode a round's events", of("fetch_s", 1e3, True))
        yield fit.row("CPU ms to fold a round's events", of("fold_s", 1e3, True))
        yield fit.row("µs to decide", of("decide_s", 1e6))
        yield fit.row(f"a holder's CPU s to check all updates ({members.SLOTS_PARAMETERS:,} parameters)", of("check_s"))
        yield fit.row("a holder's CPU s for the product and its prefixes", of("prefixes_s"))
        yield fit.row("MB that a holder fetches", of("bytes", 1e-6))
        gas = of("gas_member_round").values()
        yield ""
        yield f"Gas a member and round, of its own: {100 * (max(gas) / min(gas) - 1):.2f} % between the least and the most."
        yield ""
    if found := report.get("parameters"):
        sizes = [int(size) for size in found]
        yield from fit.header("parameters", sizes)
        for step in STEPS:
            yield fit.row(f"CPU s to {step}", {int(s): r["steps"][step]["seconds"] for s, r in found.items()})
        yield fit.row("MB of an update", {int(s): r["update_bytes"] / 1e6 for s, r in found.items()})
        yield fit.row(
            "peak MB above imports and table",
            {
                int(s): max(step["peak_mb"] for step in r["steps"].values()) - r["steps"]["encryption table"]["resident_mb"]
                for s, r in found.items()
            },
        )
        yield ""
    if found := report.get("rounds"):
        sizes = [int(size) for size in found]
        yield from fit.header("rounds", sizes)
        for title, name, scale in (
            ("events", "events", 1.0),
            ("CPU s of a first start, which reads them from the chain", "read_s", 1.0),
            ("CPU s of a start from what was saved", "restart_s", 1.0),
            ("MB that are saved", "saved_bytes", 1e-6),
            ("MB that view and feed hold", "kept_bytes", 1e-6),
            ("MB of it that are of past rounds", "past_bytes", 1e-6),
            ("MB by which the process grows in a first start", "read_bytes", 1e-6),
            ("MB by which it grows in a start from what was saved", "restart_bytes", 1e-6),
            ("µs to decide", "decide_s", 1e6),
            ("µs to say where the study stands", "tell_s", 1e6),
            ("CPU ms to poll a quiet chain", "poll_s", 1e3),
            ("MB of journal in the end", "journal_bytes", 1e-6),
            ("MB of it that are blobs of the last rounds", "journal_blobs", 1e-6),
            ("MB of journal at its largest", "journal_most", 1e-6),
            ("CPU ms to forget a round", "forget_s", 1e3),
        ):
            yield fit.row(title, {int(s): r[name] * scale for s, r in found.items()})
        yield ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--members", type=int, nargs="+", default=[3, 10, 30, 100])
    parser.add_argument("--gas-rounds", type=int, default=3, help="rounds a number of organisations, the first left out")
    parser.add_argument("--parameters", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--long", action="store_true", help="10^6 and 10^7 parameters too: about seven minutes more")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    report: dict[str, Any] = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    with tempfile.TemporaryDirectory(prefix="defedbio-growth-") as name:
        folder = Path(name)
        if "members" in arguments.only:
            report["members"] = members.measure(folder / "chain", sorted(arguments.members), arguments.gas_rounds, 3072)
        if "parameters" in arguments.only:
            report["parameters"] = by_parameters(folder, sorted(arguments.parameters + [1_000_000, 10_000_000] * arguments.long))
        if "rounds" in arguments.only:
            report["rounds"] = rounds.measure(folder, sorted(arguments.rounds), 10)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1), "utf-8")
    print("\n".join(tables({part: report[part] for part in PARTS if part in report})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
