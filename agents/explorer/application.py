"""The explorer's web application: read-only pages, what browsers ask for aside, a stream that says when something is new."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from defedbio.chain.feed import EventFeed
from defedbio.chain.sender import checksum
from defedbio.errors import DefedError, InvalidInput, NotFound
from defedbio.explorer.blobs import Answer, Blobs
from defedbio.explorer.follower import Follower
from defedbio.explorer.index import Index
from defedbio.explorer.lookup import Lookup
from defedbio.explorer.lookups import Lookups
from defedbio.explorer.pages import Pages
from defedbio.explorer.render import Renderer, size
from defedbio.explorer.verification import Verifications
from defedbio.protocol.reading import Reader
from defedbio.web.hardening import event_stream, hardening
from defedbio.web.paging import Numbers

HERE = Path(__file__).parent
POLL_SECONDS = 1.0
LIVE_SECONDS = 15.0
TICK_SECONDS = 0.5
K = TypeVar("K")


def application(connection: Reader, hosts: Sequence[str]) -> Starlette:
    """The explorer of a network, as `Explorer.app`; it reads as long as it is served."""
    return Explorer(connection, Index(EventFeed(connection.client))).app(hosts)


class Explorer:
    """One network's explorer: an index that a thread keeps up, and the web application over it."""

    def __init__(self, connection: Reader, index: Index, poll_seconds: float = POLL_SECONDS) -> None:
        self.index = index
        self.lookups, self.blobs = Lookups(connection, self.index), Blobs(connection, self.index)
        self.pages, self.renderer = Pages(self.index, self.lookups), Renderer(self.index)
        self.verifications = Verifications(connection, self.index, self.lookups)
        self.follower = Follower(self.index, self.lookups, poll_seconds)

    def app(self, hosts: Sequence[str]) -> Starlette:
        """`hosts` are the names under which a browser may ask.

        Raises:
            InvalidInput: if one is empty or a pattern.
        """
        page, answer = self._page, self._answer
        routes = [
            Route("/", page("network", lambda r: self.pages.network(_numbers(r)))),
            Route("/study/{number}", page("study", self._study)),
            Route("/epoch/{number}", page("epoch", lambda r: self.pages.epoch(_number(r), _numbers(r)))),
            Route("/round/{number}", page("round", self._round)),
            Route("/round/{number}/verify", self._verify),
            Route("/block/{number}", page("block", lambda r: self.pages.block(_number(r), _numbers(r)))),
            Route("/tx/{hash}", page("transaction", lambda r: self.pages.transaction(_hash(r), _numbers(r)))),
            Route("/address/{address}", page("address", lambda r: self.pages.address(_address(r), _numbers(r)))),
            Route("/cid/{cid}", page("cid", lambda r: self.pages.cid(r.path_params["cid"], _numbers(r)))),
            Route("/cid/{cid}/check", answer(self.blobs.checks, self._cid)),
            Route("/cid/{cid}/pin", answer(self.blobs.pins, self._cid)),
            Route("/cid/{cid}/at/{address}", answer(self.blobs.presence, lambda r: (self._cid(r), self._participant(r)))),
            Route("/reach/{address}", answer(self.blobs.reach, self._participant)),
            Route("/search", self._search),
            Route("/live", self._live),
            Route("/healthz", self._health),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            self.follower.start()
            yield
            self.stop()

        return Starlette(routes=routes, middleware=hardening(hosts), lifespan=lifespan, exception_handlers={404: self._unknown})

    def stop(self) -> None:
        """End the threads and every open stream."""
        self.follower.stop()
        self.lookups.stop()
        self.blobs.stop()

    def _page(self, template: str, make: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            if self.index.head is None:
                waiting = self.follower.trouble or "The chain's events are being read; this page shows them as soon as they are here."
                return self._message(200, "Reading the chain", waiting)
            try:
                context = make(request)
            except NotFound as error:
                return self._message(404, "Not found", error.message, error.hint)
            except DefedError as error:
                return self._message(503, "Not available now", error.message, error.hint)
            return HTMLResponse(self.renderer.page(template, self.follower.trouble, **context))

        return endpoint

    def _message(self, status: int, title: str, message: str, hint: str = "") -> Response:
        return HTMLResponse(self.renderer.page("error", "", title=title, message=message, hint=hint), status)

    def _unknown(self, request: Request, error: Exception) -> Response:
        return self._message(404, "Not found", "There is no such page.")

    def _study(self, request: Request) -> dict[str, Any]:
        shown = self.pages.study(_number(request), _numbers(request))
        self.follower.want([row["view"].id for row in shown["rounds"].rows])
        return shown

    def _round(self, request: Request) -> dict[str, Any]:
        shown = self.pages.round(_number(request), _numbers(request))
        self.follower.want([shown["view"].id])
        return shown

    def _search(self, request: Request) -> Response:
        try:
            return RedirectResponse(self.pages.find(request.query_params.get("q", "")), 303)
        except NotFound as error:
            return self._message(404, "Nothing found", error.message)

    def _health(self, request: Request) -> Response:
        head = self.index.head
        return JSONResponse({"block": head.number if head else None, "trouble": self.follower.trouble})

    def _answer(self, lookup: Lookup[K, Answer], key: Callable[[Request], K]) -> Callable[[Request], Awaitable[Response]]:
        """What a lookup says, as JSON; nothing waits for it but this request."""

        async def endpoint(request: Request) -> Response:
            try:
                told = await asyncio.shield(asyncio.wrap_future(lookup.ask(key(request))))
            except NotFound as error:
                return JSONResponse({"ok": None, "detail": error.message}, 404)
            except DefedError as error:
                told = error
            answer = Answer(None, told.message) if isinstance(told, DefedError) else told
            return JSONResponse({"ok": answer.ok, "detail": answer.detail} | ({} if answer.size is None else {"size": size(answer.size)}))

        return endpoint

    def _cid(self, request: Request) -> str:
        cid = str(request.path_params["cid"])
        with self.index.read() as tables:
            if cid not in tables.by_cid:
                raise NotFound("no event of this network names this CID")
        return cid

    def _participant(self, request: Request) -> str:
        address = _address(request)
        with self.index.read() as tables:
            if address not in tables.profiles:
                raise NotFound("no such participant")
        return address

    def _live(self, request: Request) -> Response:
        """Server-sent events: the version whenever it changes, a comment now and then so that a dead browser is noticed."""

        async def stream() -> AsyncIterator[str]:
            version, silent = -1, 0.0
            yield "retry: 2000\n\n"
            while not self.follower.stopped:
                if version != self.index.version:
                    version, silent = self.index.version, 0.0
                    yield f"event: version\ndata: {version}\n\n"
                elif silent >= LIVE_SECONDS:
                    silent = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(TICK_SECONDS)
                silent += TICK_SECONDS

        return event_stream(stream())

    def _verify(self, request: Request) -> Response:
        """Server-sent events: each check as it is done."""

        async def stream() -> AsyncIterator[str]:
            async with aclosing(self.verifications.tell(_number(request))) as tellings:
                async for name, data in tellings:
                    yield f"event: {name}\ndata: {json.dumps(data)}\n\n"

        return event_stream(stream())


def _numbers(request: Request) -> Numbers:
    return Numbers(request.query_params)


def _number(request: Request) -> int:
    text = str(request.path_params["number"])
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise NotFound("that is no number")
    return int(text)


def _hash(request: Request) -> bytes:
    try:
        value = bytes.fromhex(str(request.path_params["hash"]).removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise NotFound("a transaction hash has 32 bytes in hexadecimal")
    return value


def _address(request: Request) -> str:
    try:
        return checksum(request.path_params["address"])
    except InvalidInput as error:
        raise NotFound(error.message) from None
