"""Sending one effect once (C2): journalled before it is sent, looked up after a restart, replaced with a higher fee when stuck."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from eth_utils.address import is_address, to_checksum_address

from defedbio.chain.abi import decode_refusal
from defedbio.chain.fees import Fees, raised, suggested
from defedbio.chain.journal import TxJournal
from defedbio.chain.parse import Outcome, as_bytes, as_count, as_hash, mined, to_hex
from defedbio.chain.records import ClientOptions, Receipt
from defedbio.chain.rpc import Rpc, RpcError, revert_data
from defedbio.errors import ChainUnreachable, ContractRefused, InternalFault, InvalidInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

log = logging.getLogger(__name__)

_FIRST_POLL_SECONDS = 0.02
_LOST_LOOKUPS = 4
_MOST_STARTS = 4
_MOST_MISSING_NONCES = 16
_TRANSFER_GAS = 21_000


@dataclass(frozen=True)
class _Entry:
    """A journalled effect: every version ever signed for it shares one nonce, so at most one of them can take effect."""

    chain: str  # hash of the chain's first block: a journal outlives a test chain that was started anew
    sender: str
    nonce: int
    to: str
    data: str
    value: int
    gas: int
    raw: tuple[str, ...]
    hashes: tuple[str, ...]
    fees: Fees

    @classmethod
    def load(cls, key: str, entry: dict[str, Any]) -> _Entry:
        try:
            fields = dict(entry) | {"raw": tuple(entry["raw"]), "hashes": tuple(entry["hashes"])}
            return cls(**fields)
        except (KeyError, TypeError):
            raise InternalFault(f"the transaction journal's entry {key!r} cannot be read") from None

    def dump(self) -> dict[str, Any]:
        return asdict(self) | {"raw": list(self.raw), "hashes": list(self.hashes)}


class Sender:
    """Sends for one account. Other processes may use the account too: nonces are read anew each time."""

    def __init__(self, rpc: Rpc, chain_id: int, account: LocalAccount, journal: TxJournal, options: ClientOptions) -> None:
        self._rpc = rpc
        self._chain_id = chain_id
        self._account = account
        self._journal = journal
        self._options = options
        self._lock = threading.RLock()
        self._genesis: str | None = None

    def send(self, key: str, to: str, data: bytes, value: int) -> Receipt:
        """Give `key` its effect, now or earlier, and return the receipt. See `ChainClient.send`."""
        with self._lock:
            stored = self._journal.get(key)
            if stored is not None:
                entry = self._check_same(key, _Entry.load(key, stored), to, data, value)
                if entry is not None and (receipt := self._settle(key, entry, resumed=True)) is not None:
                    return receipt
            for _ in range(_MOST_STARTS):
                entry = self._prepare(to, data, value)
                self._journal.put(key, entry.dump())
                if (receipt := self._settle(key, entry, resumed=False)) is not None:
                    return receipt
        raise ChainUnreachable(
            f"{self._account.address} sent {key!r} {_MOST_STARTS} times without effect: its nonces were taken or its gas ran out",
            "is another process sending from this account?",
        )

    def _check_same(self, key: str, entry: _Entry, to: str, data: bytes, value: int) -> _Entry | None:
        if entry.chain != self._first_block():
            self._journal.delete(key)
            return None
        if entry.sender != self._account.address:
            raise InvalidInput(f"{key!r} was sent by {entry.sender}, not by {self._account.address}", "use the account of before")
        if (entry.to, entry.data, entry.value) != (to, to_hex(data), value):
            raise InternalFault(f"{key!r} already names another transaction")
        return entry

    def _first_block(self) -> str:
        if self._genesis is None:
            self._genesis = self._rpc.ask("eth_getBlockByNumber", "0x0", False, read=lambda block: to_hex(as_hash(block["hash"])))
        return self._genesis

    def _prepare(self, to: str, data: bytes, value: int) -> _Entry:
        gas = self._simulate(to, data, value)
        fees = suggested(self._rpc, self._options.max_fee_per_gas)
        raw, tx_hash = self._sign(nonce := self._nonce("pending"), to, to_hex(data), value, gas, fees)
        return _Entry(
            self._first_block(), self._account.address, nonce, to, to_hex(data), value, gas, raw=(raw,), hashes=(tx_hash,), fees=fees
        )

    def _simulate(self, to: str, data: bytes, value: int) -> int:
        """Gas limit of a transaction that would succeed now; otherwise the refusal is raised."""
        call = {"from": self._account.address, "to": to, "data": to_hex(data), "value": hex(value)}
        try:
            gas = self._rpc("eth_estimateGas", call, read=as_count)
        except RpcError as error:
            if "insufficient funds" in error.message.lower():
                raise self._no_funds() from None
            if reason := revert_data(error):
                raise decode_refusal(reason) from None
            raise self._replayed(call, "latest") or ChainUnreachable(f"the node does not estimate gas: {error.message}") from None
        return min(gas * (100 + self._options.gas_margin_percent) // 100 + self._options.gas_headroom, self._block_gas())

    def _block_gas(self) -> int:
        return self._rpc.ask("eth_getBlockByNumber", "latest", False, read=lambda block: as_count(block["gasLimit"]))

    def _replayed(self, call: dict[str, Any], block: str) -> ContractRefused | None:
        try:
            self._rpc("eth_call", call, block, read=as_bytes)
        except RpcError as error:
            reason = revert_data(error)
            return None if reason is None else decode_refusal(reason)
        return None

    def _sign(self, nonce: int, to: str, data: str, value: int, gas: int, fees: Fees) -> tuple[str, str]:
        transaction: dict[str, Any] = {
            "chainId": self._chain_id,
            "nonce": nonce,
            "to": to,
            "data": data,
            "value": value,
            "gas": gas,
            **fees,
        }
        signed = self._account.sign_transaction(transaction)
        return to_hex(signed.raw_transaction), to_hex(signed.hash)

    def _nonce(self, block: str) -> int:
        return self._rpc.ask("eth_getTransactionCount", self._account.address, block, read=as_count)

    def _settle(self, key: str, entry: _Entry, *, resumed: bool) -> Receipt | None:
        """Bring one journalled nonce to its end. None: the nonce is used, without effect, and the entry is gone."""
        started = time.monotonic()
        sent_at: float | None = None
        replacements = len(entry.raw) - 1
        _tell(key, "pending")
        pause = min(_FIRST_POLL_SECONDS, self._options.poll_seconds)
        while True:
            used = self._nonce("latest") > entry.nonce  # read before the receipts: a receipt that comes in between is then seen below
            if (outcome := self._look_up(entry, patience=_LOST_LOOKUPS if used else 1)) is not None:
                return self._effect(key, entry, outcome)
            if used:
                self._journal.delete(key)
                _tell(key, "settled")
                return None
            waited = 0.0 if sent_at is None else time.monotonic() - sent_at
            underpriced = False
            if sent_at is None or waited >= self._options.replace_after_seconds:
                if sent_at is not None and replacements < self._options.max_replacements:
                    entry, replacements = self._replace(key, entry), replacements + 1
                underpriced = self._broadcast(key, entry, resumed=resumed or sent_at is not None)
                sent_at = time.monotonic()
            if underpriced and replacements < self._options.max_replacements:
                sent_at -= self._options.replace_after_seconds
                resumed = True
                continue
            if time.monotonic() - started >= self._options.wait_seconds:
                raise ChainUnreachable(
                    f"the transaction {entry.hashes[-1]} is not mined after {self._options.wait_seconds:g} s",
                    "it is journalled; the same step again goes on waiting for it",
                )
            time.sleep(pause)
            pause = min(2 * pause, self._options.poll_seconds)

    def _look_up(self, entry: _Entry, patience: int) -> Outcome | None:
        for attempt in range(patience):
            if attempt:
                time.sleep(self._options.poll_seconds)
            for tx_hash in reversed(entry.hashes):
                if (outcome := self._rpc.ask("eth_getTransactionReceipt", tx_hash, read=mined)) is not None:
                    return outcome
        return None

    def _effect(self, key: str, entry: _Entry, outcome: Outcome) -> Receipt | None:
        _tell(key, "settled")
        if outcome.succeeded:
            return outcome.receipt
        call = {"from": entry.sender, "to": entry.to, "data": entry.data, "value": hex(entry.value), "gas": hex(entry.gas)}
        block = outcome.receipt.block
        # the state before the block may lack what an earlier transaction of the same block did, so the state after it is asked too
        refusal = self._replayed(call, hex(max(block - 1, 0))) or self._replayed(call, hex(block))
        self._journal.delete(key)
        if refusal is not None:
            raise refusal
        log.info("the transaction %s ran out of gas or met another state than it was estimated for", entry.hashes[-1])
        return None

    def _replace(self, key: str, entry: _Entry) -> _Entry:
        """The same effect at a higher fee under the same nonce, journalled; unchanged when the fee limit is reached."""
        most = self._options.max_fee_per_gas
        fees = raised(entry.fees, suggested(self._rpc, most), most)
        if fees is None:
            log.warning("the transaction %s is stuck and the fee limit leaves no room to replace it", entry.hashes[-1])
            return entry
        raw, tx_hash = self._sign(entry.nonce, entry.to, entry.data, entry.value, entry.gas, fees)
        log.info("replacing the stuck transaction %s by %s", entry.hashes[-1], tx_hash, extra={"retry": "replacement"})
        dearer = _Entry(**(asdict(entry) | {"raw": (*entry.raw, raw), "hashes": (*entry.hashes, tx_hash), "fees": fees}))
        self._journal.put(key, dearer.dump())
        return dearer

    def _broadcast(self, key: str, entry: _Entry, *, resumed: bool) -> bool:
        """Hand the newest version to the node; True if it asks for a higher fee."""
        if resumed:
            self._fill_gap(entry.nonce)
        try:
            self._rpc("eth_sendRawTransaction", entry.raw[-1], read=_taken)
        except RpcError as error:
            message = error.message.lower()
            if any(known in message for known in ("already known", "known transaction", "already imported", "nonce too low")):
                return False  # the next look-up tells which
            if "underpriced" in message or "less than block base fee" in message or "fee too low" in message:
                return True
            if "insufficient funds" in message:
                raise self._no_funds() from None
            if not resumed:  # refused at the door and never sent before: nothing can come of it
                self._journal.delete(key)
                _tell(key, "settled")
            raise ChainUnreachable(f"the node refuses the transaction: {error.message}") from None
        return False

    def _fill_gap(self, nonce: int) -> None:
        """Earlier transactions of this account may have been lost with the node's memory; ours cannot be mined before their nonces
        are used. Empty transfers to ourselves use them: signing ours anew under another nonce could give it two effects."""
        first = self._nonce("pending")
        if nonce - first > _MOST_MISSING_NONCES:
            raise ChainUnreachable(f"the node has lost {nonce - first} transactions of {self._account.address}")
        for missing in range(first, nonce):
            fees = suggested(self._rpc, self._options.max_fee_per_gas)
            raw, _ = self._sign(missing, self._account.address, "0x", 0, _TRANSFER_GAS, fees)
            try:
                self._rpc("eth_sendRawTransaction", raw, read=_taken)
            except RpcError as error:
                log.info("nonce %d is not filled: %s", missing, error.message)

    def _no_funds(self) -> InvalidInput:
        return InvalidInput(f"{self._account.address} cannot pay for the transaction", "send it some of the chain's currency")


def _tell(key: str, what: str) -> None:
    """For whoever counts: the transaction of `key` is journalled and not mined (pending), or at its end (settled)."""
    log.debug("%s is %s", key, what, extra={"queue": what, "key": key})


def _taken(answer: object) -> None:
    """Whatever a node answers to a transaction that it takes: its hash is known here."""


def checksum(address: str) -> str:
    """Raises InvalidInput for what is no address."""
    if not is_address(address):
        raise InvalidInput(f"{address!r} is not an address")
    return str(to_checksum_address(address))
