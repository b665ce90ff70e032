"""What the cryptography costs here and now: `python benchmarks/crypto/quick.py [--bits 3072] [--parameters 16400] [--no-kernel]`.

Uses the pinned test primes (tests/vectors), encrypts one random update, aggregates ten, and lets 3 of 5 holders open the sum.
Prints microseconds a parameter (best of `--repeat`), seconds for the whole update, and bytes. Lists of powers are computed by
`--threads`, or by the Dask cluster that `--executor` names.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from defedbio.compute.executor import THREADS, Place, open_arithmetic
from defedbio.crypto import kernel, packing, paillier, roots, threshold, wire
from defedbio.crypto.arithmetic import Arithmetic
from defedbio.crypto.proofs import share as share_proof
from defedbio.domain import RoundContext, Run
from defedbio.report import Reporter

VECTORS = Path(__file__).parents[2] / "tests" / "vectors"
UPDATES = 10
T = TypeVar("T")


class Table:
    def __init__(self, parameters: int, repeat: int) -> None:
        self.parameters, self.repeat = parameters, repeat
        print(f"{'step':38} {'µs/parameter':>14} {'seconds':>10}")

    def measure(self, step: str, call: Callable[[], T], repeat: int | None = None) -> T:
        best = float("inf")
        for _ in range(repeat or self.repeat):
            start = time.perf_counter()
            result = call()
            best = min(best, time.perf_counter() - start)
        print(f"{step:38} {best / self.parameters * 1e6:14.3f} {best:10.4f}", flush=True)
        return result


def run(bits: int, parameters: int, slot_bits: int, repeat: int, arithmetic: Arithmetic, place: str) -> None:
    primes = json.loads((VECTORS / f"keys_{bits}.json").read_text())
    key, shares = threshold.deal_from_primes(int(primes["p"], 16), int(primes["q"], 16), 3, 5, os.urandom)
    public, layout = key.public_key, packing.Layout(bits, (Run(slot_bits, parameters),))
    limit = layout.slots[0].half // UPDATES - 1
    values = np.random.default_rng(1).integers(-limit, limit, parameters, dtype=np.int64)
    count = layout.ciphertexts
    by = "the native kernel" if kernel.usable() else "gmpy2"
    print(f"{bits} bits, {parameters} parameters of {slot_bits} bits, {count} ciphertexts, {place}, by {by}")
    table = Table(parameters, repeat)
    comb = table.measure("fixed-base table (once a key)", lambda: paillier.FixedBaseTable(public), 1)
    pool = paillier.ObfuscatorPool(public, os.urandom, comb, arithmetic)
    plaintexts = table.measure("pack", lambda: layout.pack(values, public.n))
    table.measure("obfuscators (ahead, in background)", lambda: pool.fill(count))
    ciphertexts = table.measure("encrypt online, pool full", lambda: paillier.encrypt(public, plaintexts, pool), 1)
    pool.wipe()
    table.measure("encrypt, obfuscators included", lambda: paillier.encrypt(public, plaintexts, pool))
    table.measure("check ciphertexts", lambda: paillier.check_ciphertexts(public, ciphertexts))
    updates = [ciphertexts] * UPDATES
    aggregate = table.measure(f"aggregate {UPDATES} updates", lambda: paillier.aggregate(public, updates))
    _, root = table.measure("prefix products and aggregate root", lambda: roots.product_and_root(updates, public))
    released = {
        i: table.measure(f"share of holder {i}", partial(threshold.share, key, shares[i - 1], aggregate, arithmetic)) for i in (1, 2, 3)
    }
    context = RoundContext(31337, "0x" + "11" * 20, 1, 1)
    statement = share_proof.ShareStatement(key, context, 1, root, aggregate, released[1])
    proof = table.measure("prove a share", lambda: share_proof.prove(statement, shares[0], os.urandom))
    table.measure("verify a share's proof", lambda: share_proof.verify(statement, proof))
    openings = table.measure("combine", lambda: threshold.combine(key, aggregate, released, arithmetic))
    table.measure("check all openings", lambda: threshold.check_openings(key, aggregate, openings, os.urandom, arithmetic))
    opened = table.measure("unpack", lambda: layout.unpack([o.m for o in openings], public.n))
    if not np.array_equal(opened, UPDATES * values):
        raise SystemExit("the opened sum is wrong")
    for kind in wire.BlobKind:
        size = wire.Header.make(kind, context, context.contract, layout).size
        print(f"{kind.name.lower():10} blob {size:10} bytes, {size / parameters:.2f} a parameter")


def main() -> None:
    parser = argparse.ArgumentParser(description="Costs of the cryptography on this machine")
    parser.add_argument("--bits", type=int, default=3072, choices=(2048, 3072))
    parser.add_argument("--parameters", type=int, default=16_400)
    parser.add_argument("--slot-bits", type=int, default=24)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--executor", default=THREADS, help="as `defedbio run` takes it")
    parser.add_argument("--no-kernel", action="store_true", help="gmpy2 alone, as on a processor without AVX-512-IFMA")
    args = parser.parse_args()
    if args.no_kernel:
        kernel.usable = lambda: False
    place = f"{args.threads} thread(s)" if args.executor == THREADS else args.executor
    with open_arithmetic(Place.parse(args.executor), args.threads, Reporter(print)) as arithmetic:
        run(args.bits, args.parameters, args.slot_bits, args.repeat, arithmetic, place)


if __name__ == "__main__":
    main()
