"""What the chain says, indexed in memory: rebuilt from the events at every start, kept up by polling, right across reorganisations."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields

from agents.chain import events as ev
from agents.chain.feed import EventFeed
from agents.chain.records import Head
from agents.errors import NotFound
from agents.protocol.view import RoundView, StudyView, fold


@dataclass
class Tables:
    """Events by what one looks them up by; each list is in chain order. Rounds are known by their study."""

    studies: dict[int, StudyView] = field(default_factory=dict)
    study_of_round: dict[int, int] = field(default_factory=dict)
    profiles: dict[str, ev.ParticipantRegistered] = field(default_factory=dict)
    members: dict[str, ev.MemberAdmitted] = field(default_factory=dict)
    epochs: dict[int, ev.KeyEpochProposed] = field(default_factory=dict)
    by_round: dict[int, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_study: dict[int, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_epoch: dict[int, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_tx: dict[bytes, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_block: dict[int, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_address: dict[str, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_cid: dict[str, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    votes: list[ev.VoteCast | ev.MemberAdmitted | ev.MemberRemoved] = field(default_factory=list)

    def add(self, events: Iterable[ev.Event]) -> None:
        within: dict[int, list[ev.Event]] = defaultdict(list)
        for event in events:
            self._note(event)
            study = self._study_of(event)
            if study:
                within[study].append(event)
        for study, own in within.items():
            self.studies[study] = fold(self.studies.get(study, StudyView(study)), own)

    def _study_of(self, event: ev.Event) -> int:
        study = int(getattr(event, "study", 0))
        round_ = int(getattr(event, "round", 0))
        if isinstance(event, ev.RoundOpened):
            self.study_of_round[round_] = study
        if round_:
            self.by_round[round_].append(event)
            return self.study_of_round.get(round_, 0)
        if study:
            self.by_study[study].append(event)
        return study

    def _note(self, event: ev.Event) -> None:
        self.by_tx[event.meta.tx_hash].append(event)
        self.by_block[event.meta.block].append(event)
        for address in addresses_in(event):
            self.by_address[address].append(event)
        for cid in cids_in(event):
            self.by_cid[cid].append(event)
        if (epoch := int(getattr(event, "epoch", 0) or getattr(event, "key_epoch", 0))) > 0:
            self.by_epoch[epoch].append(event)
        match event:
            case ev.ParticipantRegistered():
                self.profiles[event.participant] = event
            case ev.MemberAdmitted():
                self.members[event.member] = event
            case ev.MemberRemoved():
                self.members.pop(event.member, None)
            case ev.KeyEpochProposed():
                self.epochs[event.epoch] = event
        if isinstance(event, ev.VoteCast | ev.MemberAdmitted | ev.MemberRemoved):
            self.votes.append(event)


class Index:
    """`poll` reads what is new; everything else answers from memory. Threads may share it: a page sees one state of the tables."""

    def __init__(self, feed: EventFeed) -> None:
        self._feed = feed
        self._changed = threading.Condition()
        self.tables = Tables()
        self.head: Head | None = None
        self.version = 0

    def poll(self) -> bool:
        """Whether anything changed. After a reorganisation the tables are made anew.

        Raises:
            ChainUnreachable: if the node does not answer; the tables stay.
        """
        state = self._feed.poll()
        fresh: tuple[ev.Event, ...] = state.fresh
        if state.forked_at is not None:
            made = Tables()
            made.add(state.events)
            self.tables = made
        elif fresh:
            self.tables.add(fresh)
        moved = self.head is None or state.head != self.head
        self.head = state.head
        if fresh or state.forked_at is not None:
            self.touch()
            return True
        return moved

    def touch(self) -> None:
        """Say that something that pages show is new."""
        with self._changed:
            self.version += 1
            self._changed.notify_all()

    def wait(self, version: int, seconds: float) -> int:
        """The version, as soon as it is another than this one, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.version != version, seconds)
            return self.version

    def study(self, number: int) -> StudyView:
        found = self.tables.studies.get(number)
        if found is None:
            raise NotFound(f"there is no study {number}")
        return found

    def round(self, number: int) -> tuple[StudyView, RoundView]:
        study = self.tables.study_of_round.get(number)
        if study is None:
            raise NotFound(f"there is no round {number}")
        return self.tables.studies[study], self.tables.studies[study].rounds[number]

    def name_of(self, address: str) -> str:
        """The name that an address registered, which is what its owner says of itself; "" without one."""
        profile = self.tables.profiles.get(address)
        return profile.name if profile is not None else ""


def values_of(event: ev.Event) -> Mapping[str, object]:
    """An event's values by name, without where it is."""
    return {f.name: getattr(event, f.name) for f in fields(event) if f.name != "meta"}


def addresses_in(event: ev.Event) -> Iterator[str]:
    seen = set()
    for value in values_of(event).values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and len(item) == 42 and item.startswith("0x") and item not in seen:
                seen.add(item)
                yield item


def cids_in(event: ev.Event) -> Iterator[str]:
    for name, value in values_of(event).items():
        if name.endswith("cid") and isinstance(value, str) and value:
            yield value
