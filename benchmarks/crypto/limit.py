"""How near the kernel comes to this core's raw multiply limit; compare.py builds the library and starts `limit LIBRARY BITS REPEAT CPU`.

The limit is VPMADD52 a second of CPU time in limit.c. The kernel's figure counts the VPMADD52 that its algorithm cannot do without, eight
numbers at once (agents/crypto/native/lanes.h), over the CPU time of the whole call. Both alternate, so that what slows one slows the other.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.crypto.measuring import primes, summary
from defedbio.crypto import kernel, paillier

ROUNDS = 5_000_000
SUMS = 16
NUMBERS = 32
COMB_NUMBERS = 80  # as agents/crypto/slices.py gives to the comb at once
DELTA_BITS = 8  # of 2 * 5!


def times(limbs: int) -> int:
    """A product modulo n: limbs² low and limbs² high halves, as many to reduce, and a quotient limb each row."""
    return 4 * limbs**2 + limbs


def squared(limbs: int) -> int:
    return 3 * limbs**2 + 2 * limbs


def pair_times(limbs: int) -> int:
    """A product modulo n²: three products and two reductions."""
    return 10 * limbs**2 + 2 * limbs


def pair_squared(limbs: int) -> int:
    """A square, a product and two reductions."""
    return 7 * limbs**2 + 3 * limbs


def power(exponent_bits: int, product: int, square: int) -> int:
    """One power by windows as kernel.c chooses them, in and out of Montgomery's form."""
    bits = min(range(1, 7), key=lambda w: (1 << w) + exponent_bits // w)
    windows = -(-exponent_bits // bits)
    return ((1 << bits) - 2 + windows - 1 + 2) * product + (windows - 1) * bits * square


def measure(multiply: Callable[[int], int], bits: int, repeat: int) -> dict[str, dict[str, float]]:
    p, q = primes(bits)
    n = p * q
    modulo, pairs = kernel.modulus(n), kernel.modulus(n, True)
    limbs, octets, comb_octets = modulo.limbs, NUMBERS // kernel.LANES, COMB_NUMBERS // kernel.LANES
    exponent = int.from_bytes(os.urandom(bits // 8 + 1), "big") | 1 << bits + DELTA_BITS - 1
    numbers = [int.from_bytes(os.urandom(bits // 4), "big") % (n * n) for _ in range(NUMBERS)]
    digits = bits // 16
    comb = kernel.Comb(pairs, paillier.PublicKey.from_modulus(n).hs, digits)
    residues = [x % n for x in numbers]
    share = octets * power(bits + DELTA_BITS, times(limbs), squared(limbs))
    nth = octets * power(bits, pair_times(limbs), pair_squared(limbs))
    products = comb_octets * digits * pair_times(limbs)
    calls: dict[str, tuple[int, Callable[[], object]]] = {
        "share": (share, lambda: kernel.powers(modulo, residues, exponent)),
        "n-th powers": (nth, lambda: kernel.powers(pairs, numbers, n)),
        "comb products": (products, lambda: comb.powers(os.urandom(digits * COMB_NUMBERS))),
    }
    return {name: alternate(multiply, count, call, repeat) for name, (count, call) in calls.items()}


def alternate(multiply: Callable[[int], int], count: int, call: Callable[[], object], repeat: int) -> dict[str, float]:
    limits, reached = [], []
    for _ in range(repeat):
        limits.append(SUMS * ROUNDS / seconds(lambda: multiply(ROUNDS)))
        reached.append(count / seconds(call))
    fractions = [r / limit for r, limit in zip(reached, limits, strict=True)]
    return {"limit_per_s": median(limits), "kernel_per_s": median(reached), "fraction": summary(fractions)}


def seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def main(library: str, bits: int, repeat: int, cpu: int) -> None:
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
    native = ctypes.CDLL(library)
    native.multiply.argtypes, native.multiply.restype = [ctypes.c_uint64], ctypes.c_uint64
    if not native.usable() or not kernel.usable():
        raise SystemExit("the native kernel was not built, or this processor lacks AVX-512-IFMA")
    print(json.dumps(measure(native.multiply, bits, repeat)))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
