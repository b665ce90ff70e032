"""A connection to one chain and our contracts on it: reading, and sending with one effect (C2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from eth_utils.crypto import keccak

from defedbio.chain.abi import decode_answer, decode_refusal, encode_call
from defedbio.chain.code import what_is_foreign
from defedbio.chain.journal import MemoryJournal, TxJournal
from defedbio.chain.network import CONTRACTS, Network
from defedbio.chain.parse import (
    as_bytes,
    as_count,
    as_int,
    mined,
    parse_block,
    parse_head,
    parse_logs,
    parse_proof,
    parse_transaction,
    to_hex,
)
from defedbio.chain.records import Block, Call, ClientOptions, Head, MinedTransaction, RawLog, Receipt, Transaction
from defedbio.chain.rpc import Rpc, RpcError, revert_data
from defedbio.chain.sender import Sender, checksum
from defedbio.errors import ChainUnreachable, ContractRefused, InvalidInput, WrongChain

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from defedbio.chain.proofs import Header

T = TypeVar("T")

_LOG_CHUNK = 2000
_PROOF_CHUNK = 100
_CACHED_BLOCKS = 4096


class ChainClient:
    """One endpoint, and the account that signs if there is one. Threads may share it; sending is one at a time.

    `confirmations` is how many blocks must follow a block before its events count (C1); `EventFeed` applies it. Without a `journal`
    the sent transactions are remembered only as long as the client lives.
    """

    def __init__(
        self,
        rpc_url: str,
        network: Network,
        account: LocalAccount | None = None,
        journal: TxJournal | None = None,
        confirmations: int = 0,
        options: ClientOptions | None = None,
    ) -> None:
        if confirmations < 0:
            raise InvalidInput("confirmations must not be negative")
        self.network = network
        self.account = account
        self.confirmations = confirmations
        self.options = options or ClientOptions()
        self._rpc = Rpc(rpc_url, self.options)
        self._blocks: dict[bytes, Head] = {}
        self._sender = None
        if account is not None:
            self._sender = Sender(self._rpc, network.chain_id, account, journal or MemoryJournal(), self.options)

    @property
    def rpc_shown(self) -> str:
        """The endpoint without credentials, path or query."""
        return self._rpc.shown

    @property
    def address(self) -> str:
        """The account's address.

        Raises:
            InvalidInput: if the client has no account.
        """
        if self.account is None:
            raise InvalidInput("this needs an account", "open a keystore first")
        return str(self.account.address)

    def connect(self) -> Head:
        """Check that the endpoint is the network's chain with our contracts on it, and return its newest block.

        Raises:
            WrongChain: on another chain id, or where one of the addresses has no code or other code than the released contract's.
            ChainUnreachable: if the endpoint does not answer.
        """
        found = self._rpc.ask("eth_chainId", read=as_count)
        if found != self.network.chain_id:
            raise WrongChain(
                f"the node at {self.rpc_shown} is on chain {found}, the network file names chain {self.network.chain_id}",
                "point to the network's own node",
            )
        for name in CONTRACTS:
            address = self.network.contracts[name]
            code = self._rpc.ask("eth_getCode", address, "latest", read=as_bytes)
            if not code:
                raise WrongChain(f"there is no contract at {name}'s address {address}", "was the chain reset? deploy again")
            if foreign := what_is_foreign(self.network.contracts, name, code):
                raise WrongChain(foreign, "another version of this software deployed it or it is forged: ask who gave you the network file")
        return self.head()

    def head(self) -> Head:
        """The newest block."""
        return self._rpc.ask("eth_getBlockByNumber", "latest", False, read=parse_head)

    def block(self, number: int) -> Head | None:
        """The block of this number on the chain as it is now, None if there is none."""
        return self._rpc.ask("eth_getBlockByNumber", hex(number), False, read=_or_none(parse_head))

    def block_by_hash(self, block_hash: bytes) -> Head:
        """The block of this hash; remembered, since it cannot change.

        Raises:
            ChainUnreachable: if the node does not have it (a reorganisation took it off the chain).
        """
        known = self._blocks.get(block_hash)
        if known is None:
            known = self._rpc.ask("eth_getBlockByHash", to_hex(block_hash), False, read=_or_none(parse_head))
            if known is None:
                raise ChainUnreachable(f"the node has no block {to_hex(block_hash)}", "the chain was reorganised; read the events again")
            if len(self._blocks) >= _CACHED_BLOCKS:
                self._blocks.clear()
            self._blocks[block_hash] = known
        return known

    def balance(self, address: str | None = None) -> int:
        """Wei held by an address, the account's own by default."""
        return self._rpc.ask("eth_getBalance", checksum(address or self.address), "latest", read=as_int)

    def nonce(self, address: str) -> int:
        """How many transactions of an address the chain has taken by its newest block: each of its nonces below that is used.

        Raises:
            ChainUnreachable: if there is no answer.
        """
        return self._rpc.ask("eth_getTransactionCount", checksum(address), "latest", read=as_count)

    def syncing(self) -> bool:
        """Whether the endpoint says of itself that it is behind the chain. One that does not tell is taken for one that is not.

        Raises:
            ChainUnreachable: if there is no answer.
        """
        try:
            return self._rpc("eth_syncing", read=lambda answer: answer is not False)
        except RpcError:
            return False

    def call(self, call: Call, block: int | None = None) -> Any:
        """What a view function returns: the value, or a tuple of several. By the newest block, or by that of the given number.

        Raises:
            ContractRefused: if it reverts.
            InvalidInput: if the arguments do not fit.
            ChainUnreachable: if there is no answer.
        """
        request = {"to": self.network.contracts[call.contract], "data": to_hex(encode_call(call))}
        if self.account is not None:
            request["from"] = self.address
        try:
            when = "latest" if block is None else hex(block)
            return self._rpc("eth_call", request, when, read=lambda answer: decode_answer(call, as_bytes(answer)))
        except RpcError as error:
            reason = revert_data(error)
            if reason is None:
                raise ChainUnreachable(f"the node at {self.rpc_shown} refuses a call: {error.message}") from None
            raise decode_refusal(reason) from None

    def send(self, transaction: Transaction) -> Receipt:
        """Send it and wait until it is mined (C2). The same key again returns the same effect's receipt and sends nothing.

        The key names the effect, its values included: a key that comes back with other values is refused.

        Raises:
            ContractRefused: if the contract refuses it, in a simulation before anything is sent or once mined. The key is free again.
            ChainUnreachable: if the node does not answer or the transaction is not mined in time. The journal keeps it: call again.
            InvalidInput: without an account or funds, or when the arguments do not fit.
            InternalFault: if the key was used for another call.
        """
        call = transaction.call
        return self._sending().send(transaction.key, self.network.contracts[call.contract], encode_call(call), 0)

    def self_transfer(self, key: str) -> Receipt:
        """Have a transaction from the account to itself mined that moves nothing. Whatever the chain held when it was signed is in a block
        before it, or in its own: who sees it mined sees all of that. `key` and errors as in `send`."""
        # INVARIANT: no two keys give the same transaction. Signing is deterministic, so that without its key in it one
        # of an earlier restore could be signed again, where the chain shows the same nonce and fees, and be found mined before.
        return self._sending().send(key, self.address, keccak(key.encode()), 0)

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Receipt of a mined transaction, None while there is none."""
        found = self._rpc.ask("eth_getTransactionReceipt", to_hex(tx_hash), read=mined)
        return None if found is None else found.receipt

    def transaction(self, tx_hash: bytes) -> MinedTransaction | None:
        """A mined transaction, with or without effect; None for an unknown or pending one."""
        outcome = self._rpc.ask("eth_getTransactionReceipt", to_hex(tx_hash), read=mined)
        if outcome is None:
            return None
        return self._rpc.ask("eth_getTransactionByHash", to_hex(tx_hash), read=_or_none(lambda found: parse_transaction(found, outcome)))

    def refusal(self, transaction: MinedTransaction) -> ContractRefused | None:
        """Why a transaction without effect had none: the call again on the state before its block; None if that goes through.

        Raises:
            ChainUnreachable: if the node does not answer, or no longer has that state.
        """
        request = {"from": transaction.sender, "to": transaction.to, "data": to_hex(transaction.data), "value": hex(transaction.value)}
        try:
            self._rpc("eth_call", request, hex(transaction.block - 1), read=as_bytes)
        except RpcError as error:
            reason = revert_data(error)
            if reason is None:
                raise ChainUnreachable(f"the node at {self.rpc_shown} cannot repeat a call: {error.message}") from None
            return decode_refusal(reason)
        return None

    def whole_block(self, number: int) -> Block | None:
        """The block of this number with its transactions' hashes, None if there is none."""
        return self._rpc.ask("eth_getBlockByNumber", hex(number), False, read=_or_none(parse_block))

    def header(self, number: int) -> Header:
        """The header of the block of this number, hashed to its hash.

        Raises:
            ChainUnreachable: if the node has no such block. InvalidInput: if the header is of a form that this version does not know.
        """
        from defedbio.chain.proofs import header_of

        found = self._rpc.ask("eth_getBlockByNumber", hex(number), False, read=_or_none(header_of))
        if found is None:
            raise ChainUnreachable(f"the node at {self.rpc_shown} has no block {number}")
        return found

    def encoded_receipts(self, header: Header) -> list[bytes]:
        """All receipts of a block as its trie holds them.

        Raises:
            ChainUnreachable: if the node gives none, or others than those of the header.
        """
        from defedbio.chain.proofs import encode_receipt

        try:
            found = self._rpc("eth_getBlockReceipts", hex(header.number), read=_or_none(lambda all_: list(map(encode_receipt, all_))))
        except RpcError:
            each = [
                self._rpc.ask("eth_getTransactionReceipt", to_hex(tx), read=_or_none(encode_receipt))
                for tx in self.transaction_hashes(header)
            ]
            found = [receipt for receipt in each if receipt is not None] if None not in each else None
        if not found:
            raise ChainUnreachable(f"the node at {self.rpc_shown} has no receipts of block {header.number}", "ask an archive node")
        return found

    def encoded_transactions(self, header: Header) -> list[bytes] | None:
        """All transactions of a block as its trie holds them; None where the node does not give them encoded."""
        try:
            found = [
                self._rpc("eth_getRawTransactionByHash", to_hex(tx), read=_or_none(as_bytes)) for tx in self.transaction_hashes(header)
            ]
        except RpcError:
            return None
        whole = [raw for raw in found if raw]
        return whole if len(whole) == len(found) else None

    def transaction_hashes(self, header: Header) -> list[bytes]:
        """Hashes of a block's transactions, in order."""
        return list(self._rpc.ask("eth_getBlockByHash", to_hex(header.hash), False, read=parse_block).transactions)

    def state_nodes(self, address: str, slots: Sequence[int], header: Header) -> list[bytes] | None:
        """The trie nodes that lead to an account and its storage slots at a block (EIP-1186); None where the node does not give them."""
        nodes: list[bytes] = []
        for start in range(0, max(len(slots), 1), _PROOF_CHUNK):
            wanted = [to_hex(slot.to_bytes(32, "big")) for slot in slots[start : start + _PROOF_CHUNK]]
            try:
                nodes += self._rpc("eth_getProof", address, wanted, hex(header.number), read=parse_proof)
            except RpcError:
                return None
        return nodes

    def code(self, address: str, header: Header) -> bytes:
        """A contract's code at a block."""
        return self._rpc.ask("eth_getCode", address, hex(header.number), read=as_bytes)

    def get_logs(
        self, from_block: int, to_block: int, addresses: Sequence[str], topics: Sequence[Sequence[bytes] | None] = ()
    ) -> list[RawLog]:
        """Logs of the blocks from..to inclusive in chain order. A topic position is a list of alternatives, or None for any.

        Raises:
            ChainUnreachable: if the node refuses even one block's logs.
        """
        request: dict[str, Any] = {"address": list(addresses)}
        if topics:
            request["topics"] = [None if options is None else [to_hex(t) for t in options] for options in topics]
        found: list[RawLog] = []
        start, chunk = from_block, _LOG_CHUNK
        while start <= to_block:
            end = min(start + chunk - 1, to_block)
            try:
                found += self._rpc("eth_getLogs", request | {"fromBlock": hex(start), "toBlock": hex(end)}, read=parse_logs)
            except RpcError as error:
                if start == end:
                    raise ChainUnreachable(f"the node at {self.rpc_shown} refuses logs of block {start}: {error.message}") from None
                chunk = max((end - start + 1) // 2, 1)
                continue
            start = end + 1
        return sorted(found, key=lambda entry: (entry.block, entry.log_index))

    def _sending(self) -> Sender:
        if self._sender is None:
            raise InvalidInput("sending needs an account", "open a keystore first")
        return self._sender


def _or_none(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """For answers that are null where the node has nothing of the kind."""
    return lambda answer: None if answer is None else read(answer)
