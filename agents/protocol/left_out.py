"""Why a participant's update is not in a round's sum: the one reading of what events and key holders say of it (P3)."""

from __future__ import annotations

from defedbio.domain import MAX_PARTICIPANTS
from defedbio.protocol.view import RoundView, StudyView
from defedbio.text import printable

MAX_REASONS_BYTES = 1024  # bytes that the contract takes; no chain of its can hold more


def left_out(study: StudyView, view: RoundView) -> dict[int, str]:
    """By enrolment position, why the frozen set lacks a participant; empty while no set is frozen."""
    if not view.set_hash:
        return {}
    said = reasons(view)

    def why(position: int, who: str) -> str:
        if position in view.reveals:
            return ", ".join(said.get(position, ())) or "no reason given"
        return "never revealed" if who in view.commitments else "never committed"

    return {position: why(position, who) for position, who in enumerate(study.participants) if position not in view.frozen}


def reasons(view: RoundView) -> dict[int, tuple[str, ...]]:
    """By enrolment position, the different reasons that were given for leaving a revealed update out of the frozen set, sorted.

    Only the holders that attested to the frozen set are heard: what another said was said of another set. Their text is free, so what
    is not written `position:reason;position:reason` is passed over. Empty while no set is frozen.
    """
    found: dict[int, set[str]] = {}
    for holder, text in view.reasons.items():
        if view.set_hash and view.attested.get(holder) == view.frozen:
            for entry in text[:MAX_REASONS_BYTES].split(";"):
                number, _, reason = entry.partition(":")
                if number.isascii() and number.isdecimal() and len(number) < 4 and int(number) < MAX_PARTICIPANTS and reason:
                    found.setdefault(int(number), set()).add(printable(reason))
    return {position: tuple(sorted(given)) for position, given in found.items()}
