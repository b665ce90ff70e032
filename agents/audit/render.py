"""Everything in a bundle that is written from its evidence, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from defedbio.audit import controls
from defedbio.audit.bundle import CONTROLS, CRATE, HTML, PDF
from defedbio.audit.crate import crate
from defedbio.audit.evidence import Evidence
from defedbio.audit.report import document_of
from defedbio.protocol.verify import Check


def documents(evidence: Evidence, checks: Sequence[Check]) -> dict[str, bytes]:
    """File name -> bytes; the same for the same evidence and the same `fingerprint`."""
    from defedbio.audit.page import html
    from defedbio.audit.pdf import pdf

    document = document_of(evidence, checks)
    return {HTML: html(document), PDF: pdf(document), CRATE: crate(evidence), CONTROLS: controls.raw()}


@cache
def fingerprint() -> str:
    """Names the code that renders: a report is only held against one that the same code writes."""
    digest = hashlib.sha256(version("reportlab").encode())
    for path, source in sorted(sources().items()):
        digest.update(path.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def sources() -> dict[str, Traversable]:
    """By path below the package, every file whose words or order can show in a report."""
    package = files("defedbio")
    single = (
        *("text.py", "network/consent.py", "network/describe.py", "protocol/left_out.py", "protocol/verify.py"),
        *("learning/possible.py", "learning/statistics.py", "learning/evaluation_sums.py"),
    )
    folders = ("audit", "spec/features", "learning/tasks")
    below = (found for folder in folders for found in _below(folder, package.joinpath(*folder.split("/"))))
    return {path: package.joinpath(*path.split("/")) for path in single} | dict(below)


def _below(name: str, folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        path = f"{name}/{item.name}"
        if item.is_dir():
            yield from _below(path, item) if item.name == "templates" else ()
        elif item.name.endswith((".py", ".json", ".html", ".css")):
            yield path, item
