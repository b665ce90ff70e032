"""The pinned proof is accepted and made again byte for byte, and what was done to it is refused for the reason on record."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest

from defedbio.crypto import kernel
from defedbio.crypto.proofs import contribution
from defedbio.errors import BadProof

FOLDER = Path(__file__).parent / "vectors"
RECORDED = json.loads((FOLDER / "contribution.json").read_text())
GOOD = bytes.fromhex(RECORDED["proof"])


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_proof_vectors", FOLDER / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pinned_proof_holds(make):
    said, _ = make.statement()
    contribution.verify(said, GOOD, os.urandom)


def test_the_pinned_statement_and_proof_are_made_again(make):
    said, _ = make.statement()
    assert RECORDED["form"] == said.form.to_bytes().hex()
    assert [int(c, 16) for c in RECORDED["ciphertexts"]] == list(said.ciphertexts)
    if kernel.compiled():
        assert make.proof() == GOOD


@pytest.mark.parametrize("name", RECORDED["bad_statements"])
def test_another_statement_is_refused(make, name):
    assert RECORDED["bad_statements"][name]
    with pytest.raises(BadProof) as found:
        contribution.verify(make.OTHERS[name](make.statement()[0]), GOOD, os.urandom)
    assert found.value.message == RECORDED["bad_statements"][name]


@pytest.mark.parametrize("name", RECORDED["bad_proofs"])
def test_a_changed_proof_is_refused(make, name):
    change = RECORDED["bad_proofs"][name]
    data = bytes.fromhex(change["bytes"])
    rest = b"" if change["to_the_end"] else GOOD[change["at"] + len(data) :]
    with pytest.raises(BadProof) as found:
        contribution.verify(make.statement()[0], GOOD[: change["at"]] + data + rest, os.urandom)
    assert change["reason"] and found.value.message == change["reason"]
