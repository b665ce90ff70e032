"""Which consortium runs which test."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Their tests read one finished study.
TOGETHER = ("test_audit.py", "test_client.py", "test_models.py", "test_secrets.py")


class Scheduling(LoadScopeScheduling):
    """Every test goes to the consortium that is free, but those that read the finished study to the one that ran it."""

    def _split_scope(self, nodeid: str) -> str:
        return "the finished study" if nodeid.partition("::")[0].endswith(TOGETHER) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)
