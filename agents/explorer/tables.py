"""Events, by what one looks them up by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields

from defedbio.chain import events as ev
from defedbio.protocol.view import RoundView, StudyView, fold


@dataclass
class Tables:
    """Each list is in chain order; rounds are known by their study. `paths` are the pages of hashes that name something."""

    studies: dict[int, StudyView] = field(default_factory=dict)
    study_of_round: dict[int, int] = field(default_factory=dict)
    profiles: dict[str, ev.ParticipantRegistered] = field(default_factory=dict)
    members: dict[str, ev.MemberAdmitted] = field(default_factory=dict)
    admitted: set[str] = field(default_factory=set)
    epochs: dict[int, ev.KeyEpochProposed] = field(default_factory=dict)
    by_round: dict[int, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_epoch: dict[int, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_tx: dict[bytes, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_block: dict[int, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_address: dict[str, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_contract: dict[str, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    by_cid: dict[str, list[ev.Event]] = field(default_factory=lambda: defaultdict(list))
    votes: list[ev.Event] = field(default_factory=list)
    paths: dict[bytes, str] = field(default_factory=dict)

    def add(self, events: Iterable[ev.Event]) -> None:
        """Take in the events that follow those already here."""
        within: dict[int, list[ev.Event]] = defaultdict(list)
        for event in events:
            self._note(event)
            study = int(getattr(event, "study", 0)) or self.study_of_round.get(int(getattr(event, "round", 0)), 0)
            if study:
                within[study].append(event)
        for study, own in within.items():
            self.studies[study] = fold(self.studies.get(study, StudyView(study)), own)

    def round(self, number: int) -> tuple[StudyView, RoundView] | None:
        study = self.studies.get(self.study_of_round.get(number, 0))
        return None if study is None else (study, study.rounds[number])

    def holders(self, study: StudyView) -> tuple[str, ...]:
        """The holders of the study's key."""
        proposed = self.epochs.get(study.key_epoch)
        return proposed.holders if proposed else ()

    def _note(self, event: ev.Event) -> None:
        self.by_tx[event.meta.tx_hash].append(event)
        self.by_block[event.meta.block].append(event)
        self.by_contract[event.meta.contract].append(event)
        for address in addresses_in(event):
            self.by_address[address].append(event)
        for cid in cids_in(event):
            self.by_cid[cid].append(event)
        if round_ := int(getattr(event, "round", 0)):
            self.by_round[round_].append(event)
        if epoch := int(getattr(event, "epoch", 0) or getattr(event, "key_epoch", 0)):
            self.by_epoch[epoch].append(event)
        if path := _path(event):
            for name, value in values_of(event).items():
                if name.endswith(_TELLING) and isinstance(value, bytes) and any(value):
                    self.paths.setdefault(value, path)
        match event:
            case ev.RoundOpened():
                self.study_of_round[event.round] = event.study
            case ev.ParticipantRegistered():
                self.profiles[event.participant] = event
            case ev.KeyEpochProposed():
                self.epochs[event.epoch] = event
            case ev.MemberAdmitted():
                self.members[event.member] = event
                self.admitted.add(event.member)
                self.votes.append(event)
            case ev.MemberRemoved():
                self.members.pop(event.member, None)
                self.votes.append(event)
            case ev.VoteCast():
                self.votes.append(event)


# A value of these names is one thing's only: what it names can be found by it.
_TELLING = (
    *("commitment", "update_root", "aggregate_root", "share_root", "part_root", "opening_root"),
    *("set_hash", "model_hash", "spec_hash", "transcript_hash"),
)


def _path(event: ev.Event) -> str:
    for name in ("round", "study", "epoch"):
        if number := int(getattr(event, name, 0)):
            return f"/{name}/{number}"
    return ""


def values_of(event: ev.Event) -> Mapping[str, object]:
    """An event's values by name, without where it is."""
    return {name: getattr(event, name) for name in _names(type(event))}


_NAMES: dict[type[ev.Event], tuple[str, ...]] = {}


def _names(kind: type[ev.Event]) -> tuple[str, ...]:
    found = _NAMES.get(kind)
    if found is None:
        found = _NAMES[kind] = tuple(f.name for f in fields(kind) if f.name != "meta")
    return found


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
