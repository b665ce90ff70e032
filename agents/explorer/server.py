"""The explorer's web server: read-only pages, a stream that says when something is new, and a stream of a round's verification."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.chain.feed import EventFeed
from agents.errors import DefedError, InvalidInput, NotFound
from agents.explorer.facts import Facts
from agents.explorer.index import Index
from agents.explorer.pages import Pages
from agents.explorer.render import Renderer
from agents.nodes.auditor import verify_round
from agents.nodes.connection import Connection

HERE = Path(__file__).parent
POLL_SECONDS = 1.0
LIVE_SECONDS = 15.0
TICK_SECONDS = 0.5
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Explorer:
    """One network's explorer: an index kept up by a thread, and the web application over it."""

    def __init__(self, connection: Connection, poll_seconds: float = POLL_SECONDS) -> None:
        self.connection = connection
        self.index = Index(EventFeed(connection.client))
        self.facts = Facts(connection, self.index)
        self.pages = Pages(self.index, self.facts)
        self.renderer = Renderer(self.index)
        self._poll_seconds = poll_seconds
        self._stop = threading.Event()
        self._verifying = threading.Semaphore(2)
        self.trouble = ""

    def app(self, hosts: list[str]) -> Starlette:
        """`hosts` are the names under which a browser may ask; others are refused, against DNS rebinding."""
        page = self._page
        routes = [
            Route("/", page("network", lambda r: self.pages.network(_paged(r)))),
            Route("/study/{study:int}", page("study", lambda r: self.pages.study(r.path_params["study"], _paged(r)))),
            Route("/round/{round:int}", page("round", lambda r: self.pages.round(r.path_params["round"]))),
            Route("/round/{round:int}/verify", self._verify),
            Route("/block/{block:int}", page("block", lambda r: self.pages.block(r.path_params["block"]))),
            Route("/tx/{hash}", page("transaction", lambda r: self.pages.transaction(_hash(r)))),
            Route("/address/{address}", page("address", lambda r: self.pages.address(_address(r), _paged(r)))),
            Route("/cid/{cid}", page("cid", lambda r: self.pages.cid(r.path_params["cid"]))),
            Route("/search", self._search),
            Route("/reach/{address}", self._reach),
            Route("/live", self._live),
            Route(
                "/healthz", lambda r: JSONResponse({"block": self.index.head.number if self.index.head else None, "trouble": self.trouble})
            ),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

        @asynccontextmanager
        async def lifespan(app: Starlette) -> Any:
            threads = [threading.Thread(target=work, name=work.__name__, daemon=True) for work in (self._follow, self._fill)]
            for thread in threads:
                thread.start()
            yield
            self.stop()

        middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(Hardened)]
        return Starlette(routes=routes, middleware=middleware, lifespan=lifespan)

    def stop(self) -> None:
        """End the threads and every open stream."""
        self._stop.set()
        self.index.touch()

    def _follow(self) -> None:
        """Poll the chain until stopped; while it cannot be read, pages say so and show what was known."""
        while not self._stop.is_set():
            try:
                self.index.poll()
                trouble = ""
            except DefedError as error:
                trouble = error.message
            if trouble != self.trouble:
                self.trouble = trouble
                self.index.touch()
            self._stop.wait(self._poll_seconds)

    def _fill(self) -> None:
        """Read gas and metrics of ended rounds in the background, the newest first."""
        seen = -1
        while not self._stop.is_set():
            seen, new = self.index.wait(seen, LIVE_SECONDS), False
            for _, study in sorted(self.index.tables.studies.items(), reverse=True):
                for _, view in sorted(study.rounds.items(), reverse=True):
                    if self._stop.is_set():
                        return
                    new |= self.facts.fill(study, view)
            if new:
                self.index.touch()
                seen = self.index.version

    def _page(self, template: str, make: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                context = make(request)
            except NotFound as error:
                return self._error(404, "Not found", error)
            except DefedError as error:
                return self._error(503, "Not available now", error)
            return HTMLResponse(self.renderer.page(template, self.trouble, **context))

        return endpoint

    def _error(self, status: int, title: str, error: DefedError) -> Response:
        return HTMLResponse(self.renderer.page("error", self.trouble, title=title, message=error.message, hint=error.hint), status)

    def _search(self, request: Request) -> Response:
        try:
            return RedirectResponse(self.pages.find(request.query_params.get("q", "")), 303)
        except NotFound as error:
            return self._error(404, "Nothing found", error)

    def _reach(self, request: Request) -> Response:
        try:
            address = _address(request)
        except NotFound as error:
            return JSONResponse({"ok": False, "detail": error.message}, 404)
        if address not in self.index.tables.profiles:
            return JSONResponse({"ok": False, "detail": "no such participant"}, 404)
        found = self.facts.dial(address)
        return JSONResponse({"ok": found.ok, "detail": found.detail})

    def _live(self, request: Request) -> Response:
        """Server-sent events: the version whenever it changes, a comment now and then so that a dead browser is noticed."""

        async def stream() -> AsyncIterator[str]:
            version, silent = -1, 0.0
            yield "retry: 2000\n\n"
            while not self._stop.is_set():
                if version != self.index.version:
                    version, silent = self.index.version, 0.0
                    yield f"event: version\ndata: {version}\n\n"
                elif silent >= LIVE_SECONDS:
                    silent = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(TICK_SECONDS)
                silent += TICK_SECONDS

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    def _verify(self, request: Request) -> Response:
        """Server-sent events: each check as it is done, by the code of `defedbio verify`; two at a time at most."""
        round_ = int(request.path_params["round"])

        def stream() -> Iterator[str]:
            if not self._verifying.acquire(blocking=False):
                yield _event("failed", {"detail": "two verifications are running: try again when one is done"})
                return
            try:
                yield from self._checks(round_)
            except DefedError as error:
                yield _event("failed", {"detail": error.message})
            finally:
                self._verifying.release()

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    def _checks(self, round_: int) -> Iterator[str]:
        study, view = self.index.round(round_)
        frame = self.facts.frame(study.id)
        holders = self.connection.keys.epoch_of(frame.spec.key_epoch).holders
        good, started = True, time.monotonic()
        for check in verify_round(self.connection.fetcher(frame), study, view, holders):
            good &= check.ok
            yield _event("check", {"name": check.name, "ok": check.ok, "detail": check.detail, "peer": check.peer})
        yield _event("done", {"verified": good, "seconds": round(time.monotonic() - started, 2)})


class Hardened:
    """Only GET and HEAD, and headers that forbid everything a page does not need."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            await Response("the explorer only reads\n", 405)(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        await self.app(scope, receive, hardened)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _paged(request: Request) -> int:
    text = request.query_params.get("page", "1")
    return int(text) if text.isdecimal() and len(text) < 9 else 1


def _hash(request: Request) -> bytes:
    text = str(request.path_params["hash"])
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise NotFound("a transaction hash has 32 bytes in hexadecimal")
    return value


def _address(request: Request) -> str:
    from agents.chain.sender import checksum

    try:
        return checksum(request.path_params["address"])
    except InvalidInput as error:
        raise NotFound(error.message) from None
