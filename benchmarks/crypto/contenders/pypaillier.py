"""pypaillier (import name `paillier`): Rust over GMP, Damgård-Jurik-Nielsen encryption without a table, in constant time by intent.

It encrypts one number at a time. Its integers are large enough to hold slots, so a user may also pack: `packed` does it with our layout.
"""

from __future__ import annotations

import numpy as np
import paillier

from benchmarks.crypto.measuring import Case, Clock, Float64, Outcome
from defedbio.crypto import packing

SLOT_BITS = 24
UNIT = 1e-8  # of its own fixed-point numbers


def run(case: Case, clock: Clock, option: str) -> Outcome:
    """`option` is each or packed."""
    public, secret = paillier.generate_keypair(case.bits)
    layout = packing.SlotLayout(public.plaintext_bound_bits, SLOT_BITS)
    modulus = (1 << layout.modulus_bits) - 1  # for our packing only: it writes negative numbers as modulus - x
    scale = float((layout.half - 1) // case.organisations - 1)

    def encrypt(update: Float64) -> list[bytes]:
        if option == "each":
            return [bytes(b) for b in paillier.encrypt_many(public, update.tolist())]
        numbers = packing.pack(np.rint(update * scale).astype(np.int64), layout, modulus)
        return [bytes(b) for b in paillier.encrypt_integers(public, [m - modulus if 2 * m > modulus else m for m in numbers])]

    def opened() -> Float64:
        if option == "each":
            return np.array([m / 10**power for m, power in paillier.decrypt_exact_many(secret, sums)])
        numbers = [m % modulus for m, _ in paillier.decrypt_exact_many(secret, sums)]
        return packing.unpack(numbers, layout, modulus, case.parameters) / scale

    first = case.update(0)
    written = clock.time("encrypt", lambda: encrypt(first))
    updates = [encrypt(case.update(k)) for k in range(case.organisations)]
    sums = clock.time("aggregate", lambda: [bytes(paillier.add_many(public, list(column))) for column in zip(*updates, strict=True)])
    total = clock.time("open", opened)
    unit = UNIT if option == "each" else 1 / scale
    return Outcome(total, case.organisations * unit, sum(map(len, written)))
