"""What everybody makes of an opened sum, whatever a single member put into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from defedbio.crypto import encoding
from defedbio.crypto.proofs import contribution
from defedbio.crypto.threshold import Opening
from defedbio.domain import BitSet
from defedbio.errors import InvalidInput
from defedbio.learning import clipping
from defedbio.learning.state import GlobalState, genesis
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.result import next_model
from defedbio.protocol.view import RoundView
from tests.agents.protocol.in_process import PEOPLE, STUDY, frame_of

NARROW: dict[str, Any] = {
    "features": {"kind": "table", "columns": [{"name": f"f{i}", "min": 0, "max": 1} for i in range(599)]},
    "preprocessing": None,
    "quantisation": {"rotated": True},
}


@pytest.mark.parametrize("proofs", ["required", "none"])
def test_p6_no_member_whose_contribution_is_proven_can_void_a_round_by_one_large_number(proofs: str) -> None:
    """All that a norm allows in one place is more than honest members have there together."""
    frame = frame_of(NARROW | {"proofs": proofs})
    view = RoundView(1, STUDY, 0, 0, PEOPLE[0], frozen=BitSet.of(0, 1, 2, 3))
    parent, totals = genesis(frame.spec), np.zeros(601, dtype=np.int64)
    totals[0], totals[7] = 400, 4 * frame.step(view).segments[0].quantisation.largest + 1
    if proofs == "none":
        with pytest.raises(InvalidInput, match="larger than 4 contributions can make it"):
            next_model(frame, view, parent, opened(frame, view, totals))
        return
    alone = np.where(np.arange(601) == 0, 100, totals)
    assert contribution.fits(frame.form(view), tuple(frame.layout(view).split(alone))), "a single member can send it"
    after = GlobalState.from_bytes(next_model(frame, view, parent, opened(frame, view, totals)), frame.spec)
    step = clipping.at(frame.step(view), parent.extras)
    moved = encoding.decode(totals, step.segments, 4, frame.rotation(view), proven=True).vectors[0]
    assert after.step == 1 and np.allclose(after.weights["layer0.weight"].ravel(), moved[:599])


@pytest.mark.parametrize("sign", [1, -1])
def test_p6_totals_that_fill_every_slot_give_a_model(sign: int) -> None:
    frame = frame_of(NARROW | {"proofs": "required"})
    view = replace(RoundView(1, STUDY, 0, 0, PEOPLE[0]), frozen=BitSet.of(0, 1, 2, 3))
    half = 1 << frame.step(view).segments[0].quantisation.slot_bits - 1
    totals = np.array([4, *[sign * (half - 1)] * 600], dtype=np.int64)
    assert GlobalState.from_bytes(next_model(frame, view, genesis(frame.spec), opened(frame, view, totals)), frame.spec).step == 1


def opened(frame: StudyFrame, view: RoundView, totals: np.ndarray[Any, np.dtype[np.int64]]) -> list[Opening]:
    return [Opening(1, m) for m in frame.layout(view).pack(totals, frame.key.public_key.n)]
