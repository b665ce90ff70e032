"""DeFed-Bio's Python package. `from defedbio import Client` is its API (docs/client.md); the rest is for those who work on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from defedbio.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    """The client when it is asked for (PEP 562): importing any module of the package runs this file, and must not load all of it."""
    if name == "Client":
        from defedbio.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
