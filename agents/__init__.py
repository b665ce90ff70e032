"""DeFed-Bio's Python package. What `from defedbio import ...` names is its API (docs/client.md); the rest is for those who work on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from defedbio.client import Client, RunOptions

__all__ = ["Client", "RunOptions"]


def __getattr__(name: str) -> Any:
    """The client when it is asked for (PEP 562): importing any module of the package runs this file, and must not load all of it."""
    if name in __all__:
        from defedbio import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
