"""Evidence of a study that stands by itself: made from chain and IPFS, checked without either."""

from __future__ import annotations

from defedbio.audit.check import check_bundle
from defedbio.audit.make import make_bundle
from defedbio.audit.verdict import verdict_of

__all__ = ["check_bundle", "make_bundle", "verdict_of"]
