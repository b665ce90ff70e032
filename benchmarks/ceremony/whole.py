"""Whole key ceremonies without a dealer: `python -m benchmarks.ceremony.whole [--bits 2048] [--threshold 3] [--holders 4] [--runs 10]`.

A chain, IPFS nodes and one process a holder, started here on this machine, make a key by the commands that operators use. Printed is when
each step began, in seconds from the announcement, and of several runs the median and the time in which nine of ten ended. With --kill, the
second holder is killed in every step and started again.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from statistics import median

from scripts.consortium import Consortium, stopping

POLL_SECONDS = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description="a whole key ceremony on this machine")
    parser.add_argument("--bits", type=int, default=3072)
    parser.add_argument("--threshold", type=int, default=3)
    parser.add_argument("--holders", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="of each holder")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--kill", action="store_true", help="kill the second holder in every step")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        stopping(Consortium(Path(folder), [f"holder-{i + 1}" for i in range(args.holders)])) as made,
    ):
        made.start_chain()
        made.create_accounts()
        made.fund()
        made.deploy()
        made.start_all_ipfs()
        made.register()
        seconds = sorted(ceremony(made, args) for _ in range(args.runs))
    if args.runs > 1:
        shown = ", ".join(f"{each:.0f}" for each in seconds)
        nine_of_ten = seconds[math.ceil(0.9 * args.runs) - 1]
        print(f"{args.runs} ceremonies: median {median(seconds):.0f} s, nine of ten within {nine_of_ten:.0f} s ({shown})")


def ceremony(made: Consortium, args: argparse.Namespace) -> float:
    """Seconds from the announcement until all processes of the holders have ended."""
    first, second = made.organisations[:2]
    number = made.announce(args.bits, args.threshold)
    began = time.monotonic()
    agents = {each.name: made.take_part(each, number, args.threads) for each in made.organisations}
    last = -1
    while agents[first.name].popen.poll() is None:
        shown = made.cli(first, "ceremony", "progress", "--ceremony", str(number))
        step = shown["step"] + bool(shown["epoch"])
        if step != last:
            last = step
            print(f"step {step:2} {time.monotonic() - began:9.1f} s  {shown['status']}", flush=True)
            if args.kill and shown["status"] == "running":
                agents[second.name].kill()
                agents[second.name] = made.take_part(second, number, args.threads)
        time.sleep(POLL_SECONDS)
    codes = [agent.popen.wait() for agent in agents.values()]
    took = time.monotonic() - began
    print(f"ended after {took:.1f} s, exit codes {codes}")
    if any(codes):
        raise SystemExit(agents[first.name].log.read_text("utf-8")[-2000:])
    epoch = made.cli(first, "ceremony", "progress", "--ceremony", str(number))["epoch"]
    state = made.cli(first, "ceremony", "show", "--epoch", str(epoch))
    print(f"key epoch {epoch}: {state['status']}, {state['bits']} bits, transcript verified: {state['transcript_verified']}", flush=True)
    return took


if __name__ == "__main__":
    main()
