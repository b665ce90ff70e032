"""Who is at fault for a ceremony that failed (D4): a function of what is on the chain, the seeds among it.

Contributors' messages are made again from their seeds and held against the hashes on the chain, so that nobody's IPFS node has to have
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from defedbio.ceremony.machine import Machine, MakeMachine, Terms
from defedbio.ceremony.view import CeremonyView
from defedbio.errors import InvalidInput, PeerFault

POST, SHARE, WITHHELD = "post: ", "share: ", "withheld: "
"""How a complaint begins: that a post is wrong, that the own share is, or that a message could not be had. The last names nobody, as who
keeps a message back cannot be told from who says that it was kept back."""


@dataclass(frozen=True)
class Verdict:
    """The positions (from 0) of those at fault, and why; nobody where that cannot be said."""

    positions: tuple[int, ...]
    reason: str


def verdict(view: CeremonyView, terms: Terms, make: MakeMachine, first: Mapping[int, bytes]) -> Verdict:
    """The verdict on a failed ceremony. `first` are the messages of step 0 of those who contribute nothing, by position, as far as they
    could be had; they are needed from step 1 on."""
    if view.missing:
        what = "confirm the epoch" if view.epoch is not None else f"post in step {view.step}"
        return Verdict(view.missing.positions(), f"did not {what} in time")
    silent = tuple(i for i in range(view.threshold) if i not in view.seeds)
    if silent:
        return Verdict(silent, "published no seed")
    machines = {i: make(terms, i, view.seeds[i]) for i in range(view.threshold)}
    done: list[list[bytes]] = []
    try:
        for number, step in enumerate(view.steps):
            made = {i: machines[i].message(done) if i in machines else first.get(i) for i in step.posts}
            wrong = [i for i in sorted(made) if (message := made[i]) is not None and not step.posts[i].is_of(message)]
            if wrong:
                return Verdict((wrong[0],), f"what it posted in step {number} is not the hash and CID of the message that its seed gives")
            lacking = [i for i in sorted(made) if made[i] is None]
            if lacking:
                return Verdict((), f"the message of holder {lacking[0] + 1} is not to be had")
            if number == view.step:
                break
            done.append([made[i] or b"" for i in range(view.posters_of(number))])
        machines[0].awaited(done)
        return _of_the_end(view, machines[0], done)
    except PeerFault as fault:
        named = tuple(i for i, holder in enumerate(view.holders) if holder.lower() == fault.peer.lower())
        return Verdict(named, fault.message)
    except InvalidInput:
        return Verdict((), f"somebody posted in step {len(done)}, which has no messages")


def _of_the_end(view: CeremonyView, machine: Machine, done: list[list[bytes]]) -> Verdict:
    """Where every message is what its seed gives: a wrong proposal, else what was right and was said to be wrong."""
    if view.epoch is not None:
        proposer = (view.holders.index(view.epoch.proposer),)
        if machine.awaited(done).sizes:
            return Verdict(proposer, "it proposed an epoch before the last step was over")
        if machine.transcript(done).hash != view.epoch.transcript_hash:
            return Verdict(proposer, "it proposed another transcript than the messages come to")
    for holder, reason in view.complaints:
        if not reason.startswith(WITHHELD):
            return Verdict((view.holders.index(holder),), "it said that something is wrong, and every message is what its seed gives")
    return Verdict((), "every message is what its seed gives")
