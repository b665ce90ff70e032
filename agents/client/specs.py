"""Studies' specs, however a caller names them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from defedbio.client.session import Session
from defedbio.errors import InvalidInput
from defedbio.spec import StudySpec

# A spec in a file, as a document, or parsed already; or a study's number on the chain.
Spec = str | os.PathLike[str] | Mapping[str, Any] | StudySpec
AnySpec = int | Spec


def parse(spec: Spec) -> StudySpec:
    """A spec, parsed and checked.

    Raises:
        InvalidInput: if the file cannot be read. InvalidSpec: saying where the spec breaks its schema or a rule.
    """
    if isinstance(spec, StudySpec):
        return spec
    if isinstance(spec, Mapping):
        return StudySpec.from_bytes(json.dumps(spec, indent=1).encode())
    try:
        return StudySpec.from_bytes(Path(spec).read_bytes())
    except OSError as error:
        raise InvalidInput(f"the spec {os.fspath(spec)} cannot be read: {type(error).__name__}") from None


def resolve(session: Session, spec: AnySpec) -> StudySpec:
    """As `parse`; a number is that of a study on the chain."""
    return session.reader().spec(spec)[1] if isinstance(spec, int) else parse(spec)
