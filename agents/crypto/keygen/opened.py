"""Everything that was posted of opened candidates, compared with what their leaves give (D12).

Shares are compared exactly, and so is whether a candidate should have survived. Ciphertexts are compared in one product for each sender
and key, with weights of 128 bits that are hashed from the openings, which nobody knew when the ciphertexts were posted (Bellare, Garay,
Rabin 1998). Under the key of one who did as it should a wrong plaintext passes with 2^-128. Of a low order in its own group a sender
may add what passes; nothing of an opened candidate is hidden, and its N_k is what the shares say. After a failure every byte is recomputed
(`blame`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from defedbio.crypto import numbers
from defedbio.crypto.keygen import candidates
from defedbio.crypto.keygen.candidates import Candidate, Mask, asked
from defedbio.crypto.keygen.sieve import UNIT
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.transcript import Transcript

WEIGHT_BYTES = 16


@dataclass
class Batch:
    """What was posted of a batch: for each contributor its commitment and requests (two for each candidate), its answers to each other by
    candidate, its shares and its factors of the trials; `context` is what the answers' masks are bound to."""

    commitments: list[bytes]
    requests: list[list[tuple[int, int]]]
    context: bytes = b""
    answers: dict[tuple[int, int], dict[int, int]] = field(default_factory=dict)
    shares: list[list[int]] = field(default_factory=list)
    products: list[int] = field(default_factory=list)
    alive: list[int] = field(default_factory=list)
    trials: list[list[int]] = field(default_factory=list)
    survivor: int | None = None


def check(terms: Terms, keys: Sequence[PublicKey], batch: Batch, leaves: Sequence[Sequence[bytes | None]], weights: bytes) -> None:
    """Compare what was posted of all candidates that `leaves` open, by contributor and candidate; `weights` is a hash of what opened them.

    Raises:
        BadTranscript: naming the contributor whose post differs.
    """
    opened = _Opened(terms, keys, batch, leaves, weights)
    opened.check_ciphertexts()
    opened.check_shares()
    opened.check_trials()


class _Opened:
    def __init__(
        self, terms: Terms, keys: Sequence[PublicKey], batch: Batch, leaves: Sequence[Sequence[bytes | None]], weights: bytes
    ) -> None:
        self._terms, self._keys, self._batch, self._weights = terms, keys, batch, weights
        self._indices = [k for k in range(terms.candidates) if leaves[0][k] is not None]
        known = [{k: leaf for k, leaf in enumerate(those) if leaf is not None} for those in leaves]
        self._leaves: list[dict[int, bytes]] = known
        self._candidates: list[dict[int, Candidate]] = [
            dict(zip(those, candidates.candidates(terms, i, list(those.values())), strict=True)) for i, those in enumerate(known)
        ]
        self._masks: dict[tuple[int, int], dict[int, Mask]] = {}

    def check_ciphertexts(self) -> None:
        """Together, and one by one only to find the first that differs: a request's changes the answers to it."""
        t = self._terms.threshold
        pairs = [(position, other) for position in range(t) for other in range(t) if other != position]
        if all(map(self._requests_hold, range(t))) and all(self._answers_hold(*pair) for pair in pairs):
            return
        for position, those in enumerate(self._candidates):
            made = candidates.requests(self._terms, self._keys[position], position, list(those.values()))
            if made != [c for k in those for c in self._batch.requests[position][k]]:
                raise self._terms.fault(position, "a request that was opened is not what its seed gives")
        for position, other in pairs:
            hidden = self._hidden(position, other)
            asked, those = [self._batch.requests[other][k] for k in hidden], [self._candidates[position][k] for k in hidden]
            made = candidates.answers(self._terms, self._keys[other], other, asked, those, list(hidden.values()))
            if made != [self._batch.answers[position, other][k] for k in hidden]:
                raise self._terms.fault(position, "an answer that was opened is not what its seed gives")

    def _requests_hold(self, position: int) -> bool:
        those = self._candidates[position]
        posted = [c for k in those for c in self._batch.requests[position][k]]
        plaintexts = [asked(value, position) for c in those.values() for value in (c.p, c.q)]
        exponents = [e for c in those.values() for e in c.exponents]
        return self._encrypt(position, f"requests {position}", posted, plaintexts, exponents)

    def _answers_hold(self, position: int, other: int) -> bool:
        hidden, mine, theirs = self._hidden(position, other), self._candidates[position], self._candidates[other]
        posted = [self._batch.answers[position, other][k] for k in hidden]
        plaintexts = [self._answer(position, other, k) for k in hidden]
        exponents = [
            UNIT * (mine[k].q * theirs[k].exponents[0] + mine[k].p * theirs[k].exponents[1]) + int.from_bytes(mask.exponent, "little")
            for k, mask in hidden.items()
        ]
        return self._encrypt(other, f"answers {position} {other}", posted, plaintexts, exponents)

    def _hidden(self, position: int, other: int) -> dict[int, Mask]:
        """What hides the answers of `position` to `other`, by candidate."""
        if (position, other) not in self._masks:
            indices = [k for k in self._batch.answers[position, other] if k in self._leaves[position]]
            leaves = [self._leaves[position][k] for k in indices]
            hidden = candidates.masks(self._terms, self._keys[other], other, leaves, self._batch.context)
            self._masks[position, other] = dict(zip(indices, hidden, strict=True))
        return self._masks[position, other]

    def check_shares(self) -> None:
        t = self._terms.threshold
        for position in range(t):
            posted = self._batch.shares[position]
            for k in self._indices:
                total = self._candidates[position][k].p * self._candidates[position][k].q
                for other in range(t):
                    if k in self._masks.get((position, other), {}):
                        total -= self._masks[position, other][k].plaintext
                    if k in self._masks.get((other, position), {}):
                        total += self._answer(other, position, k) % self._keys[position].n
                if posted[k] != total % self._terms.share_modulus:
                    raise self._terms.fault(position, "a share of a candidate that was opened is not what its seed gives")

    def check_trials(self) -> None:
        """Only a candidate of two primes that did not survive needs a look: whatever was posted of others, they would not have."""
        survivor = self._batch.survivor
        for at, k in enumerate(self._batch.alive):
            if survivor is not None and k >= survivor:
                return
            p, q = (sum(getattr(those[k], name) for those in self._candidates) for name in ("p", "q"))
            if not (numbers.is_prime(p) and numbers.is_prime(q)):
                continue
            for position, those in enumerate(self._candidates):
                if self._batch.trials[position][at] != candidates.trial(self._batch.products[k], position, those[k]):
                    raise self._terms.fault(position, "it made a candidate of two primes fail")

    def _answer(self, position: int, other: int, k: int) -> int:
        """The plaintext of an answer, before it is reduced."""
        mine, theirs = self._candidates[position][k], self._candidates[other][k]
        return theirs.p * mine.q + theirs.q * mine.p + self._masks[position, other][k].plaintext

    def _encrypt(self, position: int, label: str, posted: Sequence[int], plaintexts: Sequence[int], exponents: Sequence[int]) -> bool:
        """Whether the weighted product of ciphertexts under a contributor's key is that of their plaintexts and exponents."""
        if not posted:
            return True
        key = self._keys[position]
        transcript = Transcript("defedbio/ceremony-weights/1")
        transcript.append("openings", self._weights)
        transcript.append("use", label.encode())
        drawn = transcript.challenge_bytes("weights", WEIGHT_BYTES * len(posted))
        weights = [int.from_bytes(drawn[i : i + WEIGHT_BYTES], "big") for i in range(0, len(drawn), WEIGHT_BYTES)]
        plaintext = sum(w * x for w, x in zip(weights, plaintexts, strict=True)) % key.n
        exponent = sum(w * e for w, e in zip(weights, exponents, strict=True))
        blinded = numbers.powmod_bases([key.hs], exponent, key.n, squared=True)[0]
        return numbers.multi_powmod(posted, weights, key.n, squared=True) == blinded * (1 + plaintext * key.n) % key.n_squared
