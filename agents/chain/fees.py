"""What to pay: EIP-1559 where the chain has a base fee, a gas price where it has none."""

from __future__ import annotations

from defedbio.chain.rpc import Rpc, RpcError

Fees = dict[str, int]  # {"maxFeePerGas", "maxPriorityFeePerGas"} or {"gasPrice"}, wei per gas
_DEFAULT_TIP = 10**9
_BUMP_PERCENT = 25
_LEAST_BUMP_PERCENT = 10  # what nodes ask of a replacement


def suggested(rpc: Rpc, most: int) -> Fees:
    """Fees that hold while the base fee doubles, at most `most`."""
    block = rpc.ask("eth_getBlockByNumber", "latest", False)
    base = block.get("baseFeePerGas")
    if base is None:
        return {"gasPrice": min(int(rpc.ask("eth_gasPrice"), 16), most)}
    try:
        tip = int(rpc("eth_maxPriorityFeePerGas"), 16)
    except RpcError:
        tip = _DEFAULT_TIP
    ceiling = min(2 * int(base, 16) + tip, most)
    return {"maxFeePerGas": ceiling, "maxPriorityFeePerGas": min(tip, ceiling)}


def raised(old: Fees, now: Fees, most: int) -> Fees | None:
    """Fees of a replacement: a quarter more than before and no less than `now` asks; None if `most` leaves no room for that."""
    if old.keys() != now.keys():
        now = old
    new = {name: min(max(-(-value * (100 + _BUMP_PERCENT) // 100), value + 1, now[name]), most) for name, value in old.items()}
    enough = all(new[name] * 100 >= value * (100 + _LEAST_BUMP_PERCENT) and new[name] > value for name, value in old.items())
    return new if enough else None
