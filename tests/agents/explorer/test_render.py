"""Everything that others wrote is shown as text: names, reasons, CIDs, times."""

from __future__ import annotations

import re

import pytest

from defedbio.chain import events as ev
from defedbio.chain.abi import encode_call
from defedbio.chain.records import Call, MinedTransaction
from defedbio.domain import BitSet
from defedbio.explorer.render import absolute, ago, size
from tests.agents.explorer.world import CONTRACTS, NOW, PEOPLE, STRANGER, World, word

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
PAGES = [("network",), ("study", 1), ("round", 1), ("epoch", 1), ("block", 3), ("address", PEOPLE[0]), ("cid", HOSTILE)]


@pytest.fixture
def hostile() -> World:
    made = World()
    made.found(names=(HOSTILE, "javascript:alert(1)", "bafy" + HOSTILE, "0x" + HOSTILE[:40]))
    made.round(1, reasons=f"2:{HOSTILE};{HOSTILE};²:x;999999999999:y;3:")
    made.chain.emit(ev.ParticipantRegistered, STRANGER, HOSTILE, HOSTILE, bytes(32), f"/dns4/{HOSTILE}/tcp/1")
    made.chain.emit(ev.KeyEpochRejected, 1, PEOPLE[2], HOSTILE)
    made.chain.emit(ev.ShareDisputed, 1, PEOPLE[0], PEOPLE[1], HOSTILE)
    made.index.poll()
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page[0])
def test_markup_in_what_others_wrote_stays_text(hostile: World, page: tuple[object, ...]) -> None:
    html = hostile.show(str(page[0]), *page[1:])
    assert "<img" not in html and "<script>alert" not in html
    assert len(re.findall("<script", html)) == 1, "the explorer's own"
    links = re.findall(r'(?:href|src|data-ask)="([^"]*)"', html)
    assert links and all(link.startswith(("/", "?", "#")) and not link.startswith("//") for link in links)
    hostile.stop()


def test_a_deadline_beyond_the_calendar_is_shown(world: World) -> None:
    from defedbio.domain import Phase

    world.chain.emit(ev.RoundOpened, 2, 1, 1, 1, PEOPLE[0])
    world.chain.emit(ev.PhaseEntered, 2, Phase.OPEN, (1 << 64) - 1)
    world.index.poll()
    assert "9999-12-30" in world.show("round", 2)


def test_every_round_row_shows_block_transaction_gas_and_cid(world: World) -> None:
    world.lookups.fill(*world.index.round(1))
    html = world.show("round", 1)
    revealed = next(e for e in world.chain.events if isinstance(e, ev.UpdateRevealed))
    row = html[html.index(f'title="{PEOPLE[0]}"', html.index('id="organisations"')) :]
    row = row[: row.index("</tr>")]
    assert f'href="/tx/0x{revealed.meta.tx_hash.hex()}"' in row
    assert f'href="/block/{revealed.meta.block}"' in row
    assert f'href="/cid/{revealed.cid}"' in row
    assert row.count("1\N{THIN SPACE}000 gas") == 5
    result = html[html.index('id="result"') : html.index('id="events"')]
    assert word("part 1").hex() in result and word("opening 1").hex() in result


def test_an_accusation_stands_beside_the_share_and_the_absent_are_not_waited_for(world: World) -> None:
    world.chain.emit(ev.AbsenteesPassedOver, 1, BitSet.of(3))
    for accuser in PEOPLE[1:3]:
        world.chain.emit(ev.ShareDisputed, 1, accuser, PEOPLE[0], "a word")
    world.index.poll()
    html = world.show("round", 1)
    share = next(e for e in world.chain.events if isinstance(e, ev.ShareReleased))
    rows = [html[html.index(f'title="{who}"', html.index('id="organisations"')) :].split("</tr>")[0] for who in (PEOPLE[0], PEOPLE[3])]
    assert f'href="/tx/0x{share.meta.tx_hash.hex()}"' in rows[0] and "disputed by 2" in rows[0] and "not waited for" not in rows[0]
    assert "not waited for" in rows[1]


def test_a_product_that_was_shown_wrong_is_named_with_its_poster(world: World) -> None:
    world.chain.emit(ev.AggregatePosted, 1, PEOPLE[2], word("a lie"), HOSTILE)
    world.index.poll()
    before = world.show("round", 1)
    world.chain.emit(ev.ProductShownWrong, 1, PEOPLE[0], word("a lie"), BitSet.of(2), 7, 2)
    world.index.poll()
    html = world.show("round", 1)
    row = html[html.index(f'title="{PEOPLE[2]}"', html.index('id="organisations"')) :].split("</tr>")[0]
    assert "posted a wrong product" in row and html.count("posted a wrong product") == 1 and "posted a wrong product" not in before
    result = html[html.index('id="result"') : html.index('id="events"')]
    assert word("a lie").hex() in result and "at ciphertext 7 and update 2 of the set" in result


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_transaction_shows_its_call_or_the_custom_error_by_name(world: World, succeeded: bool) -> None:
    call = Call("RoundManager", "reveal", (1, b"r" * 32, HOSTILE, bytes(32), b"s" * 32))
    to = CONTRACTS["RoundManager"]
    world.chain.sent = MinedTransaction(bytes(32), 3, STRANGER, to, encode_call(call), 0, 7, 90_000, 10**9, succeeded, ())
    html = world.show("transaction", bytes(32))
    assert "RoundManager.reveal" in html and "update root" in html and 'href="/round/1"' in html
    assert ("RoundManagerNotEnrolled" in html) is not succeeded
    assert "<img" not in html
    world.chain.sent = MinedTransaction(bytes(32), 3, STRANGER, to, b"\x01" * 5, 0, 7, 90_000, 10**9, True, ())
    assert "5 bytes of calldata that are no call" in world.show("transaction", bytes(32))


def test_times_and_sizes_as_people_say_them() -> None:
    assert absolute(NOW) == "2023-11-14 22:13:20 UTC"
    assert [ago(s) for s in (5, 65, 7200, 200_000, -90)] == ["5 s ago", "1 min ago", "2 h ago", "2 d ago", "in 1 min"]
    assert [size(n) for n in (None, 12, 1500, 2_340_000)] == ["–", "12 B", "1.5 kB", "2.34 MB"]
