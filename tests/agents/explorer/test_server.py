"""The application as a server calls it: who may ask what, what a page carries, and streams that end when nobody listens."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from defedbio.errors import BlobUnavailable, InvalidInput
from defedbio.explorer import verification
from defedbio.explorer.application import Explorer
from defedbio.explorer.index import Index
from defedbio.explorer.verification import AT_ONCE
from defedbio.protocol.verify import Check
from tests.agents.explorer.world import MODEL, PEOPLE, STRANGER, World, word

HOSTS = ["127.0.0.1", "[::1]"]


@pytest.fixture
def explorer(world: World) -> Iterator[Explorer]:
    made = Explorer(world.connection, world.index)  # type: ignore[arg-type]
    yield made
    made.stop()


def ask(
    explorer: Explorer, path: str, method: str = "GET", host: str = "127.0.0.1:8420", **headers: str
) -> tuple[int, dict[str, str], str]:
    """One request through the whole application."""
    sent: list[dict[str, Any]] = []
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", host.encode()), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8420),
    }

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(explorer.app(HOSTS)(scope, receive, send))  # type: ignore[arg-type]
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, body.decode()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8420", ""])
def test_a_foreign_name_is_refused(explorer: Explorer, host: str) -> None:
    """Against DNS rebinding; the refusal is hardened, too."""
    status, headers, _ = ask(explorer, "/", host=host)
    assert status == 400
    assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8420", "[::1]:8420"])
def test_the_own_names_are_served(explorer: Explorer, host: str) -> None:
    status, headers, body = ask(explorer, "/", host=host)
    assert status == 200 and "Organisations" in body
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_only_reads(explorer: Explorer, method: str) -> None:
    assert ask(explorer, "/", method)[0] == 405


def test_another_sites_page_may_link_here_and_no_more(explorer: Explorer) -> None:
    assert ask(explorer, "/round/1", sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 200
    for path, mode in (("/round/1/verify", "no-cors"), (f"/cid/{MODEL}/check", "cors"), ("/round/1", "no-cors")):
        assert ask(explorer, path, sec_fetch_site="cross-site", sec_fetch_mode=mode)[0] == 403
    assert ask(explorer, f"/cid/{MODEL}/pin", sec_fetch_site="same-origin", sec_fetch_mode="cors")[0] == 200


@pytest.mark.parametrize("hosts", [["*"], ["127.0.0.1", "*.example"], [""]])
def test_a_pattern_is_no_host_name(explorer: Explorer, hosts: list[str]) -> None:
    with pytest.raises(InvalidInput, match="one by one"):
        explorer.app(hosts)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/round/9",
        "/round/" + "9" * 5000,
        "/round/\N{SUPERSCRIPT TWO}",
        "/block/" + "9" * 19,
        "/tx/0x12",
        "/address/0x12",
        f"/address/{STRANGER}",
        "/cid/nothing",
        "/search?q=nobody",
        "/static/../server.py",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(explorer: Explorer, path: str) -> None:
    status, _, body = ask(explorer, path)
    assert status == 404
    assert "No" in body


def test_search_leads_nowhere_else(explorer: Explorer) -> None:
    status, headers, _ = ask(explorer, "/search?q=0x" + word("model 1").hex())
    assert (status, headers["location"]) == (303, "/round/1")
    assert ask(explorer, "/search?q=//evil.example")[0] == 404


def test_what_is_asked_aside_is_json(explorer: Explorer) -> None:
    status, _, body = ask(explorer, f"/reach/{PEOPLE[1]}")
    assert (status, json.loads(body)) == (200, {"ok": True, "detail": "answers"})
    status, _, body = ask(explorer, f"/cid/{MODEL}/at/{PEOPLE[1]}")
    assert (status, json.loads(body)) == (200, {"ok": False, "detail": "does not have it"})
    for path in (f"/reach/{STRANGER}", "/cid/nothing/check", f"/cid/{MODEL}/at/{STRANGER}"):
        status, _, body = ask(explorer, path)
        assert status == 404 and json.loads(body)["ok"] is None


def test_before_the_first_poll_it_says_that_it_reads(world: World) -> None:
    fresh = Explorer(world.connection, Index(world.chain))  # type: ignore[arg-type]
    for path in ("/", "/round/1"):
        status, _, body = ask(fresh, path)
        assert status == 200 and "Reading the chain" in body
    assert json.loads(ask(fresh, "/healthz")[2]) == {"block": None, "trouble": ""}
    fresh.stop()


def test_every_contract_has_a_page(explorer: Explorer, world: World) -> None:
    for name, address in world.chain.network.contracts.addresses().items():
        assert name in ask(explorer, f"/address/{address}")[2]


def test_a_verification_that_nobody_listens_to_stops_and_makes_room(explorer: Explorer, world: World, monkeypatch: Any) -> None:
    began, ended = threading.Event(), threading.Event()

    def endless(*arguments: Any) -> Iterator[Check]:
        try:
            while True:
                began.set()
                yield Check("again", True, "and again")
        finally:
            ended.set()

    monkeypatch.setattr(verification, "verify_round", endless)
    monkeypatch.setattr(type(world.connection), "keys", _Keys(), raising=False)
    monkeypatch.setattr(type(world.connection), "fetcher", lambda self, frame: None, raising=False)

    async def listen(stop_after: int) -> list[str]:
        names = []
        tellings = explorer.verifications.tell(1)
        async for name, _ in tellings:
            names.append(name)
            if len(names) == stop_after:
                break
        await tellings.aclose()
        return names

    async def crowd() -> None:
        tellings = [explorer.verifications.tell(1) for _ in range(AT_ONCE)]
        for telling in tellings:
            assert (await anext(telling))[0] == "check"
        name, data = await anext(explorer.verifications.tell(1))
        assert name == "failed" and "are running" in data["detail"]
        for telling in tellings:
            await telling.aclose()
        for _ in range(3 * AT_ONCE):
            assert await listen(2) == ["check", "check"]

    asyncio.run(crowd())
    assert began.is_set() and ended.wait(10)


def test_a_verification_that_cannot_be_is_told(explorer: Explorer, world: World) -> None:
    world.connection.spec_missing = True

    async def listen(round_: int) -> list[Any]:
        return [telling async for telling in explorer.verifications.tell(round_)]

    assert asyncio.run(listen(9)) == [("failed", {"detail": "there is no round 9"})]
    assert asyncio.run(listen(1)) == [("failed", {"detail": BlobUnavailable("no connected node delivered the spec").message})]


class _Keys:
    def epoch_of(self, epoch: int) -> Any:
        return type("Epoch", (), {"holders": PEOPLE[:3]})
