"""Rewrite the pinned vectors from the code: `python tests/vectors/make.py` from the repository root, then read the diff.

The keys are made once (`--new-keys`) and are public: TEST VECTORS ONLY, never a real study's key.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from defedbio.crypto import encoding, merkle, numbers, packing, paillier, roots, rotation, threshold, transcript, wire
from defedbio.crypto.threshold import Opening
from defedbio.domain import Quantisation, RoundContext, Run, Segment

HERE = Path(__file__).parent
WARNING = "TEST VECTOR: these primes are public. Never use them for data."
SIZES = (512, 2048, 3072)


def write(name: str, value: Any) -> None:
    (HERE / name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def new_keys() -> None:
    for bits in SIZES:
        p, q = (numbers.safe_prime(bits // 2, os.urandom) for _ in range(2))
        write(f"keys_{bits}.json", {"warning": WARNING, "bits": bits, "p": hex(p), "q": hex(q)})


def derived() -> dict[str, Any]:
    out: dict[str, Any] = {}
    for bits in SIZES:
        primes = json.loads((HERE / f"keys_{bits}.json").read_text())
        key = paillier.PublicKey.from_modulus(int(primes["p"], 16) * int(primes["q"], 16), 512)
        out[str(bits)] = {
            "modulus_hash": key.hash.hex(),
            "hs_hash": merkle.keccak256(numbers.to_bytes(key.hs, key.ciphertext_bytes)).hex(),
            "v_hash": merkle.keccak256(numbers.to_bytes(threshold.base_square(key.n), key.modulus_bytes)).hex(),
            "root_target_7_hash": merkle.keccak256(numbers.to_bytes(threshold.root_target(key.n, 7), key.modulus_bytes)).hex(),
        }
    return out


def merkle_vectors() -> list[dict[str, Any]]:
    cases = []
    for count in (1, 2, 3, 5, 8, 13):
        values = [bytes([i]) * 5 for i in range(count)]
        leaves = [merkle.leaf(i, v) for i, v in enumerate(values)]
        last = count - 1
        cases.append(
            {
                "values": [v.hex() for v in values],
                "leaves": [leaf.hex() for leaf in leaves],
                "root": merkle.root(leaves).hex(),
                "proof_of_last": [node.hex() for node in merkle.proof(leaves, last)],
                "prefix_leaf_of_last": merkle.prefix_leaves([values[last:]], last)[0].hex(),
            }
        )
    return cases


def transcript_vectors() -> dict[str, str]:
    t = transcript.Transcript("defedbio/vector/1")
    t.append("a", b"\x01\x02")
    first = t.challenge_bytes("c", 16)
    t.append("b", b"")
    return {"first": first.hex(), "second": t.challenge_bytes("c", 32).hex(), "number": str(t.challenge_int("n", 130))}


def packing_vectors() -> list[dict[str, Any]]:
    primes = json.loads((HERE / "keys_512.json").read_text())
    n = int(primes["p"], 16) * int(primes["q"], 16)
    cases = []
    for slot_bits in (8, 13, 24, 62):
        layout = packing.SlotLayout(512, slot_bits)
        edge = layout.half - 1
        values = [1, -1, 0, edge, -edge, *range(-layout.slots, layout.slots, 3)]
        plaintexts = packing.pack(np.array(values, dtype=np.int64), layout, n)
        cases.append({"slot_bits": slot_bits, "slots": layout.slots, "values": values, "plaintexts": [hex(m) for m in plaintexts]})
    return cases


def rotation_vectors() -> dict[str, Any]:
    """A vector of thirds, rotated for a round; and what an organisation of weight 3 of 5 sends of it and of four counts."""
    seed, length = RoundContext(31337, "0x" + "c0" * 20, 7, 9).to_bytes(), 300
    vector = np.arange(-150, 150, dtype=np.float64) / 3
    rotated = rotation.rotate(vector, seed, "update")
    narrow = Segment("update", length, Quantisation(8, 1.0, 5, clip_norm=1.0, sigma=2.0)).clipped_to(1024.0)
    counts = Segment("counts", 4, Quantisation(48, 2.0, 5, max_abs=100.0, weighted=False))

    def rand(size: int) -> bytes:
        return hashlib.shake_256(b"rounding %d" % size).digest(size)

    sent = encoding.encode((np.array([1.0, 2.0, 0.0, 100.0]), vector), 3, (counts, narrow), rand, seed)
    return {"first": [x.hex() for x in rotated[:4]], "sha256": hashlib.sha256(rotated.tobytes()).hexdigest(), "sent": sent.tolist()}


def wire_vectors() -> dict[str, Any]:
    context = RoundContext(31337, "0x" + "c0" * 20, 7, 9)
    small, large = packing.Layout(512, (Run(24, 40),)), packing.Layout(3072, (Run(48, 1), Run(24, 16_400)))
    headers = {kind: wire.Header.make(kind, context, "0x" + "a1" * 20, small) for kind in wire.BlobKind}
    primes = json.loads((HERE / "keys_512.json").read_text())
    n = int(primes["p"], 16) * int(primes["q"], 16)
    key = paillier.PublicKey.from_modulus(n, 512)
    numbers_ = [numbers.to_bytes(x, key.ciphertext_bytes) for x in range(1, 7)]
    return {
        "headers": {kind.name: header.to_bytes().hex() for kind, header in headers.items()},
        "sizes_3072": {kind.name: wire.Header.make(kind, context, "0x" + "a1" * 20, large).size for kind in wire.BlobKind},
        "update_root": roots.update_root([1, 2], key).hex(),
        "share_root": roots.share_root([1, 2], key).hex(),
        "opening_root": roots.opening_root([Opening(1, 2), Opening(3, 4)], key).hex(),
        "part_root_from_7": roots.opening_root([Opening(1, 2), Opening(3, 4)], key, 7).hex(),
        "aggregate_root": merkle.root(merkle.prefix_leaves([numbers_[:3], numbers_[3:]])).hex(),
    }


if __name__ == "__main__":
    if "--new-keys" in sys.argv:
        new_keys()
    write("derived.json", derived())
    write("merkle.json", merkle_vectors())
    write("transcript.json", transcript_vectors())
    write("packing.json", packing_vectors())
    write("rotation.json", rotation_vectors())
    write("wire.json", wire_vectors())
