"""The operator's consent to one ceremony, and the seed that is drawn with it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from defedbio.ceremony.machine import Terms
from defedbio.config import SEED, erase, read_json, write_private
from defedbio.crypto.vault import open_with_password, seal_with_password
from defedbio.errors import InvalidInput

ACCEPTED_FORMAT = "defedbio-ceremony-accepted/1"
SEED_FORMAT = "defedbio-ceremony-seed/1"
ACCEPTED = "accepted.json"
SEED_BYTES = 32


def sentence(terms: Terms) -> str:
    """What the operator says yes to."""
    holders = "\n".join(f"  {i}. {holder}" for i, holder in enumerate(terms.holders, 1))
    return (
        f"Ceremony {terms.ceremony} makes a threshold key of {terms.bits} bits, whose holders are\n{holders}\n"
        f"Any {terms.threshold} of them can open what is encrypted under it, fewer cannot, and nobody ever has the whole key.\n"
        f"This organisation makes the key with the others and keeps one share of it. It must stay reachable: each step takes at most "
        f"{_duration(terms.step_seconds)}, and whoever is missing then is named and ends the ceremony.\n"
        "If the ceremony fails, this organisation publishes all that it drew for it, so that everybody sees who did not follow it; that "
        "protects nothing then."
    )


def accept(folder: Path, terms: Terms, password: str) -> None:
    """Record that the operator accepted these terms, with a fresh seed, sealed under the password (D3). Twice is once.

    Raises:
        InvalidInput: if other terms were accepted under this number.
    """
    if accepted(folder, terms):
        return
    if not (folder / SEED).exists():
        box = seal_with_password(os.urandom(SEED_BYTES), password, _label(terms), os.urandom)
        write_private(folder / SEED, {"format": SEED_FORMAT, "box": box})
    write_private(folder / ACCEPTED, _document(terms))


def accepted(folder: Path, terms: Terms) -> bool:
    """Whether the operator accepted the ceremony.

    Raises:
        InvalidInput: if it accepted other terms: the chain was reorganised, or is another.
    """
    if not (folder / ACCEPTED).exists():
        return False
    document = read_json(folder / ACCEPTED, f"acceptance of ceremony {terms.ceremony}", "")
    if document != _document(terms):
        raise InvalidInput(
            f"the terms accepted for ceremony {terms.ceremony} are not the chain's",
            f"move {folder} away if you mean to take part under the terms of now",
        )
    return True


def open_seed(folder: Path, terms: Terms, password: str) -> bytes:
    """The seed.

    Raises:
        NotFound: if it was erased. WrongPassword, InvalidKey.
    """
    hint = "it was erased when the ceremony ended; another ceremony draws another"
    document = read_json(folder / SEED, f"seed of ceremony {terms.ceremony}", hint, {"box": dict})
    return open_with_password(document["box"], password, _label(terms))


def erase_seed(folder: Path) -> None:
    """D5. Nothing happens where it is gone."""
    erase(folder / SEED)


def _label(terms: Terms) -> str:
    return f"{SEED_FORMAT}/{terms.chain_id}/{terms.registry.lower()}/{terms.ceremony}"


def _document(terms: Terms) -> dict[str, Any]:
    return {"format": ACCEPTED_FORMAT, **asdict(terms), "holders": list(terms.holders)}


def _duration(seconds: int) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds} seconds"
