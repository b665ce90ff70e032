"""Which hosts, methods and sites a page answers, and headers that forbid what it does not need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from defedbio.errors import InvalidInput

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def unspecified(host: str) -> bool:
    """Whether a server that listens on this address takes connections to every address of the machine."""
    try:
        return not host or ip_address(host).is_unspecified
    except ValueError:
        return False


def names(host: str, others: Sequence[str] = ()) -> list[str]:
    """The names under which a server on the address `host` may be asked: those of loopback, its own address if that is one, and `others`.

    0.0.0.0 is no name: browsers take it for this machine whatever page they show.
    """
    own = [] if unspecified(host) else [host]
    return [*LOOPBACK_NAMES, *(f"[{name}]" if _is_ip6(name) else name for name in (*own, *others))]


def _is_ip6(name: str) -> bool:
    try:
        return ip_address(name).version == 6
    except ValueError:
        return False


def hardening(hosts: Sequence[str]) -> list[Middleware]:
    """For a read-only application. `hosts` are the names under which a browser may ask; others are refused, against DNS rebinding.

    Raises:
        InvalidInput: if one of them is empty or a pattern.
    """
    if any(not name or "*" in name for name in hosts):
        raise InvalidInput("host names must be named one by one", "name an address, and each host name by itself")
    return [Middleware(Hardened), Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)]


class Hardened:
    """Only GET and HEAD, nothing for other sites' pages but links here, and headers that forbid everything a page does not need."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            await Response("this page only reads\n", 405)(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # A browser says this for every request; another site's page could otherwise have rounds verified and blobs fetched here.
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate":
            await Response("not for other sites\n", 403)(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        await self.app(scope, receive, hardened)


def event_stream(content: AsyncIterator[str]) -> Response:
    """Server-sent events, which nobody on the way may keep."""
    return StreamingResponse(content, media_type="text/event-stream", headers={"cache-control": "no-store"})
