"""From a page's values to HTML: templates with autoescape, and how values look."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from defedbio.domain import BitSet
from defedbio.explorer.index import Index
from defedbio.text import moment

_PAGES = {"study": "study", "round": "round", "parent": "round", "epoch": "epoch", "key_epoch": "epoch"}


class Renderer:
    def __init__(self, index: Index, clock: Callable[[], float] = time.time) -> None:
        self._index, self._clock = index, clock
        self._environment = Environment(
            loader=PackageLoader("defedbio.explorer", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "hex": lambda value: "0x" + value.hex() if value else "",
            "short": short,
            "absolute": absolute,
            "clock": lambda seconds: moment(seconds).strftime("%H:%M:%S"),
            "iso": lambda seconds: moment(seconds).isoformat(),
            "ago": lambda seconds: ago(self._clock() - seconds),
            "count": lambda number: f"{number:,}".replace(",", "\N{THIN SPACE}"),
            "size": size,
            "duration": duration,
            "gwei": lambda wei: f"{wei / 10**9:.4g} gwei",
            "ether": lambda wei: f"{wei / 10**18:.6g} ETH",
            "metric": lambda value: "–" if value is None else f"{value:.4g}",
            "value": self._value,
        }
        self._environment.globals |= {"name_of": index.name_of}

    def page(self, template: str, trouble: str, **context: Any) -> str:
        head = self._index.head
        return self._environment.get_template(f"{template}.html").render(
            **context, head=head, trouble=trouble, version=self._index.version, page_name=template
        )

    def _value(self, value: object, name: str = "") -> str | Markup:
        """An event's or call's value: numbers of pages, addresses, hashes and CIDs as links, sets as positions from 1."""
        if name == "deadline" and isinstance(value, int) and value:
            return absolute(value)
        if name in _PAGES and isinstance(value, int) and value:
            return Markup('<a href="/{}/{}">{}</a>').format(_PAGES[name], int(value), int(value))
        if isinstance(value, BitSet):
            return "{" + ", ".join(str(p + 1) for p in value.positions()) + "}"
        if isinstance(value, Enum):
            return value.name.lower()
        if isinstance(value, bytes):
            return self._macro("mono", "0x" + value.hex())
        if isinstance(value, tuple):
            return Markup(", ").join(self._value(v) for v in value)
        if is_dataclass(value) and not isinstance(value, type):
            value = {f.name: getattr(value, f.name) for f in fields(value)}
        if isinstance(value, dict):
            return Markup(", ").join(Markup("{} {}").format(key.replace("_", " "), self._value(v, key)) for key, v in value.items())
        if isinstance(value, str) and len(value) == 42 and value.startswith("0x"):
            return self._macro("address", value)
        if isinstance(value, str) and name.endswith("cid") and value:
            return self._macro("cid", value)
        return Markup("<bdi>{}</bdi>").format(value) if isinstance(value, str) else str(value)

    def _macro(self, name: str, value: str) -> Markup:
        return Markup(getattr(self._environment.get_template("macros.html").module, name)(value))


def short(text: str, ends: int = 6) -> str:
    """A long text by its ends."""
    return text if len(text) <= 2 * ends + 3 else f"{text[: ends + 2]}…{text[-ends:]}"


def absolute(seconds: float) -> str:
    return moment(seconds).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(seconds: float) -> str:
    """Relative to now; a time to come is "in …"."""
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(seconds)}"


def duration(seconds: float) -> str:
    distance = abs(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if distance >= length:
            return f"{distance // length:.0f} {unit}"
    return f"{distance:.0f} s"


def size(number: int | None) -> str:
    if number is None:
        return "–"
    for unit, length in (("MB", 10**6), ("kB", 10**3)):
        if number >= length:
            return f"{number / length:.3g} {unit}"
    return f"{number} B"
