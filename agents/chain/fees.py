"""What to pay: EIP-1559 where the chain has a base fee, a gas price where it has none."""

from __future__ import annotations

from typing import Any

from defedbio.chain.parse import as_int
from defedbio.chain.rpc import Rpc, RpcError

Fees = dict[str, int]  # {"maxFeePerGas", "maxPriorityFeePerGas"} or {"gasPrice"}, wei per gas
_DEFAULT_TIP = 10**9
_BUMP_PERCENT = 25
_LEAST_BUMP_PERCENT = 10  # what nodes ask of a replacement


def suggested(rpc: Rpc, most: int) -> Fees:
    """Fees that hold while the base fee doubles, at most `most`."""
    base = rpc.ask("eth_getBlockByNumber", "latest", False, read=_base_fee)
    if base is None:
        return {"gasPrice": min(rpc.ask("eth_gasPrice", read=as_int), most)}
    try:
        tip = rpc("eth_maxPriorityFeePerGas", read=as_int)
    except RpcError:
        tip = _DEFAULT_TIP
    ceiling = min(2 * base + tip, most)
    return {"maxFeePerGas": ceiling, "maxPriorityFeePerGas": min(tip, ceiling)}


def raised(old: Fees, now: Fees, most: int) -> Fees | None:
    """Fees of a replacement: a quarter more than before and no less than `now` asks; None if `most` leaves no room for that."""
    if old.keys() != now.keys():
        now = old
    new = {name: min(max(-(-value * (100 + _BUMP_PERCENT) // 100), value + 1, now[name]), most) for name, value in old.items()}
    enough = all(new[name] * 100 >= value * (100 + _LEAST_BUMP_PERCENT) and new[name] > value for name, value in old.items())
    return new if enough else None


def _base_fee(block: dict[str, Any]) -> int | None:
    base = block.get("baseFeePerGas")
    return None if base is None else as_int(base)
