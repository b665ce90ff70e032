"""Whole ceremonies of small numbers, and how one goes on from a step with somebody who deviates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from itertools import count

from defedbio.ceremony import machine as port
from defedbio.ceremony.mill import Mill
from defedbio.ceremony.verdict import SHARE, Verdict, verdict
from defedbio.ceremony.view import CeremonyView, Post, Step
from defedbio.crypto import numbers
from defedbio.crypto.keygen.machine import Secrets
from defedbio.crypto.keygen.messages import Body, Kind, encode
from defedbio.crypto.keygen.record import Record, dealt_hash
from defedbio.crypto.keygen.terms import Terms
from defedbio.domain import BitSet, CeremonyStatus
from defedbio.errors import BadTranscript

Cheat = Callable[[Record, Body, list[Body]], Body]
"""What is posted instead, of the record, the honest body and those of the contributors before: who deviates speaks last."""


def terms_of(bits: int, threshold: int, holders: int, candidates: int, ceremony: int = 7) -> Terms:
    addresses = tuple(f"0x{i + 1:040x}" for i in range(holders))
    return Terms(31337, "0x" + "5a" * 20, ceremony, addresses, threshold, bits, 600, {bits: candidates})


def seeds_of(number: int, count: int) -> list[bytes]:
    return [hashlib.sha256(f"{number}/{i}".encode()).digest() for i in range(count)]


def two_primes(terms: Terms, seeds: Sequence[bytes]) -> list[int]:
    """The candidates of two primes in the first batch, by an oracle that adds up everybody's secrets."""
    mine = [Secrets(terms, i, seed).candidates(0)[1] for i, seed in enumerate(seeds[: terms.threshold])]
    return [k for k, c in enumerate(zip(*mine, strict=True)) if all(numbers.is_prime(sum(getattr(x, name) for x in c)) for name in "pq")]


def first_seeds(terms: Terms, start: int, fits: Callable[[list[bytes]], bool]) -> list[bytes]:
    """The first from a number on that a test can use: `start` is one, as long as the terms' bytes stay as they are."""
    return next(seeds for number in count(start) if fits(seeds := seeds_of(number, len(terms.holders))))


@dataclass(frozen=True)
class Ran:
    """A ceremony that went through. `records[s]` is what everybody knew before step s."""

    terms: Terms
    seeds: list[bytes]
    secrets: list[Secrets]
    posts: list[list[bytes]]
    records: list[Record]

    @property
    def record(self) -> Record:
        return self.records[-1]

    def step(self, kind: Kind) -> int:
        return next(s for s, record in enumerate(self.records) if record.kind is kind)

    def before(self, kind: Kind) -> Record:
        """A record of one's own, in the first step of this kind."""
        return deepcopy(self.records[self.step(kind)])

    def go_on(self, kind: Kind, cheats: Mapping[tuple[Kind, int], Cheat]) -> tuple[Record, list[list[bytes]], BadTranscript | None]:
        """Everybody goes on from this step, and some deviate, by step and position: all posts, and the fault that is found, if one is."""
        record, posts = self.before(kind), self.posts[: self.step(kind)]
        for _ in range(20):
            if record.kind is Kind.DONE:
                return record, posts, None
            now, step, bodies = record.kind, [], []
            for position in range(record.senders):
                body = self.secrets[position].body(record)
                if (now, position) in cheats:
                    body = cheats[now, position](record, body, bodies)
                bodies.append(body)
                step.append(encode(record.header(position), record.layout(position), body))
            posts = [*posts, step]
            try:
                record.take(step)
            except BadTranscript as fault:
                return record, posts, fault
        raise AssertionError("the ceremony does not end")

    def cheat_in_dealing(self, position: int, cheat: Cheat) -> dict[tuple[Kind, int], Cheat]:
        """One who deviates in what it deals, and promises just that in the step before."""

        def promise(record: Record, body: Body, before: list[Body]) -> Body:
            dealt = cheat(record, self.secrets[position]._dealing(record), before)
            return Body({}, {"promise": [dealt_hash(self.terms, position, record.survivor.n, dealt)]})

        return {(Kind.PROMISE, position): promise, (Kind.DEALING, position): cheat}

    @property
    def announced(self) -> port.Terms:
        of = self.terms
        return port.Terms(of.chain_id, of.contract, of.ceremony, of.holders, of.threshold, of.bits, of.step_seconds)

    def make(self, terms: port.Terms, position: int, seed: bytes) -> Mill:
        return Mill(terms, position, seed, sizes={terms.bits: self.terms.candidates})

    def verdict(
        self,
        posts: Sequence[Sequence[bytes | None]],
        complainer: int | None = None,
        seeds: Mapping[int, bytes] | None = None,
        timed_out: bool = False,
    ) -> Verdict:
        """When the ceremony fails after these posts, of which None were not made (in time, where the step's was over), and contributors
        publish their seeds."""
        of, t = self.announced, self.terms.threshold
        steps = tuple(Step(bytes(32), 0, {i: Post.of(raw) for i, raw in enumerate(step) if raw is not None}) for step in posts)
        missing = BitSet.of(*(i for i, raw in enumerate(posts[-1]) if raw is None and timed_out))
        if None not in posts[-1]:
            steps = (*steps, Step(bytes(32), 0))
        view = CeremonyView(of.ceremony, of.holders[0], of.holders, t, of.bits, of.step_seconds, 1, CeremonyStatus.FAILED, steps)
        complaints = () if complainer is None else ((of.holders[complainer], SHARE),)
        seeds = dict(enumerate(self.seeds[:t])) if seeds is None else seeds
        first = {i: raw for i, raw in enumerate(posts[0]) if i >= t and raw is not None}
        return verdict(replace(view, missing=missing, complaints=complaints, seeds=seeds), of, self.make, first)

    def name(self, fault: BadTranscript) -> int:
        """The position at fault."""
        return self.terms.holders.index(fault.peer)


def run(terms: Terms, seeds: list[bytes], batches: int = 1) -> Ran | None:
    """Everybody does as it should; None when no candidate of so many batches survives."""
    secrets = [Secrets(terms, i, seed) for i, seed in enumerate(seeds)]
    record, posts, records = Record(terms), [], []
    while record.kind is not Kind.DONE:
        if record.batch_number == batches:
            return None
        records.append(deepcopy(record))
        posts.append([secret.message(record) for secret in secrets[: record.senders]])
        record.take(posts[-1])
    return Ran(terms, seeds, secrets, posts, [*records, record])


@cache
def ran(bits: int, threshold: int, holders: int, start: int) -> Ran:
    """With seeds for which a candidate of the first batch survives, and not its first."""
    terms = terms_of(bits, threshold, holders, 32)
    found = run(terms, first_seeds(terms, start, lambda seeds: min(two_primes(terms, seeds), default=0) > 0))
    assert found is not None
    return found
