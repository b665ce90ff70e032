"""Peak memory of one node that checks, aggregates, shares and combines a round's updates, step by step.

    python -m benchmarks.growth.memory [--parameters 1000000] [--organisations 10] [--bits 3072] [--slot-bits 24] [--proofs none]

A process of its own imports what an agent imports (torch as well), then does what the effects of a round do, in their order, keeping what
they keep: the encryption table, every checked update until the end, its own aggregate's blob. Updates are uniform units modulo n², which is
what encryption gives; with proofs, the default, each encrypts a vector of the clip norm and comes with its proof. They are read from files
as from an IPFS node, four at once. The peak of each step is the kernel's VmHWM, reset before it.
Results go to build/benchmarks/memory.json, a Markdown table to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "benchmarks" / "memory.json"
GOAL_MB = 400
CLIP, CAP = 1.0, 1000
AT_ONCE = 4
T = TypeVar("T")


class Meter:
    """Peak resident memory by step."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}

    def step(self, name: str, work: Callable[[], T]) -> T:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to what is resident now
        started = time.process_time()
        result = work()
        seconds = time.process_time() - started
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        peak, resident = (int(status[field].split()[0]) * 1024 / 1e6 for field in ("VmHWM", "VmRSS"))
        self.steps[name] = {"peak_mb": peak, "resident_mb": resident, "seconds": seconds}
        return result


def worker(folder: Path, parameters: int, organisations: int, bits: int, slot_bits: int, proofs: str) -> None:
    meter = Meter()

    def imports() -> None:
        import torch  # noqa: F401

        import defedbio.nodes.organisation
        import defedbio.nodes.service  # noqa: F401

    meter.step("imports", imports)
    import numpy as np

    from benchmarks.crypto.measuring import primes
    from defedbio.crypto import encoding, roots, threshold, wire
    from defedbio.crypto.merkle import keccak256
    from defedbio.crypto.paillier import FixedBaseTable, ObfuscatorPool, encrypt_to_prove
    from defedbio.crypto.proofs import contribution
    from defedbio.crypto.proofs import share as share_proof
    from defedbio.crypto.proofs.statement import Block, Form, Piece, Statement, Witness
    from defedbio.domain import Quantisation, RoundContext, Segment
    from defedbio.protocol.form import rule_of
    from defedbio.spec import widest_scale

    quorum = organisations // 2 + 1
    key, shares = threshold.deal_from_primes(*primes(bits), quorum, organisations, os.urandom)
    public, context = key.public_key, RoundContext(31337, "0x" + "c0" * 20, 1, 1)
    quantisation = Quantisation(slot_bits, widest_scale(slot_bits, CLIP, organisations), CAP, clip_norm=CLIP)
    segment = Segment("update", parameters, quantisation)
    form = Form(bits, CAP, (Block(slot_bits, (Piece("update", parameters, rule_of(segment)),)),))
    layout, sender = form.layout, "0x" + "00" * 20
    headers = {kind: wire.Header.make(kind, context, sender, layout) for kind in wire.BlobKind}
    if proofs == "required":
        headers[wire.BlobKind.UPDATE] = wire.Header.make(wire.BlobKind.UPDATE, context, sender, layout, contribution.size(form))
    count = headers[wire.BlobKind.UPDATE].count

    def claimed(ciphertexts: list[int]) -> Statement:
        return Statement(form, public, context, 1, sender, bytes(32), ciphertexts)

    def contribute(pool: ObfuscatorPool) -> tuple[list[int], bytes]:
        """Ciphertexts and proof of a vector of the clip norm."""
        vector = np.random.default_rng().normal(size=parameters)
        values = encoding.encode([vector * CLIP], CAP, [segment], os.urandom)
        encrypted = encrypt_to_prove(public, layout.pack(values, public.n), pool)
        if proofs == "none":
            return encrypted.ciphertexts, b""
        witness = Witness(tuple(layout.split(values)), encrypted.exponents)
        return encrypted.ciphertexts, contribution.prove(claimed(encrypted.ciphertexts), witness, os.urandom)

    made = folder / "made"
    if not made.exists():  # by a first worker, whose own memory does not count
        pool = ObfuscatorPool(public, os.urandom)
        for organisation in range(organisations):
            values = [int.from_bytes(os.urandom(public.ciphertext_bytes), "big") % public.n_squared for _ in range(count)]
            made_of = contribute(pool) if proofs == "required" else (values, b"")
            (folder / f"update-{organisation}").write_bytes(wire.encode_update(headers[wire.BlobKind.UPDATE], *made_of))
        made.touch()
        return
    table = meter.step("encryption table", lambda: FixedBaseTable(public))

    def own_update() -> bytes:
        pool = ObfuscatorPool(public, os.urandom, table)
        pool.fill(count)
        ciphertexts, proof = contribute(pool)
        blob = wire.encode_update(headers[wire.BlobKind.UPDATE], ciphertexts, proof)
        roots.update_root(ciphertexts, public)
        return blob

    meter.step("encrypt, prove and encode" if proofs == "required" else "encrypt and encode", own_update)

    def check(organisation: int) -> wire.UpdatePayload:
        update = wire.decode_update((folder / f"update-{organisation}").read_bytes(), headers[wire.BlobKind.UPDATE], public)
        roots.update_root(update.ciphertexts, public)
        return update

    def check_all() -> list[wire.UpdatePayload]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(check, range(organisations)))

    arrived = meter.step("check", check_all)
    if proofs == "required":
        statements = [claimed(update.ciphertexts) for update in arrived]
        found = meter.step(
            "check the proofs together", lambda: contribution.verify_all(statements, [update.proof for update in arrived], os.urandom)
        )
        assert found == [None] * organisations
    updates = [update.ciphertexts for update in arrived]

    def aggregate() -> tuple[bytes, bytes]:
        product, root = roots.product_and_root(updates, public)
        return wire.encode_aggregate(headers[wire.BlobKind.AGGREGATE], product), root

    blob, root = meter.step("aggregate", aggregate)

    def release(holder: int) -> bytes:
        ciphertexts = wire.decode_aggregate(blob, headers[wire.BlobKind.AGGREGATE], public)
        values = threshold.share(key, shares[holder], ciphertexts)
        statement = share_proof.ShareStatement(key, context, holder + 1, root, ciphertexts, values)
        proof = share_proof.prove(statement, shares[holder], os.urandom).to_bytes(bits)
        roots.share_root(values, public)
        return wire.encode_share(headers[wire.BlobKind.SHARE], values, proof)

    (folder / "share-0").write_bytes(meter.step("share", lambda: release(0)))
    for holder in range(1, quorum):  # the other holders' work, in their own processes in a real round
        (folder / f"share-{holder}").write_bytes(release(holder))

    def combine() -> tuple[list[int], list[Any]]:
        ciphertexts = wire.decode_aggregate(blob, headers[wire.BlobKind.AGGREGATE], public)
        values = {
            holder + 1: wire.decode_share((folder / f"share-{holder}").read_bytes(), headers[wire.BlobKind.SHARE], public).values
            for holder in range(quorum)
        }
        return ciphertexts, threshold.combine(key, ciphertexts, values)

    ciphertexts, openings = meter.step("combine", combine)
    meter.step("check the openings", lambda: threshold.check_openings(key, ciphertexts, openings, os.urandom))
    meter.step("encode the opening", lambda: keccak256(wire.encode_opening(headers[wire.BlobKind.OPENING], openings)))
    print(json.dumps({"ciphertexts": count, "update_bytes": headers[wire.BlobKind.UPDATE].size, "steps": meter.steps}))


def rows(report: dict[str, Any]) -> Iterator[str]:
    steps, options = report["steps"], report["options"]
    yield f"{options['parameters']:,} parameters, {options['organisations']} organisations, {options['bits']} bits"
    yield ""
    yield "| step | peak MB | MB kept after it | CPU s |"
    yield "|---|---|---|---|"
    for name, row in steps.items():
        yield f"| {name} | {row['peak_mb']:.0f} | {row['resident_mb']:.0f} | {row['seconds']:.1f} |"
    peak, imports = max(row["peak_mb"] for row in steps.values()), steps["imports"]["resident_mb"]
    yield f"| **peak** | **{peak:.0f}** ({peak - imports:.0f} above the imports; goal {GOAL_MB}) | | |"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--organisations", type=int, default=10)
    parser.add_argument("--bits", type=int, default=3072, choices=(2048, 3072))
    parser.add_argument("--slot-bits", type=int, default=24)
    parser.add_argument("--proofs", choices=("required", "none"), default="required")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    options = (arguments.parameters, arguments.organisations, arguments.bits, arguments.slot_bits, arguments.proofs)
    if arguments.worker:
        worker(arguments.worker, *options)
        return 0
    with tempfile.TemporaryDirectory(prefix="defedbio-memory-") as folder:
        command = [sys.executable, "-m", "benchmarks.growth.memory", "--worker", folder]
        for name, value in zip(("parameters", "organisations", "bits", "slot-bits", "proofs"), options, strict=True):
            command += [f"--{name}", str(value)]
        for _ in range(2):
            done = subprocess.run(
                command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True
            )
    report = {
        "options": dict(zip(("parameters", "organisations", "bits", "slot_bits", "proofs"), options, strict=True)),
        **json.loads(done.stdout),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1), "utf-8")
    print("\n".join(rows(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
