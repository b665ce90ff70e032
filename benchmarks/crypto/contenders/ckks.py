"""TenSEAL's CKKS vectors: 4,096 approximate numbers a ciphertext, at 128-bit security; organisations hold the public context only."""

from __future__ import annotations

import numpy as np
import tenseal

from benchmarks.crypto.measuring import Case, Clock, Float64, Outcome

DEGREE, MODULI, SCALE = 8192, [60, 40, 40], 2.0**40
PRECISION = 1e-6


def run(case: Case, clock: Clock, option: str) -> Outcome:
    owner = tenseal.context(tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=MODULI, n_threads=1)
    owner.global_scale = SCALE
    public = owner.copy()
    public.make_context_public()
    secret, slots = owner.secret_key(), DEGREE // 2

    def encrypt(update: Float64) -> list[tenseal.CKKSVector]:
        return [tenseal.ckks_vector(public, update[i : i + slots]) for i in range(0, len(update), slots)]

    first = case.update(0)
    sealed = clock.time("encrypt", lambda: encrypt(first))
    written = clock.time("write", lambda: [vector.serialize() for vector in sealed])
    updates = [encrypt(case.update(k)) for k in range(case.organisations)]
    sums = clock.time("aggregate", lambda: [sum(column[1:], column[0]) for column in zip(*updates, strict=True)])
    total = clock.time("open", lambda: np.concatenate([np.array(vector.decrypt(secret)) for vector in sums]))
    return Outcome(total, case.organisations * PRECISION, sum(map(len, written)))
