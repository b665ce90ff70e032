"""Everything in a bundle that is written from its evidence, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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


def documents(evidence: Evidence, checks: Sequence[Check], verdict: str) -> dict[str, bytes]:
    """File name -> bytes; the same for the same evidence and the same `fingerprint`."""
    from defedbio.audit.page import html
    from defedbio.audit.pdf import pdf

    document = document_of(evidence, checks, verdict)
    return {HTML: html(document), PDF: pdf(document), CRATE: crate(evidence), CONTROLS: controls.raw()}


@cache
def fingerprint() -> str:
    """Names the code that renders: a report is only held against one that the same code writes."""
    digest = hashlib.sha256(version("reportlab").encode())
    sources = [
        *_below(files("defedbio.audit")),
        files("defedbio.network").joinpath("describe.py"),
        *(files("defedbio.protocol").joinpath(name) for name in ("left_out.py", "verify.py")),
    ]
    for source in sorted(sources, key=lambda item: item.name):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _below(folder: Traversable) -> list[Traversable]:
    found = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _below(item) if item.name == "templates" else []
        elif item.name.endswith((".py", ".json", ".html", ".css")):
            found.append(item)
    return found
