"""This project: quantised, packed in slots of 24 bits, Damgård-Jurik-Nielsen encryption, opened by 3 of 5 holders."""

from __future__ import annotations

import os

from benchmarks.crypto.measuring import Case, Clock, Float64, Outcome, primes
from defedbio.crypto import encoding, kernel, packing, paillier, roots, threshold, wire
from defedbio.domain import Quantisation, Run, Segment

SLOT_BITS = 24
THRESHOLD, HOLDERS = 3, 5
LEAST_BITS = 512  # tests use a small modulus


def run(case: Case, clock: Clock, option: str) -> Outcome:
    """`option` is native or gmpy2.

    Raises:
        SystemExit: when the native kernel is asked for and not there.
    """
    if option == "gmpy2":
        kernel.usable = lambda: False
    elif not kernel.usable():
        raise SystemExit("the native kernel was not built, or this processor lacks AVX-512-IFMA")
    key, shares = threshold.deal_from_primes(*primes(case.bits), THRESHOLD, HOLDERS, os.urandom, LEAST_BITS)
    public, layout = key.public_key, packing.Layout(case.bits, (Run(SLOT_BITS, case.parameters + 1),))
    scale = float((layout.slots[0].half - 1) // case.organisations - 1)
    segments = [Segment("update", case.parameters, Quantisation(SLOT_BITS, scale, 1, max_abs=1.0, weighted=False))]
    count = layout.ciphertexts

    table = clock.time("table", lambda: paillier.FixedBaseTable(public))
    pool = paillier.ObfuscatorPool(public, os.urandom, table)

    def pack(update: Float64) -> list[int]:
        return layout.pack(encoding.encode([update], 1, segments, os.urandom), public.n)

    def fill() -> None:
        pool.wipe()
        pool.fill(count)

    def opened() -> tuple[list[threshold.Opening], Float64]:
        openings = threshold.combine(key, aggregate, released)
        totals = layout.unpack([o.m for o in openings], public.n)
        return openings, encoding.decode(totals, segments, case.organisations).vectors[0]

    first = case.update(0)
    clock.time("encode", lambda: pack(first))
    clock.time("encrypt", lambda: paillier.encrypt(public, pack(first), pool))
    clock.time("encrypt online", lambda: paillier.encrypt(public, pack(first), pool), before=fill)
    updates = [paillier.encrypt(public, pack(case.update(k)), pool) for k in range(case.organisations)]
    aggregate = clock.time("aggregate", lambda: paillier.aggregate(public, updates))
    clock.time("aggregate and root", lambda: roots.product_and_root(updates, public))
    released = {1: clock.time("share", lambda: threshold.share(key, shares[0], aggregate))}
    released |= {i: threshold.share(key, shares[i - 1], aggregate) for i in range(2, THRESHOLD + 1)}
    openings, total = clock.time("open", opened)
    clock.time("verify", lambda: threshold.check_openings(key, aggregate, openings, os.urandom))
    # Stochastic rounding moves an organisation's element by less than one unit.
    return Outcome(total, case.organisations / scale, wire.HEADER_BYTES + count * public.ciphertext_bytes)
