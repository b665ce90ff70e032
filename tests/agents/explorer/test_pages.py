"""What pages show of a round that went well for two, badly for one, and not at all for another; paging; search; blobs."""

from __future__ import annotations

import pytest

from defedbio.chain import events as ev
from defedbio.domain import BitSet, Phase
from defedbio.errors import NotFound
from defedbio.learning.evaluation_sums import Evaluation
from defedbio.web.paging import Numbers
from tests.agents.explorer.world import CONTRACTS, MODEL, PEOPLE, STRANGER, UPDATE, World, word


def test_a_round_says_of_everybody_what_it_did_and_why_it_is_out(world: World) -> None:
    page = world.pages.round(1)
    rows = {row["who"]: row for row in page["rows"].rows}
    assert [rows[who]["verdict"] for who in PEOPLE] == ["in", "in", "out", "out"]
    assert (rows[PEOPLE[2]]["why"], rows[PEOPLE[3]]["why"]) == ("BadCiphertext", "never committed")
    assert set(rows[PEOPLE[0]]["acts"]) == {"committed", "revealed", "checked", "share", "attested"}
    assert set(rows[PEOPLE[2]]["acts"]) == {"committed", "revealed"}
    assert [row["holder"] for row in rows.values()] == [True, True, True, False]
    assert [state for _, _, state, _ in page["steps"]] == ["done"] * 7
    assert page["gas"] is None, "nobody waits for receipts"
    assert world.lookups.fill(*world.index.round(1))
    page = world.pages.round(1)
    assert page["gas"] == 1000 * len({e.meta.tx_hash for e in world.chain.events if getattr(e, "round", 0) == 1})
    assert set(page["rows"].rows[0]["gas"].values()) == {1000}


def test_every_post_of_the_product_that_was_opened_is_shown_and_no_other(world: World) -> None:
    world.round(2, final=False)
    first, second = word("aggregate 2"), word("junk")
    for who, root, cid in ((PEOPLE[0], second, "junk"), (PEOPLE[0], first, "nothing"), (PEOPLE[1], first, UPDATE)):
        world.chain.emit(ev.AggregatePosted, 2, who, root, cid)
    for index, (who, root) in enumerate(((PEOPLE[2], second), (PEOPLE[0], first), (PEOPLE[1], first)), 1):
        world.chain.emit(ev.ShareReleased, 2, who, index, root, word(f"share {index}"), UPDATE, bytes(32))
    world.index.poll()
    assert [(post.root, post.cid) for post in world.pages.round(2)["products"]] == [(first, "nothing"), (first, UPDATE)]
    assert "nothing" in world.show("round", 2) and UPDATE in world.show("round", 2)


def test_a_running_and_a_voided_round_show_where_they_are(world: World) -> None:
    world.round(2, final=False)
    world.index.poll()
    assert [state for _, _, state, _ in world.pages.round(2)["steps"]] == ["done", "done", "done", "now", "next", "next", "next"]
    world.chain.emit(ev.RoundVoided, 2, 1, Phase.FROZEN)
    world.index.poll()
    page = world.pages.round(2)
    assert page["voided"] and [state for _, _, state, _ in page["steps"]] == ["done", "done", "done", "void", "next", "next", "next"]
    assert "A deadline was missed" in world.show("round", 2)


def test_a_study_shows_budgets_beside_the_agreed_one_and_charts(world: World) -> None:
    for number in (2, 3):
        world.round(number, private=True)
    world.index.poll()
    for view in world.index.study(1).rounds.values():
        world.lookups.fill(world.index.study(1), view)
    page = world.pages.study(1)
    assert page["budgets"] == [*((who, 1.5, 1e-05) for who in PEOPLE[:3]), (PEOPLE[3], None, None)]
    assert [chart.title for chart in page["charts"]] == ["gas", "bytes of updates"]
    assert [row["view"].id for row in page["rounds"].rows] == [3, 2, 1]
    assert all(row["took"] is not None and row["gas"] and row["bytes"] for row in page["rounds"].rows)


def test_an_unusable_metric_is_told_with_its_reason_and_charted_nowhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (2, 3):
        world.round(number)
    world.index.poll()
    monkeypatch.setattr(world.lookups, "known_metrics", lambda _: Evaluation({"roc_auc": None}, "more <hits> than rows"))
    assert '<span class="no" title="more &lt;hits&gt; than rows">unusable</span>' in world.show("study", 1)
    assert "roc_auc" not in [chart.title for chart in world.pages.study(1)["charts"]]
    assert '<span class="no">unusable:</span> more &lt;hits&gt; than rows' in world.show("round", 1)
    monkeypatch.setattr(world.lookups, "known_metrics", lambda _: Evaluation({"roc_auc": 0.75}))
    assert "0.75" in world.show("round", 1) and "unusable" not in world.show("study", 1)


def test_a_study_shows_what_its_participants_said_yes_to(world: World) -> None:
    html = world.show("study", 1)
    assert "key holders together" in html and PEOPLE[0] in html and "is opened" in html


def test_a_spec_that_does_not_come_leaves_the_rest_of_the_page(world: World) -> None:
    world.connection.spec_missing = True
    html = world.show("study", 1)
    assert "no connected node delivered the spec" in html and "Round" in html
    assert "…" in world.show("network"), "the network page does not even ask"


def test_a_spec_that_takes_its_time_is_not_waited_for(world: World) -> None:
    world.connection.gate.clear()
    world.lookups.page_seconds = 0.01
    assert "being read from IPFS" in world.show("study", 1)
    world.connection.gate.set()
    assert world.lookups.frame(1, 10.0) is not None
    assert "being read" not in world.show("study", 1)


def test_while_the_chain_is_away_pages_show_what_is_known(world: World) -> None:
    world.chain.down = True
    assert "not known now" in world.show("address", PEOPLE[0])
    assert "✗ out" in world.show("round", 1)
    assert "Studies" in world.show("network")


def test_k3_who_retired_a_share_and_how_many_are_left(world: World) -> None:
    keys = CONTRACTS["KeyRegistry"]
    assert "left" not in world.show("network") and "erased" not in world.show("epoch", 1)
    world.chain.emit(ev.KeyShareRetired, 1, PEOPLE[1], BitSet.of(1), contract=keys)
    world.index.poll()
    page = world.show("epoch", 1)
    assert "2 shares are left" in page and page.count("erased since") == 1 and "2 of 3, 2 left" in world.show("network")
    assert "erased" not in world.show("study", 1), "when it was opened, nobody had"
    world.chain.emit(ev.KeyShareRetired, 1, PEOPLE[2], BitSet.of(1, 2), contract=keys)
    world.chain.emit(ev.KeyEpochRetired, 1, contract=keys)
    world.index.poll()
    assert world.pages.epoch(1)["state"] == "retired"


def test_long_lists_come_in_pages_newest_first(world: World) -> None:
    for number in range(2, 61):
        world.round(number)
    world.index.poll()
    first, last = world.pages.study(1)["rounds"], world.pages.study(1, Numbers({"rounds": "3"}))["rounds"]
    assert ([row["view"].id for row in first.rows][:2], first.pages, first.total) == ([60, 59], 3, 60)
    assert [row["view"].id for row in last.rows] == list(range(10, 0, -1))
    assert world.pages.study(1, Numbers({"rounds": "99999999"}))["rounds"].number == 3
    for text in ("0", "-1", "1e9", "٣", "9" * 5000):
        assert world.pages.study(1, Numbers({"rounds": text}))["rounds"].number == 1
    contract = world.pages.address(CONTRACTS["RoundManager"])["events"]
    assert contract.total == len([e for e in world.chain.events if e.meta.contract == CONTRACTS["RoundManager"]])
    assert contract.rows[0]["name"] == "RoundFinalised" and len(contract.rows) == 25
    assert 'href="?rounds=2"' in world.show("study", 1)


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("12", "/block/12"),
        (" round #1 ", "/round/1"),
        ("Study 1", "/study/1"),
        ("epoch 1", "/epoch/1"),
        ("GAMMA", f"/address/{PEOPLE[2]}"),
        (PEOPLE[1].upper().replace("0X", "0x"), f"/address/{PEOPLE[1]}"),
        (CONTRACTS["KeyRegistry"], f"/address/{CONTRACTS['KeyRegistry']}"),
        (UPDATE, f"/cid/{UPDATE}"),
        ("0x" + word("commitment 1 e9").hex(), "/round/1"),
        ("0x" + word("spec").hex(), "/study/1"),
        ("0x" + word("nothing").hex(), "/tx/0x" + word("nothing").hex()),
    ],
)
def test_search_finds_what_has_a_name(world: World, asked: str, path: str) -> None:
    assert world.pages.find(asked) == path


@pytest.mark.parametrize(
    "asked", ["", "nobody", "0x12", "9" * 5000, "round 1 2", "round " + "9" * 30, "https://evil.example", "//evil.example"]
)
def test_search_of_anything_else_finds_nothing(world: World, asked: str) -> None:
    with pytest.raises(NotFound, match="nothing here"):
        world.pages.find(asked)


def test_a_transaction_is_found_by_its_hash(world: World) -> None:
    tx = world.chain.events[5].meta.tx_hash.hex()
    assert world.pages.find("0x" + tx) == f"/tx/0x{tx}"


@pytest.mark.parametrize(
    ("page", "argument"),
    [("study", 9), ("round", 9), ("epoch", 9), ("block", 5000), ("block", 1 << 200), ("address", STRANGER), ("cid", "nothing")],
)
def test_what_is_not_there_is_not_found(world: World, page: str, argument: object) -> None:
    with pytest.raises(NotFound):
        getattr(world.pages, page)(argument)


def test_a_blob_is_checked_and_its_keepers_asked(world: World) -> None:
    """C5: holders keep updates, participants keep models."""
    beta = world.stores[1]
    assert world.pages.cid(UPDATE)["keepers"] == {
        **dict.fromkeys(PEOPLE[:3], "published the update"),
    }
    assert world.pages.cid(MODEL)["keepers"][PEOPLE[3]] == "participant: keeps the models it adopts"
    missing = world.blobs.checks.get(UPDATE, 5.0)
    assert missing is not None and missing.ok is False and missing.detail.startswith("not verified")
    beta.add(b"a model")
    answers = [world.blobs.presence.get((MODEL, who), 5.0) for who in PEOPLE]
    assert [(a.ok, a.detail) for a in answers if a] == [
        (False, "does not pin it"),
        (True, "has it"),
        (False, "does not have it"),
        (False, "does not have it"),
    ]
    whole = world.blobs.checks.get(MODEL, 5.0)
    assert whole is not None and (whole.ok, whole.size) == (True, 7)
    world.stores[3].running = False
    gone = world.blobs.presence.get((UPDATE, PEOPLE[3]), 5.0)
    assert gone is not None and gone.ok is None and gone.detail.startswith("not known: no connection")


def test_a_tampered_blob_is_not_verified(world: World) -> None:
    alpha, beta, *_ = world.stores
    beta.add(b"a model")
    beta.blobs[MODEL] = b"another model"
    answer = world.blobs.checks.get(MODEL, 5.0)
    assert answer is not None and answer.ok is False and "have the CID" in answer.detail
    assert alpha.pins == set()
