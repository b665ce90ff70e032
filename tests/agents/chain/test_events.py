"""Who acted, as each event says it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from defedbio.chain.events import EVENTS, Event, EventMeta, SetFrozen, ShareDisputed

META = EventMeta(1, bytes(32), bytes(32), 0, "0x" + "00" * 20)
# What follows from another's act, in the same transaction or by deployment, and names nobody who acted.
NOBODYS = {
    *("MemberAdmitted", "MemberRemoved", "KeyEpochActivated", "KeyEpochRetired", "KeyEpochLapsed", "ParticipantsInvited"),
    *("CeremonyStepEntered", "CeremonyConcluded", "CeremonyExpired", "CeremonyFailed", "CeremonySucceeded"),
    *("AbsenteesPassedOver", "PhaseEntered", "SetFrozen", "RoundFinalised", "RoundVoided"),
}


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_says_who_acted_or_that_nobody_did(kind: type[Event]) -> None:
    assert (kind.ACTED == "") == (kind.__name__ in NOBODYS)
    if kind.ACTED:
        (field,) = [f for f in fields(kind) if f.name == kind.ACTED]
        assert field.type == "str"


def test_the_accuser_acts_and_not_the_accused() -> None:
    assert ShareDisputed(round=1, accuser="0xA", holder="0xB", reason="", meta=META).actor == "0xA"


def test_what_names_nobody_has_no_actor() -> None:
    assert SetFrozen(round=1, set=None, set_hash=b"", meta=META).actor == ""  # type: ignore[arg-type]
