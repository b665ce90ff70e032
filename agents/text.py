"""Others' words, made safe to show."""

from __future__ import annotations

from datetime import UTC, datetime

# A day before the calendar ends, so that it can be told in every time zone.
LATEST_SECONDS = 253_402_214_399


def printable(text: str, keep: str = "") -> str:
    """Text without what steers a terminal or hides its order; the characters of `keep` (such as line ends) stay."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def moment(seconds: float) -> datetime:
    """Unix seconds that somebody else wrote, in UTC; what no calendar of ours holds is the last that it does."""
    return datetime.fromtimestamp(seconds if 0 <= seconds <= LATEST_SECONDS else LATEST_SECONDS, UTC)
