"""What it costs to show what a modulus is made of: `python -m benchmarks.crypto.modulus [--bits 3072] [--no-kernel]`.

Uses the pinned test primes (tests/vectors). Prints CPU seconds of one thread (best of `--repeat`) to prove and to verify that a modulus is
a product of two primes and that neither is small, to check a key in which both are proven, and bytes of the proofs and of its transcript.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import TypeVar

from benchmarks.crypto.measuring import primes
from defedbio.crypto import ceremony, kernel, threshold
from defedbio.crypto.ceremony import Holder
from defedbio.crypto.proofs import factors, two_primes
from defedbio.crypto.sealing import generate_transport_key

BITS = (2048, 3072)
THRESHOLD, HOLDERS = 3, 5
T = TypeVar("T")


def best(repeat: int, call: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of the quickest of `repeat` calls, and what the last one gave."""
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def run(bits: int, repeat: int) -> None:
    p, q = primes(bits)
    n = p * q
    by = "the native kernel" if kernel.usable() else "gmpy2"
    print(f"{bits} bits, by {by}: every prime factor above 2^{factors.least_factor_bits(bits)}")
    proving, roots = best(repeat, lambda: two_primes.prove(n, p, q))
    verifying, _ = best(repeat, lambda: two_primes.verify(n, roots))
    print(f"  two primes       prove {proving:.3f} s  verify {verifying:.3f} s  {len(roots) * bits // 8:7,} bytes")
    proving, proof = best(repeat, lambda: factors.prove(n, p, q, os.urandom))
    verifying, _ = best(repeat, lambda: factors.verify(n, proof))
    print(f"  neither is small prove {proving:.3f} s  verify {verifying:.3f} s  {len(proof.to_bytes(bits)):7,} bytes")
    dealing, (key, shares) = best(repeat, lambda: threshold.deal_from_primes(p, q, THRESHOLD, HOLDERS, os.urandom))
    checking, _ = best(repeat, key.check)
    holders = [Holder(f"0x{i:040x}", generate_transport_key(os.urandom)[1]) for i in range(HOLDERS)]
    size = len(ceremony.publish(key, shares, holders, 1, holders[0].address, os.urandom).to_bytes())
    print(f"  the whole key    deal  {dealing:.3f} s  check  {checking:.3f} s  {size:7,} bytes, its transcript")


def main() -> None:
    parser = argparse.ArgumentParser(description="Costs of the proof of a modulus on this machine")
    parser.add_argument("--bits", type=int, choices=BITS)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-kernel", action="store_true", help="gmpy2 alone, as on a processor without AVX-512-IFMA")
    args = parser.parse_args()
    if args.no_kernel:
        kernel.usable = lambda: False
    for bits in [args.bits] if args.bits else BITS:
        run(bits, args.repeat)


if __name__ == "__main__":
    main()
