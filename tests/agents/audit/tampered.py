"""What somebody does to a bundle who wants to deceive."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from defedbio.audit.bundle import MANIFEST, Folder, Manifest, canonical, digests


def forged(bundle: Path) -> Path:
    """The bundle with a manifest that fits whatever was changed."""
    manifest = Manifest.from_bytes((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).unlink()
    (bundle / MANIFEST).write_bytes(replace(manifest, files=dict(digests(Folder(bundle)))).to_bytes())
    return bundle


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(canonical(document))
