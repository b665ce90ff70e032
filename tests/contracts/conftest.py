"""Fixtures of the contract tests, and the one place that knows how Brownie words a custom error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from brownie.exceptions import VirtualMachineError

from tests.contracts import devchain
from tests.contracts.consortium import ANY, Consortium, people


@pytest.hookimpl(trylast=True)  # after Brownie, which counts its workers' ports up from one
def pytest_configure(config: pytest.Config) -> None:
    devchain.settle(config)


@pytest.fixture(scope="session", autouse=True)
def mined_transactions() -> None:
    """First of all fixtures: what is sent has been mined when the call returns."""
    devchain.hand_over_mined_transactions()
    devchain.ask_less()


@pytest.fixture(autouse=True)
def isolation(fn_isolation: None) -> None:
    """Every test starts from the chain as its module's fixtures left it."""


@pytest.fixture(scope="module")
def consortium(module_isolation: None) -> Consortium:
    """Five founders and their contracts."""
    return Consortium.found(people(5))


@pytest.fixture(scope="session")
def refused() -> Callable[..., AbstractContextManager[None]]:
    """`with refused("TooSmall", 3, 10): …`: the transaction reverts with this custom error and these values; ANY leaves one open."""
    return _refused


@pytest.fixture(scope="session")
def refused_any() -> Callable[[str], AbstractContextManager[None]]:
    """Like `refused`, whatever the values."""
    return _refused_any


@contextmanager
def _refused(name: str, *values: object) -> Iterator[None]:
    try:
        yield
    except VirtualMachineError as error:
        found = str(error.revert_msg)
        assert re.fullmatch(_wording(name, values), found, re.IGNORECASE | re.DOTALL), f"{name}{values} expected, reverted with {found}"
    else:
        pytest.fail(f"the transaction was not refused; {name} was expected")


@contextmanager
def _refused_any(name: str) -> Iterator[None]:
    try:
        yield
    except VirtualMachineError as error:
        found = str(error.revert_msg)
        if not found.startswith(f"{name}: "):
            pytest.fail(f"{name} expected, reverted with {found}")
    else:
        pytest.fail(f"the transaction was not refused; {name} was expected")


def _wording(name: str, values: tuple[object, ...]) -> str:
    """A pattern for how Brownie words a custom error: "Name: value, value", or "Name: " without values."""
    return re.escape(name) + ": " + ", ".join("[^,]+" if value is ANY else re.escape(_worded(value)) for value in values)


def _worded(value: object) -> str:
    if isinstance(value, bytes):
        return repr(value)
    if isinstance(value, int):
        return str(int(value))
    return str(getattr(value, "address", value))
