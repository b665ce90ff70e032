"""What all checks of a bundle together say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from defedbio.protocol.verify import Check

Verdict = Literal["verified", "partly verified", "consistent in itself", "NOT verified"]


@dataclass(frozen=True)
class NotPossible(Check):
    """A step for which the bundle has not the means; it neither holds nor fails."""


@dataclass(frozen=True)
class OwnWord(Check):
    """Something on which all else rests, and which was taken from the bundle itself: whoever made the bundle chose it."""


def verdict_of(checks: Iterable[Check]) -> Verdict:
    """The least that any check allows: a failure before a bundle's own word, and that before a step that was not possible."""
    listed = list(checks)
    if not all(check.ok for check in listed):
        return "NOT verified"
    if any(isinstance(check, OwnWord) for check in listed):
        return "consistent in itself"
    return "partly verified" if any(isinstance(check, NotPossible) for check in listed) else "verified"
