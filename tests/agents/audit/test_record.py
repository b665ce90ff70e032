"""Events of a chain that somebody made up: what no run of the contracts can have emitted is refused in words, not by a crash."""

from __future__ import annotations

from typing import Any

import pytest

from defedbio.audit.evidence import moment
from defedbio.audit.record import record_of
from defedbio.chain import events as ev
from defedbio.chain.values import StudyRules
from defedbio.domain import BitSet, CeremonyKind, KeyEpochStatus
from defedbio.errors import BadEvidence

A, B, C = (f"0x{i:040x}" for i in (1, 2, 3))
ROOT, NOTHING = b"\x01" * 32, bytes(32)
RULES = StudyRules(3, 3, 2, 4_000, 60, 60, 60, 60, 60, 60, 6_666)
OPENED = (ev.StudyOpened, 1, A, 1, ROOT, "spec", RULES)
KEY = (ev.KeyEpochProposed, 1, A, (A, B, C), 2, CeremonyKind.DEALER, 2048, ROOT, ROOT, "transcript")
ENROLLED = [(ev.ParticipantEnrolled, 1, who, index, ROOT) for index, who in enumerate((A, B, C), 1)]


def events(*parts: tuple[Any, ...]) -> list[ev.Event]:
    metas = [ev.EventMeta(number, NOTHING, NOTHING, 0, A) for number in range(len(parts))]
    return [kind(*values, meta=meta) for (kind, *values), meta in zip(parts, metas, strict=True)]


def opened(number: int = 1, step: int = 0, parent: int = 0) -> tuple[Any, ...]:
    return (ev.RoundOpened, number, 1, step, parent, A)


def revealed(index: int, who: str) -> tuple[Any, ...]:
    return (ev.UpdateRevealed, 1, who, index, ROOT, "cid", NOTHING, NOTHING)


def test_what_the_events_of_a_study_say() -> None:
    said = [(ev.KeyShareConfirmed, 1, who, BitSet(7)) for who in (B, C)]
    record = record_of(
        1, events(KEY, *said, (ev.KeyEpochActivated, 1), OPENED, *ENROLLED, (ev.MemberAdmitted, A, 1), (ev.MemberRemoved, A, 0))
    )
    assert (record.epoch.status, record.epoch.confirmations) == (KeyEpochStatus.ACTIVE, BitSet.of(1, 2)), (
        "who said it, not what was summed up"
    )
    assert record.people == (A, B, C) and record.members == {A: False, B: False, C: False}
    assert record.study.enrolled == 3 and record.name_of(A) == ""


def test_k3_which_shares_are_left_by_their_holders_words() -> None:
    active = [(ev.KeyShareConfirmed, 1, who, BitSet(7)) for who in (A, B, C)] + [(ev.KeyEpochActivated, 1)]
    said = [(ev.KeyShareRetired, 1, B, BitSet(7)), (ev.KeyShareRetired, 2, C, BitSet(7)), (ev.KeyShareRetired, 1, "0xD", BitSet(7))]
    record = record_of(1, events(KEY, *active, OPENED, *ENROLLED, *said))
    assert record.epoch.left == (A, C) and record.epoch.status == KeyEpochStatus.ACTIVE
    ended = record_of(1, events(KEY, *active, OPENED, *ENROLLED, *said, (ev.KeyEpochRetired, 1)))
    assert ended.epoch.status == KeyEpochStatus.RETIRED


@pytest.mark.parametrize(
    "round_events",
    [
        [opened(step=2)],
        [opened(parent=7)],
        [opened(number=1), opened(number=2, parent=1)],
        [opened(), revealed(9, A)],
        [opened(), revealed(1, B)],
        [opened(), revealed(1, A), (ev.SetFrozen, 1, BitSet.of(0, 1), ROOT)],
        [opened(), (ev.RoundFinalised, 1, 1, 0, ROOT, ROOT, "cid", 0)],
    ],
    ids=["step", "parent", "unfinished parent", "seat", "another's seat", "set", "no attestation"],
)
def test_impossible_rounds(round_events: list[tuple[Any, ...]]) -> None:
    with pytest.raises(BadEvidence, match="none that the contracts can have emitted"):
        record_of(1, events(KEY, OPENED, *ENROLLED, *round_events))


def test_missing_foundations() -> None:
    with pytest.raises(BadEvidence, match="no event opens study 1"):
        record_of(1, events(KEY))
    with pytest.raises(BadEvidence, match="no event proposes key epoch 1"):
        record_of(1, events(OPENED))
    crowd = [(ev.ParticipantEnrolled, 1, f"0x{i:040x}", i, ROOT) for i in range(1, 258)]
    with pytest.raises(BadEvidence, match="more than 256"):
        record_of(1, events(KEY, OPENED, *crowd))


def test_times_that_no_calendar_has() -> None:
    assert moment(0) == "1970-01-01 00:00:00 UTC" and moment(2**64 - 1) == "18446744073709551615 s after 1970"
