"""A page of one text, made anew for everyone who asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from defedbio.web.hardening import hardening


def page(path: str, text: Callable[[], bytes], media_type: str, hosts: Sequence[str]) -> Starlette:
    """`hosts` are the names under which it may be asked for.

    Raises:
        InvalidInput: if one is empty or a pattern.
    """

    def answer(request: Request) -> Response:
        return Response(text(), headers={"content-type": media_type, "cache-control": "no-store"})

    return Starlette(routes=[Route(path, answer)], middleware=hardening(hosts))
