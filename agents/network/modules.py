"""Torch modules that an operator brought and allowed by the hash of their source (S2). Nothing of them comes from chain or IPFS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from defedbio.config import write_private, write_private_bytes
from defedbio.errors import InvalidInput, NotFound
from defedbio.learning.custom import Maker, load_module
from defedbio.spec import StudySpec

MAX_SOURCE_BYTES = 1 << 20


def allow(folder: Path, source: Path) -> str:
    """Copy a module's source into the operator's folder under its sha256, which is returned: the study's spec names it.

    Raises:
        InvalidInput: if it cannot be read, is too large or does not define `build`.
    """
    raw = _read(source)
    digest = hashlib.sha256(raw).hexdigest()
    load_module(raw, source.name)
    write_private_bytes(folder / f"{digest}.py", raw, replace=True)
    write_private(folder / f"{digest}.json", {"sha256": digest, "name": source.stem, "bytes": len(raw)}, replace=True)
    return digest


def sources(folder: Path) -> dict[str, bytes]:
    """The sources of the allowed modules by hash, unrun; a file that no longer has the hash it was allowed by is refused.

    Raises:
        InvalidInput, NotFound: naming the file that changed or is gone.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        source = path.with_suffix(".py")
        if not source.is_file():
            raise NotFound(f"the allowed module {path.stem} has no source", f"allow it again, or delete {path}")
        raw = _read(source)
        if hashlib.sha256(raw).hexdigest() != path.stem:
            raise InvalidInput(f"{source} is not the source that was allowed", "read it and allow it again")
        found[path.stem] = raw
    return found


def allowed(folder: Path) -> dict[str, Maker]:
    """The allowed modules by hash. Raises what `sources` does."""
    return {digest: load_module(raw, f"{digest}.py") for digest, raw in sources(folder).items()}


def needed(spec: StudySpec, folder: Path) -> dict[str, Maker]:
    """`allowed`, if the study's model is one of them; else none, so that no source runs without need."""
    return allowed(folder) if spec.model.kind == "module" else {}


def read_modules(sources: Iterable[Path]) -> dict[str, Maker]:
    """Modules named on the command line, by the sha256 of their sources."""
    found = {}
    for source in sources:
        raw = _read(source)
        found[hashlib.sha256(raw).hexdigest()] = load_module(raw, source.name)
    return found


def _read(source: Path) -> bytes:
    try:
        raw = source.read_bytes()
    except OSError as error:
        raise InvalidInput(f"the module {source} cannot be read: {type(error).__name__}") from None
    if len(raw) > MAX_SOURCE_BYTES:
        raise InvalidInput(f"the module {source} is longer than {MAX_SOURCE_BYTES} bytes")
    return raw
