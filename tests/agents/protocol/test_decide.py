"""The decider, as tables of (what the chain and the journal say) -> what the node does, and properties over all of them."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.chain.values import StudyRules
from defedbio.domain import NO_ONE, BitSet, Phase
from defedbio.protocol import actions as act
from defedbio.protocol.decide import Clock, Facts, Role, decide
from defedbio.protocol.view import Dispute, Post, Reveal, RoundView, Share, StudyView, Wrong

PEOPLE = tuple(f"0x{i:040x}" for i in range(1, 5))
ALL = BitSet.of(0, 1, 2, 3)
RULES = StudyRules(4, 3, 2, 1_000, 60, 60, 60, 60, 60, 60, 6_666)
NOW = Clock(now=5_000.0, waited=0.0)
ROOT, OTHER = b"\x01" * 32, b"\x02" * 32
OWN = ROOT, "cid"


def role(position: int = 1, holder: int | None = 2) -> Role:
    return Role(PEOPLE[position], position, holder, 3)


def test_k3_no_round_is_begun_under_a_key_of_which_too_few_shares_are_left() -> None:
    ended, waited = replace(role(), key_ended=True), replace(NOW, waited=1e6)
    assert isinstance(decide(ended, study(), Facts(), waited), act.Halt) and decide(role(), study(), Facts(), waited) == act.StartRound(1)
    running = study(round_in(Phase.OPEN))
    assert decide(ended, running, Facts(), NOW) == decide(role(), running, Facts(), NOW), "its deadline ends what cannot be opened"
    complete = study(round_in(Phase.FINALISED, model_hash=ROOT), rules=replace(RULES, steps=1))
    assert decide(ended, complete, Facts(adopted=True), waited) == act.Finish()


def round_in(phase: Phase, **fields: object) -> RoundView:
    return replace(RoundView(1, 1, 0, 0, PEOPLE[0], phase=phase, deadline=5_060), **fields)


def study(view: RoundView | None = None, **fields: object) -> StudyView:
    rounds = {view.id: view} if view else {}
    return replace(StudyView(1, rules=RULES, participants=PEOPLE, rounds=MappingProxyType(rounds)), **fields)


def reveals(*positions: int) -> dict[int, Reveal]:
    return {p: Reveal(p, PEOPLE[p], bytes([p + 1]) * 32, f"cid{p}", bytes(32), bytes(32)) for p in positions}


def share(holder: int, root: bytes = ROOT) -> Share:
    return Share(PEOPLE[holder], holder + 1, root, ROOT, "cid", ROOT)


def posts(*positions: int) -> tuple[Post, ...]:
    return tuple(Post(PEOPLE[p], ROOT, "cid") for p in positions)


SHARES = (share(1), share(0), share(2))
OTHERS = (share(0), share(2), share(3))
OPENED = Facts(aggregate=OWN, opening=OWN, model_hash=ROOT)
DECRYPTED = {"phase": Phase.DECRYPTED}
REVEALED = {"phase": Phase.REVEALED, "reveals": reveals(0, 1, 2, 3)}
ACCUSED = {**DECRYPTED, "shares": OTHERS, "disputes": (Dispute(PEOPLE[3], PEOPLE[2]),), "aggregates": posts(0)}
AGGREGATED = Facts(aggregate=OWN, shares_tried=3)
TABLE = [
    # (name, view fields, facts, clock, expected)
    ("trains first", {"phase": Phase.OPEN}, Facts(), NOW, act.PrepareUpdate(1)),
    ("P1 then commits", {"phase": Phase.OPEN}, Facts(prepared=True), NOW, act.Commit(1)),
    ("P1 commits once", {"phase": Phase.OPEN, "commitments": {PEOPLE[1]: ROOT}}, Facts(prepared=True), NOW, None),
    ("sits out", {"phase": Phase.OPEN}, Facts(sits_out=True), NOW, None),
    ("P2 reveals", {"phase": Phase.COMMITTED, "commitments": {PEOPLE[1]: ROOT}}, Facts(prepared=True), NOW, act.Reveal(1)),
    ("P2 never reveals what it did not commit", {"phase": Phase.COMMITTED}, Facts(prepared=True), NOW, None),
    (
        "P2 reveals once",
        {"phase": Phase.COMMITTED, "commitments": {PEOPLE[1]: ROOT}, "reveals": reveals(1)},
        Facts(prepared=True),
        NOW,
        None,
    ),
    ("P3 checks before it attests", REVEALED, Facts(), NOW, act.CheckUpdates(1)),
    ("P3 attests to all good", REVEALED, Facts(good=ALL), NOW, act.AttestSet(1, ALL, NO_ONE)),
    ("P3 attests once", {**REVEALED, "attested": {PEOPLE[1]: ALL}, "refused": {PEOPLE[1]: NO_ONE}}, Facts(good=ALL), NOW, None),
    (
        "P3 leaves a bad one out at once",
        REVEALED,
        Facts(good=BitSet.of(0, 1, 2), rejected=BitSet.of(3)),
        NOW,
        act.AttestSet(1, BitSet.of(0, 1, 2), BitSet.of(3)),
    ),
    (
        "P3 says anew what it refuses, once",
        {**REVEALED, "attested": {PEOPLE[1]: BitSet.of(0, 1, 2)}, "refused": {PEOPLE[1]: NO_ONE}},
        Facts(good=BitSet.of(0, 1, 2), rejected=BitSet.of(3)),
        NOW,
        act.AttestSet(1, BitSet.of(0, 1, 2), BitSet.of(3)),
    ),
    (
        "P3 does not repeat itself",
        {**REVEALED, "attested": {PEOPLE[1]: BitSet.of(0, 1, 2)}, "refused": {PEOPLE[1]: BitSet.of(3)}},
        Facts(good=BitSet.of(0, 1, 2), rejected=BitSet.of(3)),
        NOW,
        None,
    ),
    ("P3 tries again for one that did not arrive", REVEALED, Facts(good=BitSet.of(0, 1, 2), checked_ago=9), NOW, act.CheckUpdates(1)),
    (
        "P3 goes on without it at half time",
        REVEALED,
        Facts(good=BitSet.of(0, 1, 2)),
        Clock(5_031, 31),
        act.AttestSet(1, BitSet.of(0, 1, 2), NO_ONE),
    ),
    ("P3 never attests to fewer than three", REVEALED, Facts(good=BitSet.of(0, 1), rejected=BitSet.of(2, 3)), Clock(5_031, 31), None),
    (
        "P3 joins the better supported subset at half time",
        {**REVEALED, "attested": {PEOPLE[1]: ALL, PEOPLE[0]: BitSet.of(0, 1, 2), PEOPLE[2]: BitSet.of(0, 1, 2)}},
        Facts(good=ALL),
        Clock(5_031, 31),
        act.AttestSet(1, BitSet.of(0, 1, 2), NO_ONE),
    ),
    (
        "P3 joins no set without its own good update",
        {
            **REVEALED,
            "attested": {PEOPLE[1]: ALL, PEOPLE[0]: BitSet.of(0, 2, 3), PEOPLE[2]: BitSet.of(0, 2, 3)},
            "refused": {PEOPLE[1]: NO_ONE},
        },
        Facts(good=ALL),
        Clock(5_059, 59),
        None,
    ),
    ("P4 multiplies", {"phase": Phase.FROZEN, "frozen": ALL}, Facts(), NOW, act.ComputeAggregate(1)),
    ("P4 posts when it is its turn", {"phase": Phase.FROZEN}, Facts(aggregate=OWN), NOW, act.PostAggregate(1)),
    (
        "P5 releases for the root it computed",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[0], *OWN),)},
        Facts(aggregate=OWN),
        NOW,
        act.ReleaseShare(1),
    ),
    (
        "P4 shows a wrong one when it has nothing else to do",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[0], OTHER, "c"), Post(PEOPLE[1], *OWN))},
        Facts(aggregate=OWN, released=True),
        NOW,
        act.WeighProduct(1, OTHER, "c"),
    ),
    (
        "P4 shows it once",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[0], OTHER, "c"), Post(PEOPLE[1], *OWN))},
        Facts(aggregate=OWN, released=True, products=frozenset({(OTHER, "c")})),
        NOW,
        None,
    ),
    (
        "P4 need not show it after another did",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[0], OTHER, "c"),), "wrong": (Wrong(OTHER, PEOPLE[3], 0, 1),)},
        Facts(aggregate=(ROOT, "mine"), released=True),
        Clock(5_000.0, -1.0),
        None,
    ),
    (
        "P4 shows one that t holders open before all else",
        {
            **DECRYPTED,
            "aggregates": (Post(PEOPLE[0], OTHER, "c"), Post(PEOPLE[1], *OWN)),
            "shares": tuple(share(h, OTHER) for h in (0, 2, 3)),
        },
        Facts(aggregate=OWN),
        NOW,
        act.WeighProduct(1, OTHER, "c"),
    ),
    (
        "P4 multiplies when t holders open what it has not multiplied itself",
        {**DECRYPTED, "aggregates": (Post(PEOPLE[0], OTHER, "c"),), "shares": tuple(share(h, OTHER) for h in (0, 2, 3))},
        Facts(),
        NOW,
        act.ComputeAggregate(1),
    ),
    (
        "P4 shows it even when the round is final",
        {
            "phase": Phase.FINALISED,
            "aggregates": (Post(PEOPLE[0], OTHER, "c"), Post(PEOPLE[1], *OWN)),
            "shares": tuple(share(h, OTHER) for h in (0, 2, 3)),
        },
        Facts(aggregate=OWN),
        NOW,
        act.WeighProduct(1, OTHER, "c"),
    ),
    (
        "P4 goes on no more where t holders opened what was shown wrong",
        {
            "phase": Phase.VOIDED,
            "aggregates": (Post(PEOPLE[0], OTHER, "c"),),
            "shares": tuple(share(h, OTHER) for h in (0, 2, 3)),
            "wrong": (Wrong(OTHER, PEOPLE[3], 0, 1),),
        },
        Facts(aggregate=OWN),
        NOW,
        act.Halt("3 key holders released shares of a product in round 1 that was shown to be wrong"),
    ),
    (
        "P5 posts its own when only a wrong one is there",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[0], OTHER, "c"),)},
        Facts(aggregate=OWN),
        NOW,
        act.PostAggregate(1),
    ),
    (
        "P5 releases for its root whatever CID was posted with it",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[0], ROOT, "nothing"),)},
        Facts(aggregate=OWN),
        NOW,
        act.ReleaseShare(1),
    ),
    (
        "P4 posts its own beside the right root with another CID",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[0], ROOT, "nothing"),), "shares": (share(1),)},
        Facts(aggregate=OWN, released=True),
        NOW,
        act.PostAggregate(1),
    ),
    (
        "P4 posts once",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[1], ROOT, "lost"),), "shares": (share(1),)},
        Facts(aggregate=OWN, released=True),
        NOW,
        None,
    ),
    (
        "P5 releases once",
        {"phase": Phase.AGGREGATED, "aggregates": (Post(PEOPLE[0], *OWN),), "shares": (share(1),)},
        Facts(aggregate=OWN, released=True),
        NOW,
        None,
    ),
    (
        "P6 combines all when its share came first",
        {**DECRYPTED, "shares": SHARES},
        Facts(aggregate=OWN, ciphertexts=127),
        NOW,
        act.CombineShares(1),
    ),
    ("P6 waits for its turn", {**DECRYPTED, "shares": SHARES[::-1]}, Facts(aggregate=OWN, ciphertexts=127), Clock(5_014, 14), None),
    (
        "P6 combines at its turn",
        {**DECRYPTED, "shares": SHARES[::-1]},
        Facts(aggregate=OWN, ciphertexts=127),
        Clock(5_015, 15),
        act.CombineShares(1),
    ),
    ("P6 comes last without a share", {**DECRYPTED, "shares": OTHERS}, Facts(aggregate=OWN, ciphertexts=127), Clock(5_022, 22), None),
    (
        "P6 comes at last without a share",
        {**DECRYPTED, "shares": OTHERS},
        Facts(aggregate=OWN, ciphertexts=127),
        Clock(5_023, 23),
        act.CombineShares(1),
    ),
    ("P6 combines its part", {**DECRYPTED, "shares": SHARES}, Facts(aggregate=OWN, ciphertexts=128), NOW, act.CombinePart(1)),
    ("P6 combines its part once", {**DECRYPTED, "shares": SHARES, "parts": posts(1)}, Facts(aggregate=OWN, ciphertexts=128), NOW, None),
    ("P6 has no part without a share", {**DECRYPTED, "shares": OTHERS}, Facts(aggregate=OWN, ciphertexts=128), NOW, None),
    (
        "P6 puts all parts together",
        {**DECRYPTED, "shares": SHARES, "parts": posts(0, 1)},
        Facts(aggregate=OWN, ciphertexts=128),
        NOW,
        act.AssembleParts(1),
    ),
    (
        "P6 combines all when a part is missing for long",
        {**DECRYPTED, "shares": SHARES, "parts": posts(1)},
        Facts(aggregate=OWN, ciphertexts=128),
        Clock(5_008, 8),
        act.CombineShares(1),
    ),
    (
        "P6 combines all when a part was refused",
        {**DECRYPTED, "shares": SHARES, "parts": posts(0, 1)},
        Facts(aggregate=OWN, ciphertexts=128, parts_refused=True),
        NOW,
        act.CombineShares(1),
    ),
    (
        "P6 combines its part beside a wrong opening",
        {**DECRYPTED, "shares": SHARES, "openings": (Post(PEOPLE[3], OTHER, "c"),)},
        Facts(aggregate=OWN, ciphertexts=128, openings_checked=1),
        NOW,
        act.CombinePart(1),
    ),
    (
        "P6 combines all at once beside a wrong opening of a short sum",
        {**DECRYPTED, "shares": SHARES[::-1], "openings": (Post(PEOPLE[3], OTHER, "c"),)},
        Facts(aggregate=OWN, ciphertexts=127, openings_checked=1),
        NOW,
        act.CombineShares(1),
    ),
    (
        "P6 does without parts when it refused a share itself",
        {**DECRYPTED, "shares": (*SHARES, share(3))},
        Facts(aggregate=OWN, ciphertexts=128, shares_tried=3, refused=frozenset({PEOPLE[2]})),
        NOW,
        act.CombineShares(1),
    ),
    (
        "P6 combines its part whoever accuses whom",
        {**DECRYPTED, "shares": SHARES, "disputes": tuple(Dispute(PEOPLE[3], PEOPLE[p]) for p in range(3))},
        Facts(aggregate=OWN, ciphertexts=128),
        NOW,
        act.CombinePart(1),
    ),
    ("P6 looks at a disputed share when it has nothing else to do", ACCUSED, AGGREGATED, NOW, act.CheckShare(1, PEOPLE[2])),
    ("P6 looks once", ACCUSED, replace(AGGREGATED, weighed=frozenset({PEOPLE[2]})), NOW, None),
    (
        "P6 releases its own share at once when it refused another's",
        ACCUSED,
        replace(AGGREGATED, weighed=frozenset({PEOPLE[2]}), refused=frozenset({PEOPLE[2]})),
        NOW,
        act.ReleaseShare(1),
    ),
    ("P6 does not look at its own share", {**ACCUSED, "disputes": (Dispute(PEOPLE[3], PEOPLE[1]),)}, AGGREGATED, NOW, None),
    ("P1 asks to be waited for before it trains", {"phase": Phase.OPEN, "absent": BitSet.of(1)}, Facts(), NOW, act.ComeBack(1)),
    ("P1 trains when it is waited for", {"phase": Phase.OPEN, "absent": BitSet.of(0)}, Facts(), NOW, act.PrepareUpdate(1)),
    (
        "P1 takes part unasked when it has come back lately",
        {"phase": Phase.OPEN, "absent": BitSet.of(1), "returned": BitSet.of(1)},
        Facts(),
        NOW,
        act.PrepareUpdate(1),
    ),
    (
        "P1 asks nobody to wait for one that sits out",
        {"phase": Phase.OPEN, "absent": BitSet.of(1)},
        Facts(idle=True),
        NOW,
        act.PrepareUpdate(1),
    ),
    ("P1 commits while it is absent", {"phase": Phase.OPEN, "absent": BitSet.of(1)}, Facts(prepared=True), NOW, act.Commit(1)),
    (
        "P3 does not wait for the update of an absent one",
        {**REVEALED, "absent": BitSet.of(3)},
        Facts(good=BitSet.of(0, 1, 2)),
        NOW,
        act.AttestSet(1, BitSet.of(0, 1, 2), NO_ONE),
    ),
    (
        "P6 checks what another opened",
        {"phase": Phase.DECRYPTED, "openings": (Post(PEOPLE[0], *OWN),)},
        Facts(),
        NOW,
        act.CheckOpening(1),
    ),
    ("P6 posts the opening when it is its turn", {**DECRYPTED, "shares": SHARES}, OPENED, NOW, act.PostOpening(1)),
    ("P6 lets the first post the opening", {**DECRYPTED, "shares": SHARES[::-1]}, OPENED, NOW, None),
    (
        "P6 posts its opening in its turn beside a wrong one",
        {**DECRYPTED, "shares": SHARES, "openings": (Post(PEOPLE[0], OTHER, "cid"),)},
        OPENED,
        NOW,
        act.PostOpening(1),
    ),
    (
        "P6 posts its opening beside the right root with another CID",
        {**DECRYPTED, "shares": SHARES, "openings": (Post(PEOPLE[0], ROOT, "nothing"),)},
        OPENED,
        NOW,
        act.PostOpening(1),
    ),
    (
        "P6 waits for its turn beside another post too: not everybody posts at once",
        {**DECRYPTED, "shares": SHARES[::-1], "openings": (Post(PEOPLE[0], ROOT, "nothing"),)},
        OPENED,
        Clock(5_014, 14),
        None,
    ),
    (
        "P6 steps in with its share for one that cannot be had, before it combines again",
        {**DECRYPTED, "shares": OTHERS, "aggregates": (Post(PEOPLE[0], *OWN),)},
        Facts(ciphertexts=127, aggregate=OWN),
        Clock(5_031, 31),
        act.ReleaseShare(1),
    ),
    (
        "P6 attests to the model",
        {"phase": Phase.DECRYPTED, "openings": (Post(PEOPLE[0], *OWN),)},
        OPENED,
        NOW,
        act.AttestModel(1),
    ),
    ("adopts the finalised model", {"phase": Phase.FINALISED}, Facts(), NOW, act.AdoptModel(1)),
    ("P8 advances after the deadline", {"phase": Phase.OPEN}, Facts(prepared=True), Clock(5_062, 99), act.Advance(1)),
    ("opens the next round", {"phase": Phase.FINALISED}, Facts(adopted=True), Clock(5_000, 30), act.StartRound(1)),
    ("P7 opens another after a void", {"phase": Phase.VOIDED}, Facts(), Clock(5_000, 30), act.StartRound(1)),
]


@pytest.mark.parametrize(("fields", "facts", "clock", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_table(fields: dict[str, object], facts: Facts, clock: Clock, expected: act.Action | None) -> None:
    fields = dict(fields)
    phase = fields.pop("phase")
    assert isinstance(phase, Phase)
    assert decide(role(), study(round_in(phase, **fields)), facts, clock) == expected


def test_waits_while_enrolment_is_open() -> None:
    waiting = study(participants=PEOPLE[:3])
    assert decide(role(), waiting, Facts(), Clock(now=999, waited=100)) is None
    assert decide(role(), waiting, Facts(), Clock(now=1_001, waited=100)) == act.StartRound(1)


def test_halts_when_too_few_enrolled() -> None:
    action = decide(role(), study(participants=PEOPLE[:2]), Facts(), Clock(now=1_001, waited=100))
    assert isinstance(action, act.Halt) and "2 organisations" in action.reason


def test_p7_halts_after_the_specs_number_of_voids() -> None:
    voided = {i: replace(round_in(Phase.VOIDED), id=i) for i in (1, 2, 3)}
    action = decide(role(), study(rounds=MappingProxyType(voided), max_voids=3), Facts(), Clock(5_000, 100))
    assert isinstance(action, act.Halt) and "3 rounds" in action.reason


def test_finishes_when_every_step_is_final() -> None:
    done = {i: replace(round_in(Phase.FINALISED), id=i) for i in (1, 2)}
    assert decide(role(), study(rounds=MappingProxyType(done)), Facts(adopted=True), NOW) == act.Finish()


def test_p6_an_accusation_is_no_work_for_one_that_holds_no_share() -> None:
    assert decide(role(1, None), study(round_in(**ACCUSED)), AGGREGATED, NOW) is None


def test_p1_one_returns_once_in_a_run_of_steps() -> None:
    def at(step: int, returned_at: int) -> act.Action | None:
        absent, before = BitSet.of(1), BitSet.of(1)
        rounds = {1: round_in(Phase.FINALISED, step=returned_at, returned=before), 2: round_in(Phase.OPEN, id=2, step=step, absent=absent)}
        return decide(role(), study(rounds=MappingProxyType(rounds)), Facts(), NOW)

    assert at(7, 0) == act.PrepareUpdate(2) and at(8, 7) == act.ComeBack(2) and at(16, 8) == act.ComeBack(2)


def test_p8_the_absent_have_no_turn_before_the_others() -> None:
    turns = [p for p in range(4) if decide(role(p, p + 1), study(round_in(Phase.FROZEN)), Facts(aggregate=OWN), NOW)]
    without = study(round_in(Phase.FROZEN, absent=BitSet.of(*turns)))
    second = [p for p in range(4) if decide(role(p, p + 1), without, Facts(aggregate=OWN), NOW)]
    assert len(turns) == len(second) == 1 and turns != second


def test_duties_go_round_so_that_one_acts_first() -> None:
    frozen = study(round_in(Phase.FROZEN))
    first = [p for p in range(4) if decide(role(p, p + 1), frozen, Facts(aggregate=OWN), NOW) == act.PostAggregate(1)]
    later = [p for p in range(4) if decide(role(p, p + 1), frozen, Facts(aggregate=OWN), Clock(5_040, 40)) == act.PostAggregate(1)]
    assert len(first) == 1 and later == [0, 1, 2, 3]


@pytest.mark.parametrize("phase", [Phase.FROZEN, Phase.AGGREGATED])
@pytest.mark.parametrize("position", range(4))
def test_p4_participants_without_a_share_post_in_turn_while_their_product_is_not_there(phase: Phase, position: int) -> None:
    junk = (Post("0x" + "99" * 20, ROOT, "nothing"), Post("0x" + "98" * 20, OTHER, "cid"))
    view = study(round_in(phase, aggregates=junk if phase == Phase.AGGREGATED else ()))
    # the turn of position 1 is the first; each turn takes 60 s / (2 * 4)
    turn = (position - 1) % 4 * 7.5
    nobodys = role(position, None)
    if turn:
        assert decide(nobodys, view, Facts(), Clock(5_000, turn - 0.1)) is None
    assert decide(nobodys, view, Facts(), Clock(5_000, turn)) == act.ComputeAggregate(1)
    assert decide(nobodys, view, Facts(aggregate=OWN), Clock(5_000, turn)) == act.PostAggregate(1)
    there = study(round_in(Phase.AGGREGATED, aggregates=(*junk, Post(PEOPLE[3], *OWN))))
    looked = frozenset({(OTHER, "cid")})
    assert decide(nobodys, there, Facts(aggregate=OWN, products=looked), Clock(5_000, 59)) is None


roots = st.sampled_from([None, ROOT, OTHER])
pairs = st.none() | st.tuples(st.sampled_from([ROOT, OTHER]), st.sampled_from(["cid", "c"]))
sets = st.integers(0, 15).map(BitSet)


@given(
    phase=st.sampled_from(list(Phase)[1:]),
    facts=st.builds(Facts, st.booleans(), st.booleans(), st.none() | sets, sets, st.floats(0, 100), pairs, st.booleans(), pairs, roots),
    posted=st.lists(st.sampled_from([ROOT, OTHER]), max_size=2),
    attested=st.dictionaries(st.sampled_from(PEOPLE), sets),
    waited=st.floats(0, 100),
    now=st.floats(4_990, 5_100),
    position=st.integers(0, 3),
)
def test_invariants(
    phase: Phase, facts: Facts, posted: list[bytes], attested: dict[str, BitSet], waited: float, now: float, position: int
) -> None:
    posts = tuple(Post(PEOPLE[i], r, "c") for i, r in enumerate(posted))
    view = round_in(phase, reveals=reveals(0, 1, 2, 3), attested=attested, frozen=ALL, aggregates=posts, openings=posts)
    action = decide(role(position, position + 1), study(view), facts, Clock(now, waited))
    if isinstance(action, act.ReleaseShare):
        assert facts.aggregate is not None and facts.aggregate[0] in posted and not facts.released, (
            "P5: only for a root on the chain that it computed itself, once"
        )
    if isinstance(action, act.AttestSet):
        assert facts.good is not None and action.set.bits & ~facts.good.bits == 0 and len(action.set) >= 3, "P3"
        assert position in action.set or position not in facts.good, "P3: its own good update is in every set that it attests to"
        assert action.refused == facts.rejected
    if isinstance(action, act.PostAggregate):
        assert facts.aggregate not in [post.pair for post in posts] and PEOPLE[position] not in [post.sender for post in posts]
    if isinstance(action, act.AttestModel):
        assert facts.opening in [post.pair for post in posts], "P6: only for an opening that anyone can fetch by root and CID"
    if now > view.deadline and not phase.ended:
        assert action is None or action == act.Advance(1), "P8: after a deadline nothing but advance"
    if isinstance(action, act.PrepareUpdate | act.Commit):
        assert phase == Phase.OPEN and not facts.sits_out
