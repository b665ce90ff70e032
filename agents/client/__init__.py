"""What one organisation can do, for programs and notebooks; the command line is its first user."""

from __future__ import annotations

from defedbio.client.client import Client
from defedbio.nodes.options import RunOptions

__all__ = ["Client", "RunOptions"]
