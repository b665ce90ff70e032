"""What the proof of a contribution costs: `python -m benchmarks.crypto.proofs [--bits 3072] [--parameters 100000] [--no-kernel]`.

Uses the pinned test primes (tests/vectors). A contribution has a weight, four counts up to the weight in slots of 48 bits, and an update
of normal values, whose norm is bounded, in the narrowest slots that proofs and sums of 16 allow. Prints CPU and wall seconds (best of
`--repeat`) and CPU microseconds a parameter to prove, to verify one, ten one after the other and ten together, and bytes with and without
the proof. Lists of powers are computed by `--threads`, which numpy's products have as well, or by the Dask cluster that `--executor`
names. CPU seconds are those of all threads of this process, and steadier than seconds where the machine does something else.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.crypto.measuring import primes
from defedbio.compute.executor import THREADS, Place, open_arithmetic
from defedbio.crypto import kernel, paillier
from defedbio.crypto.arithmetic import Arithmetic
from defedbio.crypto.packing import SlotLayout
from defedbio.crypto.proofs import contribution
from defedbio.crypto.proofs.statement import Block, Form, Piece, Statement, Witness
from defedbio.crypto.rules import Norm, Range
from defedbio.domain import RoundContext
from defedbio.report import Reporter

PARAMETERS = (16_000, 100_000, 1_000_000)
BITS = (3072, 2048)
TOGETHER = 10
SUMMED = 16
DEVIATION = 2
COUNTS, WEIGHT = 4, 1000
# RiseFL (Zhu et al., VLDB 2024) with 10^5 parameters on a machine of this class, not measured by this command: a client's commitments and
# proof, and the server's check of one client.
RISEFL_CLIENT, RISEFL_VERIFY = 18.0, 1.5
T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """Statements of ten senders about the same ciphertexts, and what they know."""

    form: Form
    statements: list[Statement]
    witness: Witness


def norm_square(parameters: int) -> int:
    """A tenth above the mean."""
    return parameters * DEVIATION**2 * 11 // 10


def slot_bits(bits: int, parameters: int) -> int:
    """Sums of clipped values fit, and slots are eight times as wide as the norm of what they hold in all ciphertexts."""
    width = (2 * SUMMED * 5 * DEVIATION).bit_length()
    while 8 * isqrt(norm_square(SlotLayout(bits, width).ciphertexts(parameters))) >> width:
        width += 1
    return width


def make(bits: int, parameters: int, arithmetic: Arithmetic) -> Case:
    p, q = primes(bits)
    key = paillier.PublicKey(p * q)
    update = Piece("update", parameters, Norm(norm_square(parameters), spread=True))
    counts = Piece("counts", COUNTS, Range(0, slope=1))
    form = Form(bits, 10 * WEIGHT, (Block(48, (counts,)), Block(slot_bits(bits, parameters), (update,))))
    random = np.random.default_rng(1)
    values = (
        np.array([WEIGHT, *random.integers(0, WEIGHT, COUNTS, endpoint=True)], dtype=np.int64),
        np.rint(random.normal(0, DEVIATION, parameters)).astype(np.int64),
    )
    pool = paillier.ObfuscatorPool(key, os.urandom, arithmetic=arithmetic)
    encrypted = paillier.encrypt_to_prove(key, form.layout.pack(np.concatenate(values), key.n), pool)
    context = RoundContext(31337, "0x" + "11" * 20, 1, 1)
    senders = [f"0x{i:040x}" for i in range(1, TOGETHER + 1)]
    statements = [Statement(form, key, context, 1, sender, bytes(32), encrypted.ciphertexts) for sender in senders]
    return Case(form, statements, Witness(values, encrypted.exponents))


def measure(step: str, parameters: int, repeat: int, call: Callable[[], T]) -> tuple[float, T]:
    """The least CPU seconds, and the result."""
    wall = cpu = float("inf")
    for _ in range(repeat):
        start, start_cpu = time.perf_counter(), time.process_time()
        result = call()
        wall, cpu = min(wall, time.perf_counter() - start), min(cpu, time.process_time() - start_cpu)
    print(f"{step:28} {cpu:10.3f} {wall:10.3f} {cpu / parameters * 1e6:14.3f}", flush=True)
    return cpu, result


def run(bits: int, parameters: int, repeat: int, arithmetic: Arithmetic, place: str) -> None:
    case = make(bits, parameters, arithmetic)
    first, count = case.statements[0], len(case.statements[0].ciphertexts)
    by = "the native kernel" if kernel.usable() else "gmpy2"
    print(f"\n{parameters} parameters in slots of {case.form.blocks[1].slot_bits} bits, {bits} bits, {count} ciphertexts, {place}, by {by}")
    print(f"{'step':28} {'CPU s':>10} {'seconds':>10} {'µs/parameter':>14}")
    contribution.size(case.form)  # the plan is made once a study
    prove, proof = measure("prove", parameters, repeat, lambda: contribution.prove(first, case.witness, os.urandom, arithmetic))
    verify, _ = measure("verify", parameters, repeat, lambda: contribution.verify(first, proof, os.urandom, arithmetic))
    proofs = [proof, *(contribution.prove(s, case.witness, os.urandom, arithmetic) for s in case.statements[1:])]

    def one_by_one() -> None:
        for statement, each in zip(case.statements, proofs, strict=True):
            contribution.verify(statement, each, os.urandom, arithmetic)

    single, _ = measure(f"verify {TOGETHER}, one by one", parameters, max(1, repeat - 1), one_by_one)
    together, refused = measure(
        f"verify {TOGETHER} together",
        parameters,
        max(1, repeat - 1),
        lambda: contribution.verify_all(case.statements, proofs, os.urandom, arithmetic),
    )
    if any(refused):
        raise SystemExit("an honest proof was refused")
    print(f"{TOGETHER} together take {together / single:.0%} of {TOGETHER} single ones")
    size, update = len(proof), count * first.key.ciphertext_bytes
    print(f"ciphertexts {update} bytes, proof {size} bytes: {update / parameters:.2f} and {(update + size) / parameters:.2f} a parameter")
    if parameters == 100_000:
        print(
            f"RiseFL (2024) took for 100000, on a machine of this class: client {RISEFL_CLIENT} s ({RISEFL_CLIENT / prove:.0f} times), ",
            end="",
        )
        print(f"verify {RISEFL_VERIFY} s ({RISEFL_VERIFY / verify:.1f} times)")


def main() -> None:
    parser = argparse.ArgumentParser(description="Costs of the proof of a contribution on this machine")
    parser.add_argument("--bits", type=int, action="append", choices=BITS, help="both, unless given")
    parser.add_argument("--parameters", type=int, action="append", help=f"{PARAMETERS}, unless given")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--executor", default=THREADS, help="as `defedbio run` takes it")
    parser.add_argument("--no-kernel", action="store_true", help="gmpy2, numpy and Python alone, as where nothing was compiled")
    args = parser.parse_args()
    if args.no_kernel:
        kernel.usable = kernel.compiled = lambda: False
    place = f"{args.threads} thread(s)" if args.executor == THREADS else args.executor
    with threadpool_limits(args.threads), open_arithmetic(Place.parse(args.executor), args.threads, Reporter(print)) as arithmetic:
        for bits in args.bits or BITS:
            for parameters in args.parameters or PARAMETERS:
                run(bits, parameters, args.repeat, arithmetic, place)


if __name__ == "__main__":
    main()
