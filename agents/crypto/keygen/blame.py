"""Who is at fault for a ceremony that failed, once the contributors have published their seeds (D4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defedbio.crypto.keygen.machine import Progress, Secrets
from defedbio.crypto.keygen.terms import Terms
from defedbio.errors import PeerFault


@dataclass(frozen=True)
class Verdict:
    """The positions (from 0) of those at fault, and why; nobody where all did as they should."""

    positions: tuple[int, ...]
    reason: str


def blame(terms: Terms, posts: Sequence[Sequence[bytes | None]], seeds: Mapping[int, bytes], complainer: int | None = None) -> Verdict:
    """The verdict on a failed ceremony.

    Args:
        posts: of every step; the last may miss some (None).
        seeds: by position, of the contributors that published one.
        complainer: the holder that complained of the last step's posts, if one did.

    All messages are recomputed in their order, and the first that differs names who made it. What a holder that does not contribute
    posted in step 0 is checked alone, as nothing is made of it but boxes.
    """
    whole = [list(step) for step in posts]
    silent = tuple(i for step in whole for i, post in enumerate(step) if post is None)
    if silent:
        return Verdict(silent, "posted nothing before the time was over")
    missing = tuple(i for i in range(terms.threshold) if i not in seeds)
    if missing:
        return Verdict(missing, "published no seed")
    progress, secrets = Progress(terms), {i: Secrets(terms, i, seeds[i]) for i in range(terms.threshold)}
    done: list[list[bytes]] = []
    try:
        for step, given in enumerate(whole):
            record = progress.after(done)
            for position, secret in secrets.items():
                if secret.message(record) != given[position]:
                    return Verdict((position,), f"its message of step {step} is not what its seed gives")
            done.append([post for post in given if post is not None])
        progress.after(done)
    except PeerFault as fault:
        return Verdict(tuple(i for i, address in enumerate(terms.holders) if address == fault.peer), fault.message)
    if complainer is not None:
        return Verdict((complainer,), "its complaint was false: every message is what its seed gives")
    return Verdict((), "every message is what its seed gives")
