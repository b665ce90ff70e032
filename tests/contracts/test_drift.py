"""What is written twice is the same twice: interfaces, enums and limits."""

from __future__ import annotations

import re

import pytest

from defedbio import domain
from defedbio.domain import CeremonyKind, CeremonyStatus, KeyEpochStatus, Phase
from scripts import compiler, export_abi

TYPES = (export_abi.ROOT / "contracts" / "types" / "RoundTypes.sol").read_text()
SOURCES = {path.stem: path.read_text() for path in (export_abi.ROOT / "contracts").rglob("*.sol")}
LARGEST_CODE = 24_576  # EIP-170


@pytest.mark.parametrize("enum", [Phase, CeremonyKind, CeremonyStatus, KeyEpochStatus])
def test_solidity_and_python_enums_agree(enum):
    body = re.search(rf"enum {enum.__name__} {{(.*?)}}", TYPES, re.DOTALL)
    assert body is not None
    names = re.findall(r"^\s*(\w+)", body[1], re.MULTILINE)
    assert [name.upper() for name in names] == [member.name for member in enum]
    assert [member.value for member in enum] == list(range(len(enum)))


def test_limits_agree():
    def constant(contract, name):
        found = re.search(rf"constant {name} = ([\d_]+);", SOURCES[contract])
        assert found is not None, name
        return int(found[1])

    assert constant("StudyRegistry", "MIN_COHORT") == domain.MIN_COHORT
    assert constant("StudyRegistry", "MAX_SEATS") == domain.MAX_PARTICIPANTS
    assert constant("RoundManager", "RETURN_STEPS") == domain.RETURN_STEPS
    assert constant("Committee", "MAX_HOLDERS") == domain.MAX_HOLDERS
    assert constant("KeyRegistry", "MIN_MODULUS_BITS") == domain.MIN_MODULUS_BITS


def test_the_exported_interfaces_are_what_the_sources_compile_to(tmp_path):
    assert export_abi.drifted() == []
    assert export_abi.drifted(tmp_path) == list(export_abi.CONTRACTS)
    export_abi.export(tmp_path)
    assert export_abi.drifted(tmp_path) == []


def test_a_check_asks_for_a_fresh_compile(monkeypatch, capsys):
    """Which takes many seconds: what it gives is compared with the code on a chain in test_scripts."""
    asked = []

    def outputs(root=export_abi.ROOT, fresh=False):
        asked.append(fresh)
        return compiler.outputs(root)

    monkeypatch.setattr(export_abi, "outputs", outputs)
    assert export_abi.main(["--check"]) == 0
    assert asked[0] is True
    monkeypatch.setattr(export_abi, "drifted", lambda: ["RoundManager"])
    assert export_abi.main(["--check"]) == 1
    assert "RoundManager.json differs from the sources: run make abi" in capsys.readouterr().err


def test_the_contracts_fit_the_code_limit():
    assert {name: artefact["size"] for name, artefact in export_abi.compiled().items() if artefact["size"] > LARGEST_CODE} == {}
