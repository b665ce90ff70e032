"""python-paillier as its manual has it: each number encoded, encrypted and added on its own, by gmpy2."""

from __future__ import annotations

import numpy as np
import phe

from benchmarks.crypto.measuring import Case, Clock, Float64, Outcome, primes

PRECISION = 1e-7  # one exponent for all, so that sums need no alignment


def run(case: Case, clock: Clock, option: str) -> Outcome:
    p, q = primes(case.bits)
    public = phe.PaillierPublicKey(p * q)
    private = phe.PaillierPrivateKey(public, p, q)

    def encrypt(update: Float64) -> list[phe.EncryptedNumber]:
        return [public.encrypt(x, precision=PRECISION) for x in update.tolist()]

    first = case.update(0)
    clock.time("encrypt", lambda: encrypt(first))
    updates = [encrypt(case.update(k)) for k in range(case.organisations)]
    sums = clock.time("aggregate", lambda: [sum(column[1:], column[0]) for column in zip(*updates, strict=True)])
    total = clock.time("open", lambda: [private.decrypt(x) for x in sums])
    size = (public.nsquare.bit_length() + 7) // 8
    return Outcome(np.array(total), case.organisations * PRECISION, size * case.parameters)
