"""The one reader of others' JSON: what it takes, and that whatever else arrives is an error of the tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.foreign_json import MAX_DEPTH, read, read_file, read_object

MOST = 1 << 16


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": [1, 1.5, true, null, "x"]}', {"a": [1, 1.5, True, None, "x"]}),
        (b"  [] \n", []),
        (str(2**256 - 1).encode(), 2**256 - 1),
        (b"-0.00000000000000001e-300", -1e-317),
        (b'"\\ud83d\\ude00 \\\\ud83d"', "😀 \\ud83d"),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
    ],
)
def test_plain_json_is_read(raw: bytes, value: object) -> None:
    assert read(raw, "it", MOST) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[1] [2]", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"'x'", "is not JSON"),
        (b'"a\nb"', "is not JSON"),
        ('{"a": 1}'.encode("utf-16"), "is not UTF-8"),
        ('{"a": 1}'.encode("utf-32-le"), "is not JSON"),
        (b'"\xed\xa0\xbd"', "is not UTF-8"),
        (b'"\xff"', "is not UTF-8"),
        (b'{"a": 1, "a": 1}', "names a field twice"),
        (b'[{"b": {"a": 1, "\\u0061": 1}}]', "names a field twice"),
        (b"NaN", "which is not a number"),
        (b"[Infinity]", "which is not a number"),
        (b'{"a": -Infinity}', "which is not a number"),
        (b"1e999", "too large"),
        (b"[-1.5e308, -1.9e308]", "too large"),
        (b"1" * 81, "more than 80 characters"),
        (b"1" * 5000, "more than 80 characters"),
        (b"0." + b"1" * 5000, "more than 80 characters"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deeply"),
        (b'{"a":' * 9000 + b"1" + b"}" * 9000, "nested too deeply"),
        (b"[" * 30000, "nested too deeply"),
        (b'"\\ud83d"', "half a surrogate pair"),
        (b'{"\\uDE00\\uD83D": 1}', "half a surrogate pair"),
        (b" " * MOST + b"1", f"more than {MOST} bytes"),
    ],
)
def test_everything_else_is_refused_with_its_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason) as refusal:
        read(raw, "the paper", MOST, InvalidSpec)
    assert refusal.value.message.startswith("the paper ") and len(refusal.value.message) < 200


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123456789.eE+-NaInfity\\ud8 ', max_size=200).map(str.encode))
def test_no_bytes_raise_outside_the_tree_and_what_is_read_can_be_written(raw: bytes) -> None:
    try:
        value = read(raw, "it", MOST)
    except InvalidInput:
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")


def test_a_whole_float_stays_a_float() -> None:
    assert type(read(b"24.0", "it", MOST)) is float and type(read(b"1e2", "it", MOST)) is float and type(read(b"24", "it", MOST)) is int


@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b'"{}"'])
def test_an_object_is_an_object(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="is not a JSON object"):
        read_object(raw, "it", MOST)
    assert read_object(b'{"a": {}}', "it", MOST) == {"a": {}}


def test_of_a_file_no_more_is_taken_in_than_it_may_have(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(b'{"a":1}')
    assert read_file(file, "it", 7) == {"a": 1}
    with pytest.raises(InvalidInput, match="more than 6 bytes"):
        read_file(file, "it", 6)
    with pytest.raises(InvalidInput, match="more than 64 bytes"):
        read_file(Path("/dev/zero"), "it", 64)
