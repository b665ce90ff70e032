"""The fold from the chain's events to a study's view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.chain import events as ev
from defedbio.domain import NO_ONE, BitSet, Phase
from defedbio.protocol import view as view_module
from defedbio.protocol.view import Dispute, StudyView, Wrong, fold
from tests.agents.protocol.in_process import PEOPLE, RULES, STUDY, Ledger, meta

HASH = b"\x07" * 32


def opened(number: int, study: int = STUDY, step: int = 0, parent: int = 0) -> list[ev.Event]:
    return [ev.RoundOpened(number, study, step, parent, PEOPLE[0], meta=meta(1)), ev.PhaseEntered(number, Phase.OPEN, 5_060, meta=meta(1))]


def study_events() -> list[ev.Event]:
    return list(Ledger().events)


numbers = st.integers(1, 3)
people = st.sampled_from(PEOPLE)
roots = st.sampled_from([b"\x01" * 32, b"\x02" * 32])
sets = st.integers(0, 15).map(BitSet)
M = st.just(meta(9))
inner = st.one_of(
    st.builds(ev.PhaseEntered, numbers, st.sampled_from([Phase.COMMITTED, Phase.REVEALED, Phase.FROZEN]), st.integers(1, 9_999), meta=M),
    st.builds(ev.AbsenteesPassedOver, numbers, sets, meta=M),
    st.builds(ev.ParticipantReturned, numbers, people, st.integers(1, 4), meta=M),
    st.builds(ev.UpdateCommitted, numbers, people, st.integers(1, 4), roots, meta=M),
    st.builds(ev.PrivacyDeclared, numbers, people, st.integers(1, 4), st.integers(1, 99), st.integers(99, 999), st.integers(1, 9), meta=M),
    st.builds(ev.UpdateRevealed, numbers, people, st.integers(1, 4), roots, st.just("cid"), roots, roots, meta=M),
    st.builds(ev.SetAttested, numbers, people, sets, sets, st.sampled_from(["", "3:MalformedBlob"]), meta=M),
    st.builds(ev.SetFrozen, numbers, sets, roots, meta=M),
    st.builds(ev.AggregatePosted, numbers, people, roots, st.just("cid"), meta=M),
    st.builds(ev.ProductShownWrong, numbers, people, roots, sets, st.integers(0, 9), st.integers(1, 4), meta=M),
    st.builds(ev.ShareReleased, numbers, people, st.integers(1, 4), roots, roots, st.just("cid"), roots, meta=M),
    st.builds(ev.ShareDisputed, numbers, people, people, st.just("BadShare"), meta=M),
    st.builds(ev.OpeningPartPosted, numbers, people, roots, st.just("cid"), meta=M),
    st.builds(ev.OpeningPosted, numbers, people, roots, st.just("cid"), meta=M),
    st.builds(ev.ModelAttested, numbers, people, roots, roots, st.just("cid"), meta=M),
    st.builds(ev.RoundFinalised, numbers, st.just(STUDY), st.integers(0, 1), roots, roots, st.just("cid"), st.integers(0, 2), meta=M),
    st.builds(ev.RoundVoided, numbers, st.just(STUDY), st.just(Phase.OPEN), meta=M),
)


@given(st.lists(inner, max_size=25), st.data())
def test_folding_at_once_is_folding_bit_by_bit(later: list[ev.Event], data: st.DataObject) -> None:
    history = [*study_events(), *opened(1), *opened(2, step=1, parent=1), *later]
    cut = data.draw(st.integers(0, len(history)))
    whole = fold(StudyView(STUDY), history)
    one_by_one = StudyView(STUDY)
    for event in history:
        one_by_one = fold(one_by_one, [event])
    assert fold(fold(StudyView(STUDY), history[:cut]), history[cut:]) == whole == one_by_one
    assert set(whole.rounds) == {1, 2}, "a round that was never opened here is not this study's"


@given(st.lists(inner, max_size=25))
def test_other_studies_leave_the_view_as_it_is(theirs: list[ev.Event]) -> None:
    """Rounds 1..3 are study 2's here, whatever happens in them."""
    ours = fold(StudyView(STUDY), study_events())
    other = [
        ev.StudyOpened(2, PEOPLE[3], 9, HASH, "other", RULES, meta=meta(1)),
        ev.ParticipantEnrolled(2, PEOPLE[3], 1, HASH, meta=meta(1)),
        *(event for number in (1, 2, 3) for event in opened(number, study=2)),
        ev.MemberAdmitted(PEOPLE[3], 4, meta=meta(1)),
        *theirs,
    ]
    assert fold(ours, other) == ours


def test_enrolment_keeps_its_order_and_study_its_terms() -> None:
    view = fold(StudyView(STUDY), study_events())
    assert view.participants == PEOPLE and view.rules == RULES and view.coordinator == PEOPLE[0] and view.key_epoch == 1
    assert view.latest is None and view.head is None and not view.complete


def test_reveal_positions_count_from_0_where_the_contract_counts_from_1() -> None:
    history = [
        *opened(1),
        ev.UpdateRevealed(1, PEOPLE[0], 1, HASH, "first", HASH, HASH, meta=meta(2)),
        ev.UpdateRevealed(1, PEOPLE[3], 4, HASH, "last", HASH, HASH, meta=meta(3)),
        ev.SetFrozen(1, BitSet.of(3, 0), HASH, meta=meta(4)),
    ]
    view = fold(StudyView(STUDY), history).rounds[1]
    assert {p: r.participant for p, r in view.reveals.items()} == {0: PEOPLE[0], 3: PEOPLE[3]}
    assert [r.cid for r in view.frozen_reveals()] == ["first", "last"], "P4: in the set's order"


def test_p6_finalised_and_p7_voided_end_a_round() -> None:
    final = ev.RoundFinalised(1, STUDY, 0, b"\x01" * 32, b"\x02" * 32, "model", 0, meta=meta(3))
    view = fold(StudyView(STUDY), [*study_events(), *opened(1), final])
    assert view.rounds[1].phase == Phase.FINALISED and view.rounds[1].deadline == 0
    assert (view.rounds[1].opening_root, view.rounds[1].model_hash, view.rounds[1].model_cid) == (b"\x01" * 32, b"\x02" * 32, "model")
    assert view.head == view.rounds[1] and not view.complete and view.voids_in_a_row == 0
    for number in (2, 3):
        view = fold(view, [*opened(number, step=1, parent=1), ev.RoundVoided(number, STUDY, Phase.OPEN, meta=meta(4))])
    assert view.rounds[3].phase == Phase.VOIDED and view.voids_in_a_row == 2 and view.head == view.rounds[1]
    view = fold(view, [*opened(4, step=1, parent=1), ev.RoundFinalised(4, STUDY, 1, HASH, HASH, "m", 1, meta=meta(5))])
    assert view.complete and view.voids_in_a_row == 0


def test_p3_an_attestation_may_change_and_the_last_word_counts() -> None:
    words = (((0, 1, 2, 3), (), ""), ((0, 1, 2), (3,), "3:BadCiphertext"))
    attested = [ev.SetAttested(1, PEOPLE[0], BitSet.of(*p), BitSet.of(*r), w, meta=meta(2)) for p, r, w in words]
    view = fold(StudyView(STUDY), [*opened(1), *attested]).rounds[1]
    assert dict(view.attested) == {PEOPLE[0]: BitSet.of(0, 1, 2)} and dict(view.reasons) == {PEOPLE[0]: "3:BadCiphertext"}
    assert dict(view.refused) == {PEOPLE[0]: BitSet.of(3)}


def test_p4_the_rounds_aggregate_is_the_root_that_t_holders_released_for() -> None:
    def share(i: int, root: bytes) -> ev.Event:
        return ev.ShareReleased(1, PEOPLE[i], i + 1, root, HASH, "cid", HASH, meta=meta(2))

    wrong, right = b"\x01" * 32, b"\x02" * 32
    view = fold(StudyView(STUDY), [*opened(1), share(3, wrong), share(0, right), share(1, right)])
    assert view.rounds[1].aggregate_root(3) is None
    assert view.rounds[1].product == right and fold(StudyView(STUDY), opened(1)).rounds[1].product == b""
    assert fold(view, [share(2, right)]).rounds[1].aggregate_root(3) == right


def test_a_view_cannot_be_changed() -> None:
    view = fold(StudyView(STUDY), [*opened(1), ev.UpdateCommitted(1, PEOPLE[0], 1, HASH, meta=meta(2))])
    with pytest.raises(TypeError):
        view.rounds[1].commitments[PEOPLE[1]] = HASH  # type: ignore[index]


def test_p1_whom_a_round_does_not_wait_for_and_who_came_back() -> None:
    history = [
        *opened(1),
        ev.AbsenteesPassedOver(1, BitSet.of(1, 3), meta=meta(2)),
        ev.ParticipantReturned(1, PEOPLE[3], 4, meta=meta(3)),
    ]
    view = fold(StudyView(STUDY), history).rounds[1]
    assert (view.absent, view.returned) == (BitSet.of(1), BitSet.of(3))


def test_p5_an_accusation_names_its_accuser() -> None:
    said = [ev.ShareDisputed(1, PEOPLE[i], PEOPLE[3], "", meta=meta(2)) for i in (1, 0)]
    view = fold(StudyView(STUDY), [*opened(1), *said]).rounds[1]
    assert view.disputes == (Dispute(PEOPLE[1], PEOPLE[3]), Dispute(PEOPLE[0], PEOPLE[3])) and view.disputed == (PEOPLE[3],)


def test_p4_a_product_that_is_shown_wrong_names_those_who_posted_it() -> None:
    wrong, right = b"\x01" * 32, b"\x02" * 32
    posts = [ev.AggregatePosted(1, PEOPLE[i], root, f"cid{i}", meta=meta(2)) for i, root in enumerate((wrong, right, wrong))]
    shares = [ev.ShareReleased(1, PEOPLE[i], i + 1, wrong, HASH, "cid", HASH, meta=meta(3)) for i in (0, 1)]
    shown = ev.ProductShownWrong(1, PEOPLE[3], wrong, BitSet.of(0, 2), 7, 2, meta=meta(4))
    view = fold(StudyView(STUDY), [*opened(1), *posts, *shares, shown]).rounds[1]
    assert view.wrong == (Wrong(wrong, PEOPLE[3], 7, 2),)
    assert [post.sender for post in view.wrongly_posted] == [PEOPLE[0], PEOPLE[2]]
    assert view.opened_wrong(2) and not view.opened_wrong(3)


def test_s2_who_is_invited() -> None:
    assert fold(StudyView(STUDY), [*study_events(), ev.ParticipantsInvited(STUDY, PEOPLE, meta=meta(1))]).invited == PEOPLE


def repeated(times: int) -> list[ev.Event]:
    """Every kind of event that somebody may send again and again, so often; the contracts take fewer."""
    return [
        event
        for number in range(times)
        for who in [f"0x{number:040x}"]
        for event in (
            ev.ParticipantEnrolled(STUDY, who, 5, HASH, meta=meta(2)),
            ev.UpdateCommitted(1, who, 5, HASH, meta=meta(2)),
            ev.PrivacyDeclared(1, who, 5, 1, 1, 1, meta=meta(2)),
            ev.UpdateRevealed(1, who, number + 1, HASH, "cid", HASH, HASH, meta=meta(2)),
            ev.SetAttested(1, who, BitSet.of(0, 1, 2), NO_ONE, "", meta=meta(2)),
            ev.AggregatePosted(1, who, HASH, "cid", meta=meta(2)),
            ev.ProductShownWrong(1, who, HASH, BitSet.of(1), 0, 1, meta=meta(2)),
            ev.ShareReleased(1, who, 1, HASH, HASH, "cid", HASH, meta=meta(2)),
            ev.ShareDisputed(1, who, PEOPLE[0], "", meta=meta(2)),
            ev.OpeningPartPosted(1, who, HASH, "cid", meta=meta(2)),
            ev.OpeningPosted(1, who, HASH, "cid", meta=meta(2)),
            ev.ModelAttested(1, who, HASH, HASH, "cid", meta=meta(2)),
            ev.PhaseEntered(1, Phase.OPEN, number, meta=meta(2)),
        )
    ]


def test_a_batch_of_events_costs_no_copy_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[str] = []

    def counted(kind: Any) -> Any:
        return type(
            kind.__name__, (kind,), {"__init__": lambda self, *given: (copies.append(kind.__name__), kind.__init__(self, *given))[1]}
        )

    def counting(name: str) -> Callable[..., Any]:
        function = getattr(view_module, name)
        return lambda *given, **named: (copies.append(name), function(*given, **named))[1]

    for name in ("replace", "MappingProxyType"):
        monkeypatch.setattr(view_module, name, counting(name))
    for kind in (dict, list):
        monkeypatch.setattr(view_module, kind.__name__, counted(kind), raising=False)
    start = fold(StudyView(STUDY), [*study_events(), *opened(1)])

    def copies_for(times: int) -> list[str]:
        copies.clear()
        view = fold(start, repeated(times)).rounds[1]
        assert {len(part) for part in (view.commitments, view.reveals, view.shares, view.disputes, view.openings)} == {times}
        return sorted(copies)

    assert copies_for(200) == copies_for(2) and len(copies_for(2)) > 10
