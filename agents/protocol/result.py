"""P6: from the opened sum to the new global model, the same bytes at every node and auditor."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto import encoding
from defedbio.crypto.threshold import Opening
from defedbio.learning import clipping
from defedbio.learning.global_update import Sums, finalise
from defedbio.learning.state import GlobalState
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.view import RoundView


def next_model(frame: StudyFrame, view: RoundView, parent: GlobalState, openings: Sequence[Opening]) -> bytes:
    """Decode the sum of the frozen set, apply the server's step to the parent model, and give the bytes of the new one, read once.

    Raises:
        InvalidInput: if the total weight, or in a study without proofs any total, is outside what the set's honest updates can add up
            to, or the sum gives no model that can be loaded.
    """
    step, key = clipping.at(frame.step(view), parent.extras), frame.key.public_key
    totals = frame.layout(view).unpack([o.m for o in openings], key.n)
    decoded = encoding.decode(totals, step.segments, len(view.frozen), frame.rotation(view), proven=frame.spec.proofs)
    return finalise(frame.spec, step, parent, Sums.of(step, decoded.vectors, decoded.weight)).published(frame.spec)
