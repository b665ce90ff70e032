"""The operator's consent: a study's spec that it read and accepted (S2)."""

from __future__ import annotations

import time
from pathlib import Path

from defedbio.config import read_json, write_private
from defedbio.errors import InvalidInput

FORMAT = "defedbio-accepted/1"


def accept(folder: Path, study: int, spec_hash: bytes) -> None:
    """Record that the operator accepted the spec of this hash for the study whose files are in `folder`."""
    document = {"format": FORMAT, "study": study, "spec_hash": spec_hash.hex(), "accepted_at": int(time.time())}
    write_private(folder / "accepted.json", document, replace=True)


def check_accepted(folder: Path, study: int, spec_hash: bytes) -> None:
    """Raises NotFound if the operator never accepted this study, InvalidInput if it accepted another spec."""
    accepted = read_json(folder / "accepted.json", f"acceptance of study {study}", f"run `defedbio study join {study}` first")
    if accepted.get("format") != FORMAT or accepted.get("spec_hash") != spec_hash.hex():
        raise InvalidInput(f"the spec accepted for study {study} is not the chain's", f"read it again with `defedbio study join {study}`")
