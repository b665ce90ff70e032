"""A study that ran to its end in process, and a `Connection` to it for those who only read."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from defedbio.chain import events as ev
from defedbio.chain.network import Contracts, Network
from defedbio.chain.records import Head
from defedbio.chain.values import Profile
from defedbio.errors import NotFound
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.view import StudyView
from defedbio.report import Reporter
from defedbio.spec import StudySpec
from tests.agents.protocol.in_process import CHAIN, CONTRACT, PEOPLE, QUORUM, STUDY, InProcess, frame_of

HOSTILE = "Evil <script>alert(1)</script>|[x](http://evil.example)\n# heading \x1b[31m"
NETWORK = Network(CHAIN, "http://127.0.0.1:1", Contracts.of(*(f"0x{i:040x}" for i in (1, 2, 3)), CONTRACT))


@dataclass
class ReadOnly:
    """What `defedbio.network.connection.Connection` offers to readers, over an in-process consortium."""

    world: InProcess
    network: Network = NETWORK
    notes: list[str] = field(default_factory=list)
    members: set[str] = field(default_factory=lambda: set(PEOPLE))

    def __post_init__(self) -> None:
        self.report = Reporter(lambda record: self.notes.append(record.get("message", "")))
        self.client = SimpleNamespace(
            network=self.network, block_by_hash=lambda found: Head(int.from_bytes(found, "big"), found, 1_700_000_000)
        )
        self.keys = SimpleNamespace(epoch_of=lambda epoch: SimpleNamespace(threshold=QUORUM, holders=PEOPLE))
        self.studies = SimpleNamespace(study_of=self._study_of, study_count=lambda: 1)
        self.registry = SimpleNamespace(profile_of=self._profile_of, is_member=lambda who: who in self.members)

    def study_view(self, study: int) -> StudyView:
        return self.world.ledger.study() if study == STUDY else StudyView(study)

    def finalisation(self, round_: int) -> ev.RoundFinalised:
        return next(e for e in self.world.ledger.events if isinstance(e, ev.RoundFinalised) and e.round == round_)

    def name_of(self, address: str) -> str:
        try:
            return self.registry.profile_of(address).name
        except NotFound:
            return ""

    def names_of(self, addresses: Collection[str]) -> dict[str, frozenset[str]]:
        return {who: frozenset({self.name_of(who)} | ({"org before"} if who == PEOPLE[1] else set())) for who in addresses}

    def frame(self, study: int) -> StudyFrame:
        self._study_of(study)
        return self.world.study

    def spec(self, study: int) -> tuple[Any, StudySpec]:
        return self._study_of(study), self.world.study.spec

    def fetcher(self, frame: StudyFrame) -> Fetcher:
        return Fetcher(frame, self.world.tools[0].fetcher.peers, os.urandom, 0.1)

    def _study_of(self, study: int) -> None:
        if study != STUDY:
            raise NotFound(f"there is no study {study}")

    def _profile_of(self, account: str) -> Profile:
        if account == PEOPLE[3]:
            raise NotFound("no profile")
        return Profile(HOSTILE if account == PEOPLE[0] else f"org {account[-1]}", "", bytes(32), "")


@cache
def finished_world() -> InProcess:
    """A round of moments, one of training, one that evaluates; played once, for every test that only reads."""
    settings = {"evaluation": {"fraction": 0.5, "minimum_cell": 1}, "description": "For <b>tests</b>."}
    with TemporaryDirectory() as folder:
        made = InProcess(Path(folder), frame_of(settings))
        made.play(lambda study: study.complete)
        made.close()
    return made
