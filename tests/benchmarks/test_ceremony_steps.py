"""What the benchmark of a key ceremony says of itself, at a small size."""

from __future__ import annotations

import sys

import pytest

from benchmarks.ceremony import steps
from defedbio.crypto.keygen.messages import Kind


def test_every_step_is_printed_and_the_seeds_are_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["steps.py", "--bits", "448", "--threshold", "2", "--holders", "2", "--candidates", "32"])
    steps.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:-2]] == [kind.value for kind in Kind if kind is not Kind.DONE]
    assert lines[-1].startswith("a candidate, all contributors")
