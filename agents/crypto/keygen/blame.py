"""Who is at fault for a ceremony that failed, once the contributors have published their seeds (D4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defedbio.crypto.keygen.machine import Progress, Secrets
from defedbio.crypto.keygen.seeds import SEED_BYTES
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.merkle import keccak256
from defedbio.errors import InvalidInput, PeerFault


@dataclass(frozen=True)
class Verdict:
    """The positions (from 0) of those at fault, and why; nobody where all did as they should, or it cannot be told."""

    positions: tuple[int, ...]
    reason: str


def blame(
    terms: Terms,
    posted: Sequence[Sequence[bytes | None]],
    bystanders: Sequence[bytes],
    seeds: Mapping[int, bytes],
    complainer: int | None = None,
    *,
    timed_out: bool,
) -> Verdict:
    """The verdict on a failed ceremony. All messages are recomputed in the order of the steps, so that no contributor's blob is needed.

    Args:
        posted: keccak256 of what was posted in every step, in the order of its senders; None for what was not posted.
        bystanders: the messages of step 0 of the holders that do not contribute, which are those that `posted` names.
        seeds: by position, of the contributors that published one in time.
        complainer: the position of the holder that said its share was wrong, if one did.
        timed_out: whether the ceremony failed because the last step's time was over, and not before by somebody's word: only then is it a
            fault to have posted nothing in it. Who says that a blob cannot be fetched has nothing to post.

    Raises:
        InvalidInput: for messages that `posted` does not name, or that are missing.
    """
    missing = tuple(i for i in range(terms.threshold) if len(seeds.get(i, b"")) != SEED_BYTES)
    if missing:
        return Verdict(missing, "published no seed")
    progress, secrets = Progress(terms), [Secrets(terms, i, seeds[i]) for i in range(terms.threshold)]
    posts: list[list[bytes]] = []
    try:
        for step, given in enumerate(posted):
            record = progress.after(posts)
            made = [secret.message(record) for secret in secrets]
            for position, message in enumerate(made):
                if given[position] not in (None, keccak256(message)):
                    return Verdict((position,), f"its message of step {step} is not what its seed gives")
            silent = tuple(position for position, hash_ in enumerate(given) if hash_ is None)
            if silent and timed_out:
                return Verdict(silent, f"posted nothing in step {step} before its time was over")
            if silent:
                break
            if step == 0 and [keccak256(message) for message in bystanders] != [*given[terms.threshold :]]:
                raise InvalidInput("the messages of those that do not contribute are not what they posted")
            posts.append([*made, *bystanders] if step == 0 else made)
        else:
            progress.after(posts)
    except PeerFault as fault:
        return Verdict(tuple(i for i, address in enumerate(terms.holders) if address == fault.peer), fault.message)
    if complainer is not None:
        return Verdict((complainer,), "its share is right: every message is what its contributor's seed gives")
    return Verdict((), "every message is what its contributor's seed gives")
