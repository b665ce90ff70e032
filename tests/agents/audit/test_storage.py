"""The slots that proofs are about are those that the compiler lays out."""

from __future__ import annotations

import pytest

from defedbio.audit import storage
from defedbio.audit.storage import packed
from scripts.compiler import ROOT, outputs


def slot(contract: str, label: str) -> int:
    (entry,) = [e for e in outputs(ROOT)[contract]["storageLayout"]["storage"] if e["label"] == label]
    return int(entry["slot"])


def members(contract: str, struct: str) -> list[tuple[str, int, int, int]]:
    """(label, slot, offset in bytes, bytes) of a struct's members."""
    types = outputs(ROOT)[contract]["storageLayout"]["types"]
    (found,) = [kind for name, kind in types.items() if name.startswith(f"t_struct({struct})")]
    return [(m["label"], int(m["slot"]), m["offset"], int(types[m["type"]]["numberOfBytes"])) for m in found["members"]]


@pytest.mark.parametrize(
    ("contract", "label", "ours"),
    [
        ("ParticipantRegistry", "_members", storage.MEMBERS),
        ("ParticipantRegistry", "_profiles", storage.PROFILES),
        ("KeyRegistry", "_epochs", storage.EPOCHS),
        ("KeyRegistry", "holderIndex", storage.HOLDER_INDEX),
        ("StudyRegistry", "_studies", storage.STUDIES),
        ("StudyRegistry", "participantIndex", storage.PARTICIPANT_INDEX),
        ("RoundManager", "privacySpent", storage.PRIVACY_SPENT),
        ("RoundManager", "_progress", storage.PROGRESS),
        ("RoundManager", "_rounds", storage.ROUNDS),
    ],
)
def test_state_variables(contract: str, label: str, ours: int) -> None:
    assert slot(contract, label) == ours


def test_a_round() -> None:
    found = members("RoundManager", "State")
    assert [(label, offset, size) for label, at, offset, size in found if at == 0] == [
        *(("study", 0, 8), ("step", 8, 4), ("phase", 12, 1), ("deadline", 13, 6), ("parent", 19, 8)),
        *(("threshold", 27, 1), ("released", 28, 2), ("attestedModel", 30, 2)),
    ]
    assert [(label, offset, size) for label, at, offset, size in found if at == 1] == [
        *(("keyEpoch", 0, 8), ("enrolled", 8, 2), ("minCohort", 10, 2)),
        *((f"{phase}Seconds", 12 + 4 * i, 4) for i, phase in enumerate(("reveal", "attest", "aggregate", "share", "finalise"))),
    ]
    assert [(label, at) for label, at, _, _ in found if 2 <= at <= storage.ATTESTATIONS] == [
        ("committed", storage.COMMITTED),
        ("revealed", storage.REVEALED),
        ("frozen", storage.FROZEN),
        ("aggregators", storage.AGGREGATORS),
        ("openers", storage.OPENERS),
        ("combiners", storage.COMBINERS),
        ("privacyDeclared", storage.DECLARED),
        ("aggregateRoot", storage.AGGREGATE_ROOT),
        ("modelHash", storage.MODEL_HASH),
        ("commitments", storage.COMMITMENTS),
        ("attestations", storage.ATTESTATIONS),
    ]
    later = {label: (at, offset) for label, at, offset, _ in found if at > storage.ATTESTATIONS}
    assert (later["absent"], later["disputes"]) == ((storage.ABSENT, 0), (storage.DISPUTES, 0))
    assert [(label, offset, size) for label, at, offset, size in found if at == storage.SHARE] == [
        *(("leastShare", 0, 2), ("refusers", 2, 2), ("attested", 4, 16)),
    ]
    assert [label for label, at, _, _ in found if at == storage.REFUSALS] == ["refusals"]
    assert [label for label, at, _, _ in found if at == storage.WRONG] == ["wrong"]


def test_other_structs() -> None:
    assert members("RoundManager", "Progress")[:3] == [("latest", 0, 0, 8), ("finalised", 0, 8, 8), ("stepsDone", 0, 16, 4)]
    assert members("StudyRegistry", "Study")[:5] == [
        ("coordinator", 0, 0, 20),
        ("keyEpoch", 0, 20, 8),
        ("enrolled", 0, 28, 2),
        ("invited", 0, 30, 2),
        ("specHash", 1, 0, 32),
    ]
    assert [(at, offset, size) for _, at, offset, size in members("StudyRegistry", "StudyRules")] == [
        *((0, 0, 2), (0, 2, 2), (0, 4, 4), (0, 8, 8), (0, 16, 4), (0, 20, 4), (0, 24, 4), (0, 28, 4), (1, 0, 4), (1, 4, 4), (1, 8, 2)),
    ]
    assert members("KeyRegistry", "KeyEpoch") == [
        *(("proposer", 0, 0, 20), ("threshold", 0, 20, 1), ("kind", 0, 21, 1), ("status", 0, 22, 1), ("modulusBits", 0, 23, 2)),
        *(
            ("confirmations", 0, 25, 2),
            ("retired", 0, 27, 2),
            ("modulusHash", 1, 0, 32),
            ("transcriptHash", 2, 0, 32),
            ("holders", 3, 0, 32),
        ),
    ]
    assert ("transportKey", storage.TRANSPORT_KEY, 0, 32) in members("ParticipantRegistry", "Profile")


def test_packing_starts_at_the_lowest_bits() -> None:
    assert packed((0x11, 8), (0x2222, 16), (0x3, 8)) == 0x03222211
