"""Whole ceremonies of small numbers, and how one goes on from a step with somebody who deviates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import count

from defedbio.crypto import numbers
from defedbio.crypto.keygen.machine import Secrets
from defedbio.crypto.keygen.messages import Body, Kind, encode
from defedbio.crypto.keygen.record import Record
from defedbio.crypto.keygen.terms import Terms
from defedbio.errors import BadTranscript

Cheat = Callable[[Record, Body, list[Body]], Body]
"""What is posted instead, of the record, the honest body and those of the contributors before: who deviates speaks last."""


def terms_of(bits: int, threshold: int, holders: int, candidates: int, ceremony: int = 7) -> Terms:
    addresses = tuple(f"0x{i + 1:040x}" for i in range(holders))
    return Terms(31337, "0x" + "5a" * 20, ceremony, addresses, threshold, bits, 600, {bits: candidates})


def seeds_of(number: int, count: int) -> list[bytes]:
    return [hashlib.sha256(f"{number}/{i}".encode()).digest() for i in range(count)]


def two_primes(terms: Terms, seeds: Sequence[bytes], batch: int) -> list[int]:
    """The candidates of two primes, by an oracle that adds up everybody's secrets."""
    mine = [Secrets(terms, i, seed).candidates(batch)[1] for i, seed in enumerate(seeds[: terms.threshold])]
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

    def name(self, fault: BadTranscript) -> int:
        """The position at fault."""
        return self.terms.holders.index(fault.peer)


def run(terms: Terms, seeds: list[bytes]) -> Ran:
    secrets = [Secrets(terms, i, seed) for i, seed in enumerate(seeds)]
    record, posts, records = Record(terms), [], []
    while record.kind is not Kind.DONE:
        records.append(deepcopy(record))
        posts.append([secret.message(record) for secret in secrets[: record.senders]])
        record.take(posts[-1])
    return Ran(terms, seeds, secrets, posts, [*records, record])


@cache
def ran(bits: int, threshold: int, holders: int, start: int) -> Ran:
    """With seeds for which a candidate of the first batch survives, and not its first."""
    terms = terms_of(bits, threshold, holders, 32)
    return run(terms, first_seeds(terms, start, lambda seeds: min(two_primes(terms, seeds, 0), default=0) > 0))
