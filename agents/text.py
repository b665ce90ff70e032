"""Others' words, made safe to show."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Text without what steers a terminal or hides its order; the characters of `keep` (such as line ends) stay."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)
