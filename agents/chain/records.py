"""What the client passes around: calls, receipts, logs, blocks and its own settings."""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.errors import InvalidInput


@dataclass(frozen=True)
class ClientOptions:
    """How long to wait and how often to try. All fees are wei per gas; all times seconds.

    A request is tried `attempts` times with pauses from `backoff_seconds`, doubled each time up to `backoff_limit_seconds`. A transaction
    that is not mined after `replace_after_seconds` is replaced by a dearer one at most `max_replacements` times, and waited for
    `wait_seconds` in all.
    """

    request_seconds: float = 10.0
    attempts: int = 6
    backoff_seconds: float = 0.25
    backoff_limit_seconds: float = 4.0
    poll_seconds: float = 0.5
    wait_seconds: float = 600.0
    replace_after_seconds: float = 60.0
    max_replacements: int = 4
    max_fee_per_gas: int = 500 * 10**9
    gas_margin_percent: int = 25
    gas_headroom: int = 60_000  # another call may land first and make this one the one that moves the phase on

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.max_replacements < 0 or self.gas_margin_percent < 0:
            raise InvalidInput("attempts must be at least 1, replacements and margins not negative")
        times = (self.request_seconds, self.poll_seconds, self.wait_seconds, self.replace_after_seconds)
        if min(times) <= 0 or self.backoff_seconds < 0 or self.backoff_limit_seconds < 0:
            raise InvalidInput("times must be positive")


@dataclass(frozen=True)
class Head:
    """A block: `timestamp` is unix seconds."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True)
class Call:
    """A call of one of our contracts, by the contract's and the function's Solidity names."""

    contract: str
    function: str
    args: tuple[object, ...] = ()


@dataclass(frozen=True)
class Transaction:
    """What is to be sent: `key` names its effect (C2), and `phase` what a node is at while it sends it."""

    key: str
    call: Call
    phase: str


@dataclass(frozen=True)
class RawLog:
    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int


@dataclass(frozen=True)
class Receipt:
    """A transaction that took effect. `gas_price` is the price paid, in wei per gas."""

    tx_hash: bytes
    block: int
    block_hash: bytes
    sender: str
    gas_used: int
    gas_price: int
    logs: tuple[RawLog, ...]

    @property
    def cost(self) -> int:
        """Fee paid, in wei."""
        return self.gas_used * self.gas_price


@dataclass(frozen=True)
class MinedTransaction:
    """A mined transaction. `to` is empty where it created a contract; `succeeded` is False where it was mined without effect."""

    tx_hash: bytes
    block: int
    sender: str
    to: str
    data: bytes
    value: int
    nonce: int
    gas_used: int
    gas_price: int
    succeeded: bool
    logs: tuple[RawLog, ...]


@dataclass(frozen=True)
class Block:
    """A block's head and the hashes of its transactions in order; `gas_used` and `gas_limit` in gas."""

    head: Head
    parent: bytes
    transactions: tuple[bytes, ...]
    gas_used: int
    gas_limit: int
