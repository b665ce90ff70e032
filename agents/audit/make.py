"""Make a bundle: collect, examine what was collected, write the report from what holds, and put everything in place at once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from defedbio.audit import render
from defedbio.audit.bundle import MANIFEST, Folder, Manifest, bundle_id, digests, pack
from defedbio.audit.check import Examination
from defedbio.audit.collect import Collector, Progress
from defedbio.audit.verdict import Verdict, verdict_of
from defedbio.errors import BadEvidence, InvalidInput
from defedbio.protocol.reading import Reader
from defedbio.protocol.verify import Check


@dataclass(frozen=True)
class Made:
    """`id` is to be kept and told apart from the bundle: with it, a replaced bundle is known. It holds all that verification needs of the
    `complete` finalised rounds, and not of the `incomplete` ones."""

    path: Path
    id: str
    anchor: int
    anchor_hash: bytes
    files: int
    bytes: int
    missing: tuple[str, ...]
    checks: tuple[Check, ...]
    complete: tuple[int, ...] = ()
    incomplete: tuple[int, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """By the network file and the node of whoever made it. Others have to bring their own."""
        return verdict_of(self.checks)


def make_bundle(
    connection: Reader,
    study: int,
    out: Path,
    *,
    updates: bool = True,
    zipped: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Made:
    """Write the evidence of a study as the chain tells it now (less the client's confirmations) to `out`, which must not exist.

    `updates=False` leaves out the ciphertexts of updates, aggregates and shares; `zipped`, or a name that ends in .zip, makes one file of
    the folder. A round that does not verify does not stop it: the report says so.

    Raises:
        InvalidInput: if `out` is there or cannot be written. NotFound: for an unknown study. Unreachable, PeerFault: if chain or IPFS does
            not give what is needed.
    """
    if out.exists() or out.is_symlink():
        raise InvalidInput(f"{out} exists already", "name another target")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}") from None
    try:
        folder = work / "bundle"
        folder.mkdir()
        made = _fill(connection, study, folder, updates, progress)
        if zipped or out.suffix == ".zip":
            with (work / "zip").open("wb") as target:
                pack(Folder(folder), target)
            (work / "zip").rename(out)
        else:
            folder.rename(out)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return replace(made, path=out)


def _fill(connection: Reader, study: int, folder: Path, updates: bool, progress: Progress) -> Made:
    client = connection.client
    anchor = client.header(max(client.head().number - client.confirmations, client.network.deploy_block))
    collector = Collector(connection, study, folder, progress)
    record = collector.chain(anchor)
    collector.documents(record)
    collector.blobs(connection.frame(study), record, updates)

    collected = Folder(folder)
    rendering = render.fingerprint()
    draft = Manifest(study, client.network.chain_id, anchor.number, updates, tuple(collector.missing), rendering, dict(digests(collected)))
    examination = Examination(collected, draft, client.network)
    checks = _watched(examination.run(), progress)
    if examination.evidence is None:
        failed = next(check for check in checks if not check.ok)
        raise BadEvidence(f"what chain and IPFS gave does not hold together: {failed.name}: {failed.detail}", peer=failed.peer)
    for name, content in render.documents(examination.evidence, checks).items():
        (folder / name).write_bytes(content)
    manifest = replace(draft, files=dict(digests(Folder(folder))))
    raw = manifest.to_bytes()
    (folder / MANIFEST).write_bytes(raw)
    size = len(raw) + sum(size for _, size in manifest.files.values())
    complete = examination.complete
    return Made(
        folder,
        bundle_id(raw),
        anchor.number,
        anchor.hash,
        len(manifest.files) + 1,
        size,
        tuple(collector.missing),
        tuple(checks),
        complete,
        tuple(view.id for view in record.view.finalised if view.id not in complete),
    )


def _watched(checks: Iterable[Check], progress: Progress) -> list[Check]:
    made: list[Check] = []
    for check in checks:
        made.append(check)
        progress(f"checks: {check.name}", len(made), 0)
    return made
