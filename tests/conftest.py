"""Settings for every test. Property tests repeat the same examples each time, run without a deadline and may be slow to draw:
a busy machine is no failure."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

# Defined once for all folders, so that a process that runs tests of several sets one chain and one consortium up.
from tests.anvil import anvil, artefacts
from tests.integration.fixtures import consortium, epoch, finished, open_study

__all__ = ["anvil", "artefacts", "consortium", "epoch", "finished", "open_study"]

AUDIT = "tests/agents/audit/"

# Brownie's plugin, where it is loaded, brings a profile of its own.
if "brownie" not in sys.modules:
    settings.register_profile("defedbio", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("defedbio")


class _ByWorld(LoadFileScheduling):
    """A file's tests go to one worker, and all of the audit's to one: the study that they read takes a worker 15 seconds to make."""

    def _split_scope(self, nodeid: str) -> str:
        return AUDIT if nodeid.startswith(AUDIT) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByWorld | None:
    return _ByWorld(config, log) if config.getvalue("dist") == "loadfile" else None
