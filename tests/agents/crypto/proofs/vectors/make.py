"""Rewrite the pinned proofs: `python tests/agents/crypto/proofs/vectors/make.py` from the repository root, then read the diff.

The good proof comes from repeatable coins, and so from the same bytes wherever the kernel was compiled (three squares are found otherwise
without it). The bad ones say what is changed in it, or in what it is shown for, and why it is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from defedbio.crypto import numbers, packing
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.proofs import contribution, encoding
from defedbio.crypto.proofs.plan import plan
from defedbio.crypto.proofs.statement import Block, Form, Piece, Statement, Witness
from defedbio.crypto.rules import Norm, Range
from defedbio.domain import RoundContext
from defedbio.errors import BadProof

HERE = Path(__file__).parent
KEYS = Path(__file__).parents[4] / "vectors" / "keys_2048.json"
FORM = Form(
    2048,
    1000,
    (
        Block(48, (Piece("counts", 3, Range(500)), Piece("shares", 2, Range(5, 2, 3)))),
        Block(12, (Piece("update", 20, Norm(80_000_000, 0, 20, 1_000_000)),)),
    ),
)
VALUES = ([900, 0, 500, 17, 601, 3], [(-1) ** i * (i % 3) for i in range(20)])
NOT_OBEYED, NOT_PROVEN = (
    "the proof is of another contribution, or of numbers that do not obey the form",
    "the sender has not proven what its ciphertexts hold",
)


def coins(seed: bytes) -> Rand:
    drawn = 0

    def rand(length: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(seed + b"%d" % drawn).digest(length)

    return rand


def statement() -> tuple[Statement, Witness]:
    primes = json.loads(KEYS.read_text())
    key = PublicKey.from_modulus(int(primes["p"], 16) * int(primes["q"], 16))
    values = tuple(np.array(v, dtype=np.int64) for v in VALUES)
    plaintexts = [m for v, slots in zip(values, FORM.layout.slots, strict=True) for m in packing.pack(v, slots, key.n)]
    rand = coins(b"defedbio/proof-vector/ciphertexts")
    exponents = [numbers.random_bits(rand, key.bits // 2) for _ in plaintexts]
    ciphertexts = [
        (1 + m * key.n) * numbers.powmod(key.hs, r, key.n_squared) % key.n_squared for m, r in zip(plaintexts, exponents, strict=True)
    ]
    context = RoundContext(31337, "0x" + "c0" * 20, 7, 9)
    return Statement(FORM, key, context, 3, "0x" + "a1" * 20, bytes(range(32)), ciphertexts), Witness(values, exponents)


# By name: what is changed of the statement.
OTHERS: dict[str, Callable[[Statement], Statement]] = {
    "another sender": lambda s: replace(s, sender="0x" + "a2" * 20),
    "another round": lambda s: replace(s, context=replace(s.context, round=10)),
    "another key epoch": lambda s: replace(s, key_epoch=4),
    "another parent model": lambda s: replace(s, parent=bytes(32)),
    "swapped ciphertexts": lambda s: replace(s, ciphertexts=s.ciphertexts[::-1]),
}


def proof() -> bytes:
    said, witness = statement()
    return contribution.prove(said, witness, coins(b"defedbio/proof-vector/proof"))


def changes(good: bytes) -> dict[str, bytes]:
    """By name: proofs that are refused."""
    made, found, at = plan(FORM), {}, 1
    for names in encoding.MESSAGES:
        for name in names:
            fields = encoding.fields(made)[name]
            end = at + fields[0].size
            found[f"a bit of {name}"] = good[: end - 1] + bytes([good[end - 1] ^ 1]) + good[end:]
            if name in ("opening", "data"):
                least = made.group.q if name == "opening" else made.group.p
                found[f"{name} written with its modulus added"] = good[:at] + more(good[at:end], least) + good[end:]
            at += sum(field.length for field in fields)
    return found | {"a byte too many": good + b"\0", "a byte too few": good[:-1], "another version": b"\2" + good[1:]}


def more(data: bytes, modulus: int) -> bytes:
    return min(int.from_bytes(data, "big") + modulus, (1 << 8 * len(data)) - 1).to_bytes(len(data), "big")


def reason(said: Statement, data: bytes) -> str:
    try:
        contribution.verify(said, data, coins(b"defedbio/proof-vector/verifier"))
    except BadProof as refusal:
        return refusal.message
    return ""


def difference(good: bytes, bad: bytes) -> dict[str, Any]:
    """What to do with the good proof: put `bytes` in the place of those from `at` on, up to the end where lengths differ."""
    same = next((i for i, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b), min(len(good), len(bad)))
    if len(good) != len(bad):
        return {"at": same, "bytes": bad[same:].hex(), "to_the_end": True}
    end = next(i for i in range(len(good), 0, -1) if good[i - 1] != bad[i - 1])
    return {"at": same, "bytes": bad[same:end].hex(), "to_the_end": False}


def build() -> dict[str, Any]:
    said, _ = statement()
    good = proof()
    return {
        "about": "production parameters, the public key of tests/vectors/keys_2048.json; what is not here is in make.py beside this file",
        "form": FORM.to_bytes().hex(),
        "ciphertexts": [numbers.to_bytes(c, said.key.ciphertext_bytes).hex() for c in said.ciphertexts],
        "context": said.context.to_bytes().hex(),
        "sender": said.sender,
        "key_epoch": said.key_epoch,
        "parent": said.parent.hex(),
        "proof": good.hex(),
        "bad_statements": {name: reason(change(said), good) for name, change in OTHERS.items()},
        "bad_proofs": {name: difference(good, bad) | {"reason": reason(said, bad)} for name, bad in changes(good).items()},
    }


if __name__ == "__main__":
    (HERE / "contribution.json").write_text(json.dumps(build(), indent=1) + "\n")
