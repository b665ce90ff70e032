"""C1: how deep an event must be, by the chain, and that a study's phases leave time for it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.chain.network import CONFIRMATIONS, confirmations_on
from defedbio.chain.records import Head
from defedbio.client.studies import _check_pace
from defedbio.errors import InvalidInput
from tests.agents.protocol.in_process import frame, frame_of

SECONDS = 12


def chain(chain_id: int) -> Any:
    """A chain of 500 blocks, one every `SECONDS`."""

    def block(number: int) -> Head:
        return Head(number, bytes(32), SECONDS * number)

    return SimpleNamespace(network=SimpleNamespace(chain_id=chain_id), head=lambda: block(500), block=block)


def test_c1_only_a_chain_of_ones_own_needs_no_confirmations() -> None:
    assert (confirmations_on(31337), confirmations_on(1337)) == (0, 0)
    assert confirmations_on(1) == confirmations_on(11155111) == confirmations_on(100) == CONFIRMATIONS > 0
    assert frame().confirmations == 0
    assert replace(frame(), chain_id=1).confirmations == CONFIRMATIONS
    named = frame_of({"confirmations": 3})
    assert named.confirmations == replace(named, chain_id=1).confirmations == 3


def test_c1_phases_too_short_for_the_confirmations_are_refused_with_what_to_do() -> None:
    spec = frame().spec
    _check_pace(chain(31337), spec)
    needed = 2 * CONFIRMATIONS * SECONDS
    with pytest.raises(InvalidInput, match="after 12 blocks, 144 s on this chain, and the phase 'commit' lasts 60 s") as raised:
        _check_pace(chain(1), spec)
    assert f"at least {needed} s" in raised.value.hint
    names = ("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise")
    _check_pace(chain(1), frame_of({"deadlines": dict.fromkeys(names, needed)}).spec)
    _check_pace(chain(1), frame_of({"confirmations": 2}).spec)
    with pytest.raises(InvalidInput, match="after 3 blocks"):
        _check_pace(chain(1), frame_of({"confirmations": 3}).spec)
