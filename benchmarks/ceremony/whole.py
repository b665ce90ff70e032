"""A whole key ceremony without a dealer: `python -m benchmarks.ceremony.whole [--bits 3072] [--threshold 3] [--holders 4] [--threads 1]`.

A chain, IPFS nodes and one process a holder, started here on this machine, make a key by the commands that operators use. Printed is when
each step began, in seconds from the announcement. With --kill, the second holder is killed in every step and started again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from scripts.consortium import Consortium, stopping

POLL_SECONDS = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description="a whole key ceremony on this machine")
    parser.add_argument("--bits", type=int, default=3072)
    parser.add_argument("--threshold", type=int, default=3)
    parser.add_argument("--holders", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="of each holder")
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
        first, second = made.organisations[:2]
        ceremony = made.announce(args.bits, args.threshold)
        began = time.monotonic()
        agents = {each.name: made.take_part(each, ceremony, args.threads) for each in made.organisations}
        last = -1
        while agents[first.name].popen.poll() is None:
            shown = made.cli(first, "ceremony", "progress", "--ceremony", str(ceremony))
            step = shown["step"] + bool(shown["epoch"])
            if step != last:
                last = step
                print(f"step {step:2} {time.monotonic() - began:9.1f} s  {shown['status']}", flush=True)
                if args.kill and shown["status"] == "running":
                    agents[second.name].kill()
                    agents[second.name] = made.take_part(second, ceremony, args.threads)
            time.sleep(POLL_SECONDS)
        codes = [agent.popen.wait() for agent in agents.values()]
        print(f"ended after {time.monotonic() - began:.1f} s, exit codes {codes}")
        if any(codes):
            print(agents[first.name].log.read_text("utf-8")[-2000:])
            return
        epoch = made.cli(first, "ceremony", "progress", "--ceremony", str(ceremony))["epoch"]
        state = made.cli(first, "ceremony", "show", "--epoch", str(epoch))
        print(f"key epoch {epoch}: {state['status']}, {state['bits']} bits, transcript verified: {state['transcript_verified']}")


if __name__ == "__main__":
    main()
