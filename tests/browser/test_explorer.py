"""The explorer in a real browser over a real consortium: every page, live while a round runs, verification, and what must turn red.

With DEFEDBIO_SCREENSHOTS=FOLDER the pictures of docs/explorer.md are taken on the way.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect

from defedbio.chain.abi import encode_call
from defedbio.chain.network import Network
from defedbio.chain.records import Call
from scripts.consortium import ROOT, Consortium, rpc_call
from tests.integration.fixtures import Study

MakeStudy = Callable[..., Study]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SLOW = 90_000
PICTURES = os.environ.get("DEFEDBIO_SCREENSHOTS", "")


@dataclass
class Watched:
    """A page whose console errors and requests to other hosts are kept."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda m: self.faults.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.faults.append(f"asked {request.url}")

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def picture(self, name: str, width: int = 1200, height: int = 800, scheme: str = "light") -> None:
        """Of the page as it is, if pictures are asked for."""
        if not PICTURES:
            return
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        path = Path(PICTURES) / f"explorer-{name}.png"
        self.page.screenshot(path=path)
        with Image.open(path) as taken:
            few_colours = taken.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        few_colours.save(path, optimize=True)
        self.plain()

    def plain(self) -> None:
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": 1200, "height": 900})

    def check(self) -> None:
        """Labels, contrast and structure by axe's WCAG A and AA rules, no sideways scrolling, and nothing noted so far."""
        assert self.faults == []
        # Evaluated by the debugger, which the page's own policy does not bind.
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})")
        broken = [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found["violations"]]
        assert broken == [], self.page.url
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{self.page.url} scrolls sideways"


@pytest.fixture
def watched(browser: Browser, consortium: Consortium) -> Iterator[Watched]:
    url = consortium.start_explorer(consortium.organisations[0]).rstrip("/")
    context = browser.new_context(viewport={"width": 1200, "height": 900}, permissions=["clipboard-read", "clipboard-write"])
    made = Watched(context.new_page(), url)
    made.page.set_default_timeout(SLOW)
    expect.set_options(timeout=SLOW)
    yield made
    context.close()
    consortium.processes.pop("explorer").stop()


def test_a_study_from_its_first_round_to_a_tampered_blob(watched: Watched, consortium: Consortium, open_study: MakeStudy) -> None:
    study = open_study(rounds=1, changes={"evaluation": {}})
    page = watched.page
    watched.open(f"/study/{study.number}")
    expect(page.get_by_text("No round yet")).to_be_visible()

    agents = [study.start(o) for o in consortium.organisations]
    _rounds_appear_without_a_reload(page)
    _a_round_counts_down(watched, study)
    study.finish(agents)
    watched.open(f"/study/{study.number}")
    expect(page.get_by_role("heading", name="roc_auc by round")).to_be_visible()
    expect(page.get_by_role("heading", name="gas by round")).to_be_visible()
    expect(page.locator(".badge.complete")).to_be_visible()
    expect(page.locator("#rounds ~ .scroll td[data-label=gas] .dim")).to_have_count(0)
    assert watched.faults == []
    watched.picture("study", height=1200)
    watched.picture("dark", height=1200, scheme="dark")

    rounds = study.rounds()
    shown = consortium.cli(consortium.organisations[0], "round", "show", str(rounds[1]["round"]))
    update = shown["participants"][1]["update_cid"]
    refused = _refused_transaction(consortium)
    paths = _every_page(watched, study, rounds[1]["round"], consortium.organisations[1].address, update, refused)
    _looks_and_labels(watched, paths)
    _searches(watched, consortium, rounds[1], update)
    _keyboard_and_clipboard(watched, consortium.organisations[1].address)
    _verification(watched, consortium, rounds[1]["round"], update)


def _rounds_appear_without_a_reload(page: Page) -> None:
    """The table fills while the agents work; what marks the document survives, so it is the same document."""
    page.evaluate("document.documentElement.dataset.same = 'yes'")
    expect(page.locator("#rounds ~ .scroll tbody tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.dataset.same") == "yes"


def _a_round_counts_down(watched: Watched, study: Study) -> None:
    """The page of the round that runs becomes, by itself, that of a finished one."""
    page = watched.page
    watched.open(f"/study/{study.number}")
    page.locator("#rounds ~ .scroll tbody tr a").first.click()
    if not page.locator(".badge.finalised").count():
        expect(page.locator(".countdown")).to_contain_text("left")
        expect(page.locator(".act small, .badge.finalised").first).to_be_visible()
        watched.picture("running", height=700)
    expect(page.locator(".badge.finalised")).to_be_visible()
    expect(page.locator("#verify")).to_be_visible()


def _every_page(watched: Watched, study: Study, round_: int, address: str, cid: str, refused: str) -> list[str]:
    page = watched.page
    watched.open("/")
    expect(page.locator(".ask.yes")).to_have_count(4)
    expect(page.locator("tr", has=page.locator(f"a[href='/study/{study.number}']"))).to_contain_text("3 of 3")
    watched.picture("network", height=1000)
    page.get_by_role("row", name="active").get_by_role("link").first.click()
    expect(page.locator("#holders + .scroll .yes")).to_have_count(4)
    epoch = page.url.removeprefix(watched.url)
    watched.open(f"/round/{round_}")
    expect(page.locator(".stepper .done")).to_have_count(7)
    expect(page.locator("#organisations + .scroll tbody tr")).to_have_count(4)
    expect(page.locator("#organisations + .scroll .act small .dim")).to_have_count(0)
    watched.picture("round", height=1000)
    watched.picture("phone", width=390, height=844)
    page.locator("#organisations + .scroll td a.mono").first.click()
    expect(page.get_by_role("heading", name="Call")).to_be_visible()
    expect(page.locator("main")).to_contain_text("RoundManager.commit")
    transaction = page.url.removeprefix(watched.url)
    page.get_by_role("link", name=page.locator("dt", has_text="block").locator("+ dd a").inner_text(), exact=True).first.click()
    expect(page.get_by_role("heading", name="Events of this network")).to_be_visible()
    block = page.url.removeprefix(watched.url)
    watched.open(f"/tx/{refused}")
    expect(page.get_by_role("alert")).to_contain_text("RoundManager")
    watched.open(f"/address/{address}")
    expect(page.get_by_role("heading", name="beta")).to_be_visible()
    watched.open(f"/cid/{cid}")
    expect(page.locator("main")).to_contain_text("its bytes are those of the CID")
    expect(page.locator("#size")).to_contain_text("kB")
    expect(page.locator("#keepers + .scroll .ask.yes")).to_have_count(4)
    expect(page.locator("#keepers + .scroll")).to_contain_text("key holder: keeps every update")
    expect(page.locator("#keepers + .scroll")).to_contain_text("has it")
    watched.picture("blob", height=700)
    return [
        "/",
        epoch,
        f"/study/{study.number}",
        f"/round/{round_}",
        transaction,
        block,
        f"/tx/{refused}",
        f"/address/{address}",
        f"/cid/{cid}",
    ]


def _looks_and_labels(watched: Watched, paths: list[str]) -> None:
    """Every page in light and dark, and at a phone's width."""
    page = watched.page
    for path in paths:
        for scheme, width in (("light", 1200), ("dark", 360)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            watched.open(path)
            watched.check()
    watched.plain()


def _searches(watched: Watched, consortium: Consortium, round_: dict[str, object], cid: str) -> None:
    page, number = watched.page, round_["round"]
    beta = consortium.organisations[1]
    record = consortium.cli(beta, "round", "show", str(number))
    cases = {
        f"round {number}": f"/round/{number}",
        "BETA": f"/address/{beta.address}",
        beta.address.lower(): f"/address/{beta.address}",
        cid: f"/cid/{cid}",
        str(record["model_hash"]): f"/round/{number}",
        "7": "/block/7",
        "epoch 1": "/epoch/1",
    }
    for asked, path in cases.items():
        page.locator("#q").fill(asked)
        page.keyboard.press("Enter")
        page.wait_for_url(watched.url + path)
    page.locator("#q").fill("<script>nothing</script>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    watched.faults.clear()  # the browser notes a 404 as an error of its own


def _keyboard_and_clipboard(watched: Watched, address: str) -> None:
    page = watched.page
    watched.open(f"/address/{address}")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.locator(f"[data-copy='{address}']").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == address
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.locator("#theme").click()


def _verification(watched: Watched, consortium: Consortium, round_: int, cid: str) -> None:
    page = watched.page
    watched.open(f"/round/{round_}")
    page.locator("#verify").click()
    expect(page.locator("#checks li").last).to_contain_text("the round is verified")
    expect(page.locator("#checks li")).to_have_count(9)
    assert page.locator("#checks li.bad").count() == 0
    watched.picture("verified", height=700)
    blob = consortium.folder / "blob"
    _spoil(consortium, cid, blob)
    page.locator("#verify").click()
    expect(page.locator("#checks li.bad")).to_have_count(1)
    watched.open(f"/cid/{cid}")
    _look_until_red(page)
    watched.picture("tampered", height=700)


def _look_until_red(page: Page) -> None:
    """A check of the whole blob is remembered for some seconds: look again until there is a newer one."""
    deadline = time.monotonic() + SLOW / 1000
    while True:
        expect(page.locator("[data-ask]", has_text="asking")).to_have_count(0)
        if page.locator("#size ~ dd .no", has_text="not verified").count():
            return
        assert time.monotonic() < deadline, "the spoilt blob never turned red"
        page.reload()


def _spoil(consortium: Consortium, cid: str, kept: Path) -> None:
    """Flip a byte of the blob's block in every organisation's IPFS repository, as a bad disk or hand would."""
    from defedbio.ipfs.kubo import KuboStore

    raw = KuboStore(consortium.organisations[0].ipfs_api).get(cid, 1 << 24, 30)
    spoilt = bytes([raw[0] ^ 1]) + raw[1:]
    files = [path for o in consortium.organisations for path in o.home.rglob("*") if path.is_file() and path.stat().st_size == len(raw)]
    found = [path for path in files if path.read_bytes() == raw]
    assert found
    for path in found:
        path.write_bytes(spoilt)


def _refused_transaction(consortium: Consortium) -> str:
    """A transaction that the contract refuses and that is mined all the same, as when somebody sends without asking first."""
    network = Network.load(consortium.network_file)
    (rich, *_) = rpc_call(consortium.rpc, "eth_accounts")
    data = "0x" + encode_call(Call("RoundManager", "commit", (1, bytes(range(32))))).hex()
    request = {"from": rich, "to": network.contracts["RoundManager"], "data": data, "gas": hex(300_000)}
    return str(rpc_call(consortium.rpc, "eth_sendTransaction", request))


def test_it_only_reads_and_only_under_its_own_name(watched: Watched) -> None:
    def asked(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
        try:
            with urllib.request.urlopen(urllib.request.Request(watched.url + path, method=method, headers=headers), timeout=10) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}
        except urllib.error.HTTPError as error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}

    # Until the chain has been read, every page says that it will be, and nothing is unknown.
    watched.open("/")
    expect(watched.page.locator(".ask.yes")).to_have_count(4)
    status, headers = asked("/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"] and "unsafe" not in headers["content-security-policy"]
    assert asked("/", "POST")[0] == 405
    assert asked("/", host="evil.example")[0] == 400
    for path in (
        "/nothing",
        "/study/999",
        "/study/" + "9" * 5000,
        "/epoch/999",
        "/cid/nothing/check",
        "/round/999",
        "/tx/0x12",
        "/tx/0x" + "00" * 32,
        "/block/99999999",
        "/address/0x12",
        "/cid/nothing",
        "/reach/x",
    ):
        assert asked(path)[0] == 404, path
    with urllib.request.urlopen(watched.url + "/healthz", timeout=10) as answer:
        assert json.load(answer)["trouble"] == ""
