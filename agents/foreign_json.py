"""JSON that somebody else wrote, read so that whoever uses it meets no surprise, and no error but the product's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from defedbio.errors import DefedError, InvalidInput
from defedbio.text import printable

MAX_DEPTH = 64
# The longest integer of the protocol is one of 256 bits, and every float can be written in 24 characters.
MAX_NUMBER_CHARACTERS = 80
SHOWN_PROBLEM = 300

_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def read(raw: bytes, what: str, most: int, fault: type[DefedError] = InvalidInput) -> Any:
    """The value of one JSON document in UTF-8 of at most `most` bytes; `what` names it in errors, such as "the study spec".

    Refused, too, are nesting beyond `MAX_DEPTH`, a name that stands twice in an object, NaN and the infinities, also as numbers too large
    for a float, numbers of more than `MAX_NUMBER_CHARACTERS`, and halves of surrogate pairs, which no encoding can write. An integer is an
    int, and what has a point or an exponent is a float even where its value is whole: whoever means an integer asks for an int.

    Raises:
        `fault`: saying what is wrong.
    """
    if len(raw) > most:
        raise fault(f"{what} has more than {most} bytes")
    try:
        text = raw.decode("utf-8")
        document = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise fault(f"{what} is not UTF-8") from None
    except _Refused as error:
        raise fault(f"{what} {error}") from None
    except ValueError as error:
        raise fault(f"{what} is not JSON: {error}") from None
    except RecursionError:
        raise fault(f"{what} is nested too deeply") from None
    if _deeper(document, MAX_DEPTH):
        raise fault(f"{what} is nested too deeply")
    if _HALF_PAIR.search(text) and not _encodable(document):
        raise fault(f"{what} has half a surrogate pair")
    return document


def read_object(raw: bytes, what: str, most: int, fault: type[DefedError] = InvalidInput) -> dict[str, Any]:
    """As `read`, of a document that is an object."""
    document = read(raw, what, most, fault)
    if not isinstance(document, dict):
        raise fault(f"{what} is not a JSON object")
    return document


def read_file(path: Path, what: str, most: int, fault: type[DefedError] = InvalidInput) -> dict[str, Any]:
    """As `read_object`, of a file, of which hardly more than `most` bytes are taken in.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as stream:
        return read_object(stream.read(most + 1), what, most, fault)


class Schema:
    """A JSON Schema (2020-12), by which an integer is an int and a pattern is of the whole text.

    Loads its package when the first document is checked: not every program has one.
    """

    def __init__(self, text: str) -> None:
        self._document = json.loads(text)
        self._made: Any = None

    def check(self, document: Any, what: str, fault: type[DefedError] = InvalidInput) -> None:
        """Raises `fault`, naming `what` and the first place where it breaks the schema."""
        if self._made is None:
            self._made = _strict()(self._document)
        problem = min(self._made.iter_errors(document), key=lambda e: list(map(str, e.absolute_path)), default=None)
        if problem is not None:
            where = "/".join(map(str, problem.absolute_path))[:SHOWN_PROBLEM] or "the document"
            raise fault(printable(f"{what} breaks its schema at {where}: {problem.message[:SHOWN_PROBLEM]}"))


class _Refused(ValueError):
    """What JSON allows and we do not."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _Refused("names a field twice")
    return result


def _short(text: str) -> str:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise _Refused(f"has a number of more than {MAX_NUMBER_CHARACTERS} characters")
    return text


def _integer(text: str) -> int:
    return int(_short(text))


def _float(text: str) -> float:
    value = float(_short(text))
    if not isfinite(value):
        raise _Refused("has a number that is too large")
    return value


def _constant(text: str) -> Any:
    raise _Refused(f"has {text}, which is not a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _deeper(document: Any, levels: int) -> bool:
    """Whether arrays and objects lie more than `levels` deep in each other."""
    level = [document]
    for _ in range(levels):
        boxes = [value for value in level if isinstance(value, list | dict)]
        level = [value for box in boxes for value in (box.values() if isinstance(box, dict) else box)]
    return any(isinstance(value, list | dict) for value in level)


def _encodable(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@cache
def _strict() -> Any:
    """The package takes 24.0 for an integer, and a `$` in front of a last line end for the end."""
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(validator: Any, wanted: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not re.fullmatch(wanted, instance):
            yield ValidationError(f"{instance!r} does not match {wanted!r}")

    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda checker, value: type(value) is int)
    return validators.extend(Draft202012Validator, {"pattern": pattern}, type_checker=types)  # type: ignore[no-untyped-call]
