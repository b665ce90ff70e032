"""The door to the node: JSON-RPC over HTTP with bounded retries. No foreign exception and no credential passes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from defedbio import foreign_json
from defedbio.chain.parse import UNREADABLE
from defedbio.chain.records import ClientOptions
from defedbio.errors import ChainUnreachable, InternalFault, InvalidInput

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

T = TypeVar("T")

_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_RATE_LIMIT_CODES = frozenset({-32005, -32097, 429})
_MAX_ANSWER_BYTES = 1 << 28  # the logs of 2,000 full blocks, or the receipts of one


class RpcError(Exception):
    """The node answered with an error. Stays in this room."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Rpc:
    def __init__(self, url: str, options: ClientOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        # A third of a second, which only those pay who ask a node: evidence and local files are checked without.
        from web3 import HTTPProvider

        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            raise InvalidInput("the RPC endpoint is not a URL") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput("the RPC endpoint must be an http or https URL")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.shown = f"{parts.scheme}://{host}{port}"  # paths carry API keys too, so neither path nor query is ever shown
        settings: dict[str, Any] = {"timeout": options.request_seconds}
        if parts.username is not None:
            settings["auth"] = (unquote(parts.username), unquote(parts.password or ""))
        bare = urlunsplit((parts.scheme, host + port, parts.path, parts.query, ""))
        provider: Any = HTTPProvider(bare, request_kwargs=settings, session=_session(bare), exception_retry_configuration=None)
        provider.decode_rpc_response = _read_answer
        self._provider = provider
        self._options = options
        self._sleep = sleep
        # web3 logs the endpoint and every answer at DEBUG
        logging.getLogger("web3.providers.HTTPProvider").setLevel(logging.INFO)

    def __call__(self, method: str, *params: object, read: Callable[[Any], T]) -> T:
        """The call's result as `read` makes it. Safe to repeat: the only call with an effect carries a signed transaction, which counts
        once.

        Raises:
            RpcError: if the node answers with an error.
            ChainUnreachable: if it gives no answer in the bounded number of attempts, or one that `read` cannot read.
        """
        answer = self._answer(method, params)
        try:
            return read(answer)
        except (*UNREADABLE, InternalFault):
            raise ChainUnreachable(
                f"the Ethereum node at {self.shown} answers {method} with something else than was asked for",
                "is it a node of this network, and in order?",
            ) from None

    def _answer(self, method: str, params: tuple[object, ...]) -> Any:
        pause = self._options.backoff_seconds
        for left in reversed(range(self._options.attempts)):
            try:
                return self._once(method, params)
            except _Passing as failure:
                if not left:
                    raise ChainUnreachable(
                        f"the Ethereum node at {self.shown} does not answer: {failure}",
                        f"{self._options.attempts} attempts were made; is it running?",
                    ) from None
                log.info("%s: %s; again in %g s", self.shown, failure, pause, extra={"retry": "chain"})
                self._sleep(pause)
                pause = min(2 * pause, self._options.backoff_limit_seconds)
        raise InternalFault("a request was not attempted")

    def ask(self, method: str, *params: object, read: Callable[[Any], T]) -> T:
        """The result of a call that has no reason to be refused.

        Raises:
            ChainUnreachable: if there is no answer, an error instead of one, or one that `read` cannot read.
        """
        try:
            return self(method, *params, read=read)
        except RpcError as error:
            raise ChainUnreachable(f"the Ethereum node at {self.shown} refuses {method}: {error.message}") from None

    def _once(self, method: str, params: tuple[object, ...]) -> Any:
        import requests
        from web3.exceptions import Web3Exception

        try:
            answer = self._provider.make_request(method, list(params))
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in _PASSING_STATUS:
                raise _Passing(f"HTTP status {status}") from None
            raise ChainUnreachable(f"the Ethereum node at {self.shown} refuses requests: HTTP status {status}") from None
        except (requests.RequestException, OSError, Web3Exception) as error:
            raise _Passing(type(error).__name__) from None
        except (ChainUnreachable, ValueError):
            raise _Passing("an answer that is not JSON") from None
        if not isinstance(answer, dict) or ("error" not in answer and "result" not in answer):
            raise _Passing("an answer that is not JSON-RPC")
        refusal: object = answer.get("error")
        if refusal is None:
            return answer["result"]
        if not isinstance(refusal, dict):
            raise RpcError(0, str(refusal))
        code, message = refusal.get("code"), str(refusal.get("message", ""))
        if isinstance(code, int) and code in _RATE_LIMIT_CODES and method != "eth_getLogs":
            raise _Passing(f"error {code}")
        raise RpcError(code if isinstance(code, int) else 0, message, refusal.get("data"))


def _session(url: str) -> requests.Session:
    """A session that takes proxies, certificates and .netrc from the environment once. Asked anew, as requests does it, they cost a
    request to a node on the same machine more time than all the rest."""
    import requests

    session = requests.Session()
    settings = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify, session.cert = settings["proxies"], settings["verify"], settings["cert"]
    session.auth = requests.utils.get_netrc_auth(url)
    session.trust_env = False
    return session


def _read_answer(raw: bytes) -> Any:
    return foreign_json.read(raw, "the answer", _MAX_ANSWER_BYTES, ChainUnreachable)


class _Passing(Exception):
    """A failure that another attempt may not meet."""


def revert_data(error: RpcError) -> bytes | None:
    """The revert data in a node's error; empty for a revert without any; None if it is no revert."""
    found = _hex_in(error.data)
    if found is not None:
        return found
    reverted = error.code == 3 or "revert" in error.message.lower()
    return b"" if reverted else None


def _hex_in(data: object) -> bytes | None:
    if isinstance(data, dict):  # Ganache and Hardhat nest it
        for name in ("result", "data", "return"):
            if (found := _hex_in(data.get(name))) is not None:
                return found
        return None
    if not isinstance(data, str):
        return None
    text = data.removeprefix("Reverted ").strip()
    try:
        return bytes.fromhex(text[2:]) if text.startswith("0x") else None
    except ValueError:
        return None
