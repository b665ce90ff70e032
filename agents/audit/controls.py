"""Requirements of laws and standards, and what a bundle's evidence supports of each: the data is in controls.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Control:
    """`evidence` names files or folders of a bundle; without any, nothing is supported."""

    framework: str
    reference: str
    title: str
    supports: str
    evidence: tuple[str, ...]
    does_not_support: str


@cache
def raw() -> bytes:
    """The data file's bytes, as a bundle holds them."""
    return files("defedbio.audit").joinpath("controls.json").read_bytes()


@cache
def controls() -> tuple[Control, ...]:
    return tuple(Control(**entry | {"evidence": tuple(entry["evidence"])}) for entry in json.loads(raw())["controls"])


def note() -> str:
    """What the table claims and what not."""
    return str(json.loads(raw())["note"])
