"""Files of an organisation's home: whole or absent, and never one in place of another by accident."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from defedbio.config import write_private
from defedbio.errors import InvalidInput


def test_of_many_that_write_one_file_one_does(tmp_path: Path) -> None:
    path, refusals = tmp_path / "home" / "transport.json", list[str]()

    def write(number: int) -> int | None:
        try:
            write_private(path, {"number": number})
        except InvalidInput as error:
            refusals.append(error.message)
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        (won,) = [number for number in pool.map(write, range(32)) if number is not None]
    assert len(refusals) == 31 and all("exists already" in refusal for refusal in refusals)
    assert path.read_text() == f'{{\n "number": {won}\n}}'
    assert [entry.name for entry in path.parent.iterdir()] == ["transport.json"], "nothing is left of the others"


def test_what_is_meant_to_be_replaced_is(tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"
    write_private(path, {"number": 1})
    with pytest.raises(InvalidInput, match="exists already"):
        write_private(path, {"number": 2})
    write_private(path, {"number": 2}, replace=True)
    assert '"number": 2' in path.read_text()
