"""Settings for every test: property tests run without a deadline (a busy machine is no failure) and repeat the same examples each time."""

from __future__ import annotations

import sys

from hypothesis import settings

# Defined once for all folders, so that a process that runs tests of several sets one consortium up.
from tests.integration.fixtures import consortium, epoch, finished, open_study

__all__ = ["consortium", "epoch", "finished", "open_study"]

# Brownie's plugin, where it is loaded, brings a profile of its own.
if "brownie" not in sys.modules:
    settings.register_profile("defedbio", deadline=None, derandomize=True, print_blob=True)
    settings.load_profile("defedbio")
