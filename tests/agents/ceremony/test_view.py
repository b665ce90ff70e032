"""The fold of a ceremony's events, and what an Ethereum node may leave out of them or make up."""

from __future__ import annotations

from typing import Any

import pytest

from defedbio.ceremony.view import CeremonyView, Post, fold
from defedbio.chain import events as ev
from defedbio.chain.bindings.key_registry import head_after
from defedbio.domain import BitSet, CeremonyStatus
from defedbio.errors import BadEvidence

REGISTRY = "0x" + "11" * 20
HOLDERS = ("0xA", "0xB", "0xC")
META = ev.EventMeta(7, bytes(32), bytes(32), 0, REGISTRY)


def event(kind: type[ev.Event], *values: Any) -> ev.Event:
    return kind(*values, meta=META)


def hash_of(step: int, position: int) -> bytes:
    return bytes([step + 1, position + 1]) * 16


def head_of(step: int) -> bytes:
    head = bytes(32)
    for before in range(step):
        head = head_after(1, REGISTRY, 5, before, head, [hash_of(before, i) for i in range(2 if before else 3)])
    return head


def said(steps: int) -> list[ev.Event]:
    """2 of 3, up to the beginning of this step."""
    found = [event(ev.CeremonyAnnounced, 5, "0xA", HOLDERS, 2, 2048, 600), event(ev.CeremonyStepEntered, 5, 0, bytes(32), 1600)]
    for step in range(steps):
        found += [event(ev.CeremonyPosted, 5, HOLDERS[i], step, hash_of(step, i), "cid") for i in range(2 if step else 3)]
        found.append(event(ev.CeremonyStepEntered, 5, step + 1, head_of(step + 1), 1700 + step))
    return found


def folded(events: list[ev.Event]) -> CeremonyView:
    view = fold(5, events, 1, REGISTRY)
    assert view is not None
    return view


def test_D2_steps_follow_from_posts() -> None:
    view = folded([*said(2), event(ev.CeremonyPosted, 5, "0xB", 2, hash_of(2, 1), "cid")])
    assert (view.step, view.posters, view.waited_for, view.deadline) == (2, 2, (0,), 1701)
    assert view.whole(0) == tuple(Post(hash_of(0, i), "cid") for i in range(3))
    assert fold(6, said(2), 1, REGISTRY) is None


def test_D5_an_epoch_is_followed_to_its_last_confirmation() -> None:
    proposed = event(ev.KeyEpochProposed, 9, "0xB", HOLDERS, 2, 1, 2048, bytes(32), b"\7" * 32, "cid")
    confirmed = event(ev.KeyShareConfirmed, 9, "0xA", BitSet.of(0, 2))
    view = folded([*said(1), event(ev.CeremonyConcluded, 5, 9, 2000), proposed, confirmed])
    assert view.epoch is not None and (view.epoch.proposer, view.epoch.transcript_hash) == ("0xB", b"\7" * 32)
    assert (view.waited_for, view.deadline) == ((1,), 2000)
    assert folded([*said(1), event(ev.CeremonyConcluded, 5, 9, 2000), event(ev.CeremonySucceeded, 5, 9)]).status == CeremonyStatus.SUCCEEDED


def test_D4_a_failure_is_folded_with_what_led_to_it() -> None:
    view = folded(
        [
            *(*said(1), event(ev.CeremonyComplained, 5, "0xC", "post: wrong"), event(ev.CeremonyFailed, 5, 3000)),
            event(ev.CeremonySeedPublished, 5, "0xB", b"\3" * 32),
        ]
    )
    assert (view.status, view.deadline, view.complaints) == (CeremonyStatus.FAILED, 3000, (("0xC", "post: wrong"),))
    assert (view.seeds, view.waited_for) == ({1: b"\3" * 32}, (0,))


def test_other_ceremonies_and_epochs_are_passed_over() -> None:
    others = [event(ev.CeremonyFailed, 4, 1), event(ev.KeyShareConfirmed, 9, "0xA", BitSet.of(0)), event(ev.KeyEpochRejected, 9, "0xA", "")]
    assert folded([*said(1), *others]) == folded(said(1))


@pytest.mark.parametrize(
    "planted",
    [
        event(ev.CeremonyPosted, 5, "0xA", 1, b"\1" * 32, "cid"),
        event(ev.CeremonyPosted, 5, "0xD", 2, b"\1" * 32, "cid"),
        event(ev.CeremonyPosted, 5, "0xC", 2, b"\1" * 32, "cid"),
        event(ev.CeremonyStepEntered, 5, 3, bytes(32), 9),
    ],
)
def test_made_up_events_are_refused(planted: ev.Event) -> None:
    with pytest.raises(BadEvidence, match="missing or made up"):
        folded([*said(2), planted])


@pytest.mark.parametrize("place", range(1, len(said(2)) - 1))
def test_an_event_that_is_left_out_or_changed_is_found(place: int) -> None:
    events = said(2)
    with pytest.raises(BadEvidence):
        folded(events[:place] + events[place + 1 :])
    if isinstance(posted := events[place], ev.CeremonyPosted):
        events[place] = event(ev.CeremonyPosted, 5, posted.holder, posted.step, b"\x99" * 32, "cid")
        with pytest.raises(BadEvidence):
            folded(events)
