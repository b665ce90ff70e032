"""What a key without a dealer costs: `python benchmarks/ceremony/steps.py [--bits 3072] [--threshold 3] [--holders 4] [--candidates 1024]`.

All roles run in this process, one after the other, with seeds for which a candidate of the small batch survives. Printed is the CPU time of
all contributors by step, for each candidate or in all, and how long their checks of the step before take, which everybody makes. Seeds that
are not known for the sizes asked for are looked for first, which takes minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable
from itertools import count
from math import log, prod
from typing import TypeVar

from defedbio.crypto import kernel, numbers
from defedbio.crypto.keygen import outcome
from defedbio.crypto.keygen.machine import Progress, Secrets
from defedbio.crypto.keygen.messages import Kind
from defedbio.crypto.keygen.terms import Terms

T = TypeVar("T")
OF_CANDIDATES = (Kind.REQUESTS, Kind.ANSWERS, Kind.SHARES, Kind.TRIALS)
# By bits, threshold and candidates: the first number for whose seeds a candidate survives.
SURVIVING = {(2048, 3, 1024): 10, (3072, 3, 1024): 7}


def contributors(terms: Terms, number: int) -> list[Secrets]:
    return [Secrets(terms, i, hashlib.sha256(f"{number}/{i}".encode()).digest()) for i in range(len(terms.holders))]


def survives(terms: Terms, number: int) -> bool:
    sums = zip(*(secret.candidates(0)[1] for secret in contributors(terms, number)[: terms.threshold]), strict=True)
    return any(all(numbers.is_prime(sum(getattr(c, name) for c in those)) for name in "pq") for those in sums)


def expected(terms: Terms) -> float:
    """Candidates until one survives: by the density of primes, and what the sieve keeps off."""
    kept = prod(prime / (prime - 1) for owned in terms.sieve.owned for prime in owned) * 2
    return ((terms.half - 0.2) * log(2) / kept) ** 2


def timed(call: Callable[[], T]) -> tuple[float, T]:
    start = time.process_time()
    found = call()
    return time.process_time() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of a key ceremony without a dealer")
    parser.add_argument("--bits", type=int, default=3072)
    parser.add_argument("--threshold", type=int, default=3)
    parser.add_argument("--holders", type=int, default=4)
    parser.add_argument("--candidates", type=int, default=1024, help="of the batch, a power of two")
    parser.add_argument("--no-kernel", action="store_true", help="gmpy2 alone, as on a processor without AVX-512-IFMA")
    args = parser.parse_args()
    if args.no_kernel:
        kernel.usable = lambda: False
    holders = tuple(f"0x{i + 1:040x}" for i in range(args.holders))
    terms = Terms(31337, "0x" + "11" * 20, 1, holders, args.threshold, args.bits, 600, {args.bits: args.candidates})
    known = SURVIVING.get((args.bits, args.threshold, args.candidates))
    number = known if known is not None else next(i for i in count() if survives(terms, i))
    by = "the native kernel" if kernel.usable() else "gmpy2"
    print(f"{args.bits} bits, {args.threshold} of {args.holders}, {args.candidates} candidates of seeds {number}, by {by}")
    print(f"expected candidates: {expected(terms):.0f}; sieve up to {terms.sieve.bound}")
    secrets, progress = contributors(terms, number), Progress(terms)
    posts: list[list[bytes]] = []
    of_each = checks = 0.0
    print(f"{'step':28} {'seconds, all':>13} {'ms a candidate':>15} {'bytes of one':>13} {'its check, s':>13}")
    while (record := progress.after(posts)).kind is not Kind.DONE:
        kind = record.kind
        made = [timed(lambda one=one: one.message(record)) for one in secrets[: record.senders]]
        posts.append([message for _, message in made])
        took = sum(seconds for seconds, _ in made)
        check, _ = timed(lambda: progress.after(posts))
        if kind in OF_CANDIDATES:
            of_each += took + check * args.threshold
        else:
            checks += took + check * args.threshold
        each = f"{took / args.candidates * 1e3:15.2f}" if kind in OF_CANDIDATES else " " * 15
        print(f"{kind.value} {kind.name.lower():25} {took:13.3f} {each} {len(posts[-1][0]):13} {check:13.3f}", flush=True)
    took, _ = timed(lambda: [outcome.share(record, i, one.transport_private) for i, one in enumerate(secrets)])
    print(f"{'R6 receive, all holders':28} {took:13.3f}")
    a_candidate = of_each / args.candidates
    print(f"a candidate, all contributors with their checks: {a_candidate * 1e3:.2f} ms of CPU; the finish: {checks + took:.1f} s")


if __name__ == "__main__":
    main()
