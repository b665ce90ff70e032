from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents.explorer.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A network that has been read once, with study 1 and its first round final."""
    made = World()
    made.found()
    made.round(1)
    made.index.poll()
    yield made
    made.stop()
