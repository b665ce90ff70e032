"""Secrets that a test knows, and whether any of them is in what a node leaves behind."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

LEAST_BYTES = 7  # what is shorter is found by chance


@dataclass
class Canaries:
    """Each secret in every form in which bytes and numbers are commonly written."""

    needles: dict[bytes, str] = field(default_factory=dict)

    def add(self, name: str, secret: bytes | int | str) -> None:
        for needle in _forms(secret):
            assert len(needle) >= LEAST_BYTES, f"{name} is too short to be looked for"
            self.needles[needle] = name

    def found(self, haystack: bytes) -> set[str]:
        """Names of the secrets that are in it."""
        return {name for needle, name in self.needles.items() if needle in haystack}

    def found_below(self, folders: Iterable[Path]) -> dict[str, set[str]]:
        """By file, of all files below these folders, those that are being written included."""
        files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        assert files, "there is something to look through"
        return {str(path): names for path in files if (names := self.found(path.read_bytes()))}


def _forms(secret: bytes | int | str) -> Iterable[bytes]:
    if isinstance(secret, str):
        yield secret.encode()
        yield base64.b64encode(secret.encode()).rstrip(b"=")
        return
    raw = secret if isinstance(secret, bytes) else secret.to_bytes((secret.bit_length() + 7) // 8, "big")
    yield raw
    yield raw[::-1]
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield base64.b64encode(raw).rstrip(b"=")[:-1]
    yield str(int.from_bytes(raw, "big")).encode()
