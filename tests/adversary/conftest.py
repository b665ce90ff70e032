"""What every attack is written with: the frame, and a consortium to attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from defedbio.chain.network import Network
from tests.adversary.arena import Arena, opened
from tests.adversary.frame import Attack
from tests.agents.protocol.in_process import PROVEN
from tests.anvil import ACCOUNTS, Anvil, account, deployed_on, undone


@pytest.fixture
def attack(request: pytest.FixtureRequest) -> Iterator[Attack]:
    """The attack that the test writes down; every part of it has to be there."""
    found = Attack()
    yield found
    if not getattr(request.node, "failed", False):
        found.check_whole()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    if report.when == "call" and not report.passed:
        item.failed = True  # type: ignore[attr-defined]
    return report


@pytest.fixture(scope="session")
def contracts(anvil: Anvil, artefacts: dict[str, dict[str, Any]]) -> Network:
    """The four contracts with every account as a founder."""
    return deployed_on(anvil, artefacts, [account(i).address for i in range(ACCOUNTS)])


@pytest.fixture
def make_arena(anvil: Anvil, contracts: Network, tmp_path: Path) -> Iterator[Callable[..., Arena]]:
    """make_arena(organisations=4, holders=4, quorum=3, outside=0, changes={}): an arena of these; undone with the chain after the test."""
    with undone(anvil), ExitStack() as stack:
        yield lambda **settings: stack.enter_context(opened(Arena(anvil, contracts, tmp_path, **settings)))


@pytest.fixture
def arena(make_arena: Callable[..., Arena]) -> Arena:
    """Four organisations, each with a share of the key, of which three open a sum."""
    return make_arena()


@pytest.fixture
def proven_arena(make_arena: Callable[..., Arena]) -> Arena:
    """As `arena`, of a study with proofs."""
    return make_arena(changes=PROVEN)
