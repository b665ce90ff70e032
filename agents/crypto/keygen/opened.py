"""What was posted of opened candidates, compared with what their leaves give (D12): integers alone, and no ciphertext.

An answer for one candidate may be a copy of a request for another, decrypted into a share of N_k: then that is not what the leaves give.
Who made it so is not to be seen here, as a wrong answer changes the share of whoever got it: the seeds tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from defedbio.crypto import numbers
from defedbio.crypto.keygen import candidates
from defedbio.crypto.keygen.candidates import Candidate
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.paillier import PublicKey


@dataclass
class Batch:
    """What was posted of a batch: for each contributor its commitment and requests (two for each candidate), its answers to each other by
    candidate, its shares and its factors of the trials; `context` is what the answers' masks are bound to."""

    number: int
    commitments: list[bytes]
    requests: list[list[tuple[int, int]]]
    context: bytes = b""
    answers: dict[tuple[int, int], dict[int, int]] = field(default_factory=dict)
    shares: list[list[int]] = field(default_factory=list)
    products: list[int] = field(default_factory=list)
    alive: list[int] = field(default_factory=list)
    trials: list[list[int]] = field(default_factory=list)
    survivor: int | None = None


def differs(terms: Terms, keys: Sequence[PublicKey], batch: Batch, leaves: Sequence[Sequence[bytes | None]]) -> bool:
    """Whether a share of a candidate that `leaves` open, by contributor and candidate, is another than they give, or a candidate of two
    primes did not survive that came before the survivor.

    What was posted in the trial of any other candidate changed nothing: it would not have survived.
    """
    known = [{k: leaf for k, leaf in enumerate(those) if leaf is not None} for those in leaves]
    mine = [
        dict(zip(those, candidates.candidates(terms, position, list(those.values())), strict=True)) for position, those in enumerate(known)
    ]
    return _shares(terms, keys, batch, known, mine) != [[posted[k] for k in known[0]] for posted in batch.shares] or _kept_back(batch, mine)


def _shares(
    terms: Terms, keys: Sequence[PublicKey], batch: Batch, leaves: Sequence[dict[int, bytes]], mine: Sequence[dict[int, Candidate]]
) -> list[list[int]]:
    """All contributors' shares of N_k: what they add of their own, and of every answer the part of who gave it and of who got it."""
    totals = [{k: c.p * c.q for k, c in those.items()} for those in mine]
    for position, other in batch.answers:
        indices = [k for k in candidates.answered(terms, position, other) if k in leaves[position]]
        hidden = candidates.masks(terms, keys[other], other, [leaves[position][k] for k in indices], batch.context)
        for k, mask in zip(indices, hidden, strict=True):
            asked, answering = mine[other][k], mine[position][k]
            totals[position][k] -= mask.plaintext
            totals[other][k] += (asked.p * answering.q + asked.q * answering.p + mask.plaintext) % keys[other].n
    return [[total % terms.share_modulus for total in those.values()] for those in totals]


def _kept_back(batch: Batch, mine: Sequence[dict[int, Candidate]]) -> bool:
    for k in batch.alive:
        if k == batch.survivor:
            return False
        p, q = (sum(getattr(those[k], name) for those in mine) for name in ("p", "q"))
        if numbers.is_prime(p) and numbers.is_prime(q):
            return True
    return False
