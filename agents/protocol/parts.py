"""P6: who combines which part of an opening: a pure function of what the chain holds, so that everyone expects the same parts.

The enrolled holders whose shares opened the round have all that combining takes, and were there a moment ago. What anybody says of their
shares changes nothing here: a node that refused one itself does without parts.
"""

from __future__ import annotations

from defedbio.protocol.view import RoundView, StudyView

LEAST = 64  # ciphertexts: combining fewer takes less time than putting their part on the chain


def openers(study: StudyView, view: RoundView, threshold: int) -> tuple[str, ...]:
    """The enrolled holders of the first `threshold` shares of the round's aggregate, in their order."""
    root = view.aggregate_root(threshold)
    first = [share.holder for share in view.shares if share.aggregate_root == root][:threshold]
    return tuple(holder for holder in first if holder in study.participants)


def parts(study: StudyView, view: RoundView, threshold: int, ciphertexts: int) -> dict[str, range]:
    """By opener the ciphertexts that it combines, in their order. Empty where they are too few to share out: one combines them all."""
    who = openers(study, view, threshold)[: ciphertexts // LEAST]
    if len(who) < 2:
        return {}
    return {opener: range(i * ciphertexts // len(who), (i + 1) * ciphertexts // len(who)) for i, opener in enumerate(who)}
