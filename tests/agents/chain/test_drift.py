"""What Python mirrors of the contracts is what the contracts say."""

from __future__ import annotations

import re
from dataclasses import fields
from enum import IntEnum
from typing import Any

import pytest

from defedbio.chain.abi import contract_abi, snake_case
from defedbio.chain.events import EVENTS, Event
from defedbio.chain.network import CONTRACTS
from defedbio.chain.values import Ceremony, KeyEpoch, Profile, Round, Study, StudyRules
from defedbio.domain import CeremonyKind, CeremonyStatus, KeyEpochStatus, Phase

from .conftest import ROOT


@pytest.mark.parametrize("enum", [Phase, CeremonyKind, CeremonyStatus, KeyEpochStatus])
def test_enums_are_soliditys(enum: type[IntEnum]) -> None:
    source = (ROOT / "contracts" / "types" / "RoundTypes.sol").read_text()
    match = re.search(rf"enum {enum.__name__} {{(.*?)}}", source, re.DOTALL)
    assert match is not None
    listed = re.findall(r"\w+", re.sub(r"//.*", "", match.group(1)))
    assert [name.upper() for name in listed] == [member.name for member in enum]
    assert [member.value for member in enum] == list(range(len(listed)))


def test_every_event_of_the_contracts_has_its_class_with_the_same_fields() -> None:
    listed = {entry["name"]: entry for name in CONTRACTS for entry in contract_abi(name) if entry["type"] == "event"}
    assert listed.keys() == {kind.__name__ for kind in EVENTS}
    for kind in EVENTS:
        ours = [f.name for f in fields(kind) if f.name != "meta"]
        assert ours == [snake_case(p["name"]) for p in listed[kind.__name__]["inputs"]]
    assert set(EVENTS) == set(Event.__subclasses__())


@pytest.mark.parametrize(
    ("contract", "function", "struct", "added"),
    [
        ("ParticipantRegistry", "profileOf", Profile, ()),
        ("KeyRegistry", "epochOf", KeyEpoch, ("epoch",)),
        ("KeyRegistry", "ceremonyOf", Ceremony, ("ceremony",)),
        ("StudyRegistry", "studyOf", Study, ("study",)),
        ("RoundManager", "roundOf", Round, ("round",)),
    ],
)
def test_structs_have_the_same_fields(contract: str, function: str, struct: Any, added: tuple[str, ...]) -> None:
    (entry,) = [e for e in contract_abi(contract) if e["type"] == "function" and e["name"] == function]
    (output,) = entry["outputs"]
    assert [f.name for f in fields(struct)] == [*added, *(snake_case(p["name"]) for p in output["components"])]


def test_the_rules_are_in_the_contracts_order() -> None:
    (entry,) = [e for e in contract_abi("StudyRegistry") if e["type"] == "function" and e["name"] == "open"]
    (rules,) = [p for p in entry["inputs"] if p["type"] == "tuple"]
    assert [f.name for f in fields(StudyRules)] == [snake_case(p["name"]) for p in rules["components"]]


def test_the_interfaces_are_what_the_sources_compile_to(artefacts: dict[str, dict[str, Any]]) -> None:
    for name in CONTRACTS:
        assert list(contract_abi(name)) == artefacts[name]["abi"], f"{name}: run make abi"


def test_who_acted_is_the_field_that_holds_the_sender() -> None:
    """The audit holds an event's actor against its transaction's signer: an event without one escapes."""
    sources = "".join(path.read_text() for path in (ROOT / "contracts").rglob("*.sol"))
    emitted = re.findall(r"emit (?:\w+\.)?(\w+)\((.*?)\);", sources, re.DOTALL)
    assert {name for name, _ in emitted} == {kind.__name__ for kind in EVENTS}
    by_name = {kind.__name__: kind for kind in EVENTS}
    for name, arguments in emitted:
        # no argument of these has a comma outside brackets of its own
        given = [part.strip() for part in re.sub(r"\([^()]*\)", "", arguments).split(",")]
        named = [f.name for f in fields(by_name[name]) if f.name != "meta"]
        assert len(given) == len(named), name
        assert (named[given.index("msg.sender")] if "msg.sender" in given else "") == by_name[name].ACTED, name
