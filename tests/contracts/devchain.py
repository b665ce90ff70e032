"""The Anvil that the contract tests run on: on a port of its own, never somebody else's, and gone when the tests are."""

from __future__ import annotations

import signal
import socket
from typing import Any, NoReturn

import pytest
from brownie import web3
from brownie._config import CONFIG
from brownie.network.rpc import Rpc
from web3.middleware import Web3Middleware

SENDING = ("eth_sendTransaction", "eth_sendRawTransaction")
CONSTANT = ("eth_chainId", "eth_gasPrice")  # blocks have no base fee here


def settle(config: pytest.Config) -> None:
    """Before Brownie connects: see that it starts a chain and does not attach to one, and that ending pytest ends that chain.

    Brownie attaches to whatever listens on the port of brownie-config.yaml and resets it. So the tests take a free port, which also
    lets two checkouts test at once, and refuse where another process took it in between.
    """
    name = config.getoption("network") or CONFIG.settings["networks"]["default"]
    settings = CONFIG.networks[name[0] if isinstance(name, list) else name]
    if "cmd_settings" in settings:
        settings["cmd_settings"]["port"] = free_port()
    Rpc.attach = _refuse
    # Brownie ends its chain from atexit, which a signal's default action leaves out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hand_over_mined_transactions() -> None:
    """Let Brownie see a transaction only when it has been mined.

    Anvil mines on its own and shows a sender's new nonce before the receipt, steps_tracing widening the gap. Brownie asks for the nonce,
    then for the receipt, takes a nonce without a receipt for a dropped transaction, and gives up ("Tx dropped without known replacement").
    """
    web3.middleware_onion.inject(_Mined, layer=0)


class _Mined(Web3Middleware):
    """Sends by the calls that answer with the receipt (EIP-7966), and answers with its hash."""

    def wrap_make_request(self, make_request: Any) -> Any:
        def middleware(method: Any, params: Any) -> Any:
            if method not in SENDING:
                return make_request(method, params)
            response = make_request(f"{method}Sync", params)
            return {**response, "result": response["result"]["transactionHash"]} if "result" in response else response

        return middleware


def ask_less() -> None:
    """Leave out most of what a transaction costs Brownie: it asks three times for what never changes, and each of its requests looks
    through the environment for proxies twice."""
    web3.middleware_onion.inject(_Constant, layer=0)
    web3.provider._request_session_manager.cache_and_return_session(web3.provider.endpoint_uri).trust_env = False


class _Constant(Web3Middleware):
    def wrap_make_request(self, make_request: Any) -> Any:
        answers: dict[str, Any] = {}

        def middleware(method: Any, params: Any) -> Any:
            if method not in CONSTANT:
                return make_request(method, params)
            if method not in answers:
                answers[method] = make_request(method, params)
            return dict(answers[method])

        return middleware


def _refuse(_rpc: Rpc, where: Any) -> NoReturn:
    pytest.exit(f"something already listens on {where}: the contract tests start a chain of their own and would reset that one", 3)


def _leave(number: int, _frame: Any) -> NoReturn:
    pytest.exit(f"ended by {signal.Signals(number).name}", 128 + number)
