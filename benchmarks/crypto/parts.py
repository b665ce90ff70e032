"""What the arithmetic beneath the proofs costs: `python -m benchmarks.crypto.parts [--repeat 3] [--no-kernel]`.

Prints CPU milliseconds (the least of `--repeat`) of one thread for products of powers, sums of three squares and products with ternary
matrices, in the sizes that the proof of a contribution has.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.crypto.measuring import primes
from defedbio.crypto import kernel, numbers
from defedbio.crypto.proofs.group import GROUP
from defedbio.crypto.proofs.squares import three_squares
from defedbio.crypto.proofs.ternary import Ternary

BITS = 3072
SIGNED = ((40, 300, 11), (80, 1000, 11), (130, 1200, 14), (80, 1000, 3), (80, 1000, 61))  # rows, bases, bits
LONG = ((1000, 448, False), (300, 144, True), (3300, 144, True))  # bases, bits, modulo n²
SQUARES = (20, 62, 124)
TRANSPOSED = 100_000
COMBINED = ((500, 250), (3300, 300), (40_000, 400))


def measure(what: str, repeat: int, call: Callable[[], object], count: int = 1) -> None:
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    print(f"{what:64} {best / count * 1e3:10.3f}", flush=True)


def run(repeat: int) -> None:
    chance, generator = random.Random(1), np.random.default_rng(1)
    print(f"{'by ' + ('the native kernel' if kernel.usable() else 'gmpy2 and numpy'):64} {'CPU ms':>10}")
    for rows, count, bits in SIGNED:
        bases = [chance.randrange(1, GROUP.p) for _ in range(count)]
        exponents = generator.integers(-(1 << bits), 1 << bits, (rows, count))
        what = f"{rows} products of {count} powers, signed exponents of {bits} bits"
        measure(what, repeat, partial(numbers.signed_products, bases, exponents, GROUP.p))
    p, q = primes(BITS)
    for count, bits, squared in LONG:
        modulus = p * q if squared else GROUP.p
        bases = [chance.randrange(1, modulus * modulus if squared else modulus) for _ in range(count)]
        scalars = [chance.getrandbits(bits) for _ in range(count)]
        what = f"a product of {count} powers, exponents of {bits} bits{', modulo n²' if squared else ''}"
        measure(what, repeat, partial(numbers.multi_powmod, bases, scalars, modulus, squared))
    for bits in SQUARES:
        values = [4 * chance.getrandbits(bits - 2) + 1 for _ in range(2_000)]
        measure(f"three squares of a number of {bits} bits", repeat, partial(three_squares, values, os.urandom), len(values))
    ternary = Ternary(os.urandom(Ternary.bytes_needed(128, TRANSPOSED)), 128, TRANSPOSED)
    x, scalars = generator.integers(-(1 << 40), 1 << 40, TRANSPOSED), [chance.randrange(GROUP.q) for _ in range(128)]
    measure(f"128 ternary rows times {TRANSPOSED} numbers", repeat, partial(ternary.apply, x))
    measure(f"{TRANSPOSED} ternary columns times 128 scalars", repeat, partial(ternary.transpose_apply, scalars, GROUP.q))
    for columns, slots in COMBINED:
        rows_of = Ternary(os.urandom(Ternary.bytes_needed(256, columns)), 256, columns)
        values_of = generator.integers(-100, 100, (columns, slots))
        measure(f"256 ternary rows times {columns} × {slots} digits", repeat, partial(rows_of.apply_matrix, values_of))


def main() -> None:
    parser = argparse.ArgumentParser(description="Costs of the proofs' arithmetic on this machine")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-kernel", action="store_true", help="gmpy2, numpy and Python alone, as where nothing was compiled")
    args = parser.parse_args()
    if args.no_kernel:
        kernel.usable = kernel.compiled = lambda: False
    with threadpool_limits(1):
        run(args.repeat)


if __name__ == "__main__":
    main()
