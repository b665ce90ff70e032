"""Settings for every test. Property tests repeat the same examples each time, run without a deadline and may be slow to draw:
a busy machine is no failure."""

from __future__ import annotations

import sys

from hypothesis import HealthCheck, settings

# Defined once for all folders, so that a process that runs tests of several sets one chain and one consortium up.
from tests.anvil import anvil, artefacts
from tests.integration.fixtures import consortium, epoch, finished, open_study

__all__ = ["anvil", "artefacts", "consortium", "epoch", "finished", "open_study"]

# Brownie's plugin, where it is loaded, brings a profile of its own.
if "brownie" not in sys.modules:
    settings.register_profile("defedbio", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("defedbio")
