"""The contracts' interfaces: encoding calls, decoding answers, logs and refusals. Values cross here between Solidity and our types."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.resources import files
from typing import Any, cast

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.registry import BaseEquals
from eth_abi.registry import registry as default_registry
from eth_utils.crypto import keccak

from defedbio.chain.network import CONTRACTS
from defedbio.chain.parse import checksummed
from defedbio.chain.records import Call
from defedbio.chain.values import StudyRules, WrongProduct
from defedbio.domain import BitSet, CeremonyKind, CeremonyStatus, KeyEpochStatus, Phase
from defedbio.errors import ContractRefused, InternalFault, InvalidInput

Abi = dict[str, Any]

ENUMS = {"Phase": Phase, "CeremonyKind": CeremonyKind, "KeyEpochStatus": KeyEpochStatus, "CeremonyStatus": CeremonyStatus}
STRUCTS = {"StudyRules": StudyRules, "WrongProduct": WrongProduct}
BIT_MAPS = frozenset(
    {
        *("committed", "revealed", "absent", "frozen", "set", "refused", "confirmations", "retired", "posters"),
        *("posted", "seeds", "missing"),
    }
)
_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")


def _lenient_codec() -> ABICodec:
    """Anyone may put bytes that are not UTF-8 into a string on the chain; that must not stop the readers."""
    registry = default_registry.copy()  # type: ignore[no-untyped-call]
    registry.unregister_decoder("string")
    decoder = StringDecoder(handle_string_errors="replace")  # type: ignore[no-untyped-call]
    registry.register_decoder(BaseEquals("string"), decoder, label="string")  # type: ignore[no-untyped-call]
    return ABICodec(registry)


_CODEC = _lenient_codec()


@cache
def interface(name: str) -> dict[str, Any]:
    """What `make abi` wrote of one of our contracts: its `abi`, and the mark of its `code` (see defedbio.chain.code)."""
    if name not in CONTRACTS:
        raise InternalFault(f"there is no contract {name!r}")
    return dict(json.loads(files("defedbio.chain").joinpath("abi", f"{name}.json").read_text(encoding="utf-8")))


@cache
def contract_abi(name: str) -> tuple[Abi, ...]:
    """The interface of one of our contracts, as the compiler wrote it."""
    return tuple(interface(name)["abi"])


def parameter_type(parameter: Abi) -> str:
    """The canonical type of a parameter, structs written out: `(uint16,uint32)[]`."""
    kind = cast(str, parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(parameter_type(part) for part in parameter["components"]) + ")" + kind.removeprefix("tuple")


def topic_of(entry: Abi) -> bytes:
    """keccak256 of an event's, error's or function's signature."""
    signature = f"{entry['name']}({','.join(parameter_type(p) for p in entry['inputs'])})"
    return keccak(text=signature)


@cache
def _function(contract: str, name: str) -> Abi:
    for entry in contract_abi(contract):
        if entry["type"] == "function" and entry["name"] == name:
            return entry
    raise InternalFault(f"{contract} has no function {name!r}")


@cache
def events_abi() -> dict[tuple[str, bytes], Abi]:
    """Every event by (contract name, topic 0)."""
    return {(name, topic_of(e)): e for name in CONTRACTS for e in contract_abi(name) if e["type"] == "event"}


@cache
def _errors() -> dict[bytes, Abi]:
    return {topic_of(e)[:4]: e for name in CONTRACTS for e in contract_abi(name) if e["type"] == "error"}


def encode_call(call: Call) -> bytes:
    """Calldata.

    Raises:
        InvalidInput: if the arguments do not fit the function.
    """
    function = _function(call.contract, call.function)
    types = [parameter_type(p) for p in function["inputs"]]
    if len(types) != len(call.args):
        raise InvalidInput(f"{call.function} takes {len(types)} arguments, not {len(call.args)}")
    try:
        return topic_of(function)[:4] + _CODEC.encode(types, [_to_solidity(a) for a in call.args])
    except (EncodingError, TypeError, ValueError) as error:
        raise InvalidInput(f"{call.contract}.{call.function}: {error}") from None


def decode_call(contract: str, data: bytes) -> tuple[str, dict[str, Any]] | None:
    """Function name and arguments by snake-case name of calldata for one of our contracts; None for another function or bytes."""
    for entry in contract_abi(contract):
        if entry["type"] == "function" and topic_of(entry)[:4] == data[:4]:
            try:
                values = _decoded(entry["inputs"], data[4:], f"{contract}.{entry['name']}")
            except InternalFault:
                return None
            return entry["name"], {snake_case(p["name"]): v for p, v in zip(entry["inputs"], values, strict=True)}
    return None


def decode_answer(call: Call, data: bytes) -> Any:
    """The value a call returned; a tuple of several.

    Raises:
        InternalFault: if the bytes do not fit the interface.
    """
    values = _decoded(_function(call.contract, call.function)["outputs"], data, f"{call.contract}.{call.function}")
    return values[0] if len(values) == 1 else tuple(values)


def decode_event(entry: Abi, topics: tuple[bytes, ...], data: bytes) -> dict[str, Any]:
    """An event's values by snake-case name.

    Raises:
        InternalFault: if the bytes do not fit the interface.
    """
    inputs = entry["inputs"]
    indexed, plain = [p for p in inputs if p["indexed"]], [p for p in inputs if not p["indexed"]]
    if len(topics) != len(indexed) + 1:
        raise InternalFault(f"event {entry['name']} came with {len(topics)} topics")
    found = dict(zip((p["name"] for p in indexed), _decoded(indexed, b"".join(topics[1:]), entry["name"]), strict=True))
    found |= dict(zip((p["name"] for p in plain), _decoded(plain, data, entry["name"]), strict=True))
    return {snake_case(p["name"]): found[p["name"]] for p in inputs}


def decode_refusal(data: bytes) -> ContractRefused:
    """What revert data says: one of our custom errors, a revert string, a panic, or neither."""
    selector, body = data[:4], data[4:]
    try:
        if entry := _errors().get(selector):
            return ContractRefused(entry["name"], tuple(_shown(v) for v in _decoded(entry["inputs"], body, entry["name"])))
        if selector == _ERROR_STRING:
            return ContractRefused(str(_CODEC.decode(["string"], body)[0]))
        if selector == _PANIC:
            return ContractRefused("Panic", (int(_CODEC.decode(["uint256"], body)[0]),))
    except (DecodingError, InternalFault):
        return ContractRefused("Malformed", ("0x" + data.hex(),))
    return ContractRefused("Reverted", ("0x" + data.hex(),) if data else ())


@cache
def snake_case(name: str) -> str:
    """`updateRoot` to `update_root`."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def _decoded(parameters: list[Abi], data: bytes, where: str) -> list[Any]:
    try:
        values = _CODEC.decode([parameter_type(p) for p in parameters], data)
        return [_from_solidity(p, v) for p, v in zip(parameters, values, strict=True)]
    except (DecodingError, ValueError, OverflowError) as error:
        raise InternalFault(f"{where} answered with bytes outside its interface: {error}") from None


def _from_solidity(parameter: Abi, value: Any) -> Any:
    kind = parameter["type"]
    if kind.endswith("[]"):
        element = parameter | {"type": kind.removesuffix("[]")}
        return tuple(_from_solidity(element, item) for item in value)
    base, _, name = str(parameter.get("internalType", kind)).partition(" ")
    if base == "enum":
        return ENUMS[name](value)
    if kind == "tuple":
        parts = {snake_case(p["name"]): _from_solidity(p, v) for p, v in zip(parameter["components"], value, strict=True)}
        struct = STRUCTS.get(name)
        return parts if struct is None else struct(**parts)
    if kind == "address":
        return checksummed(value)
    if kind.startswith("uint") and parameter["name"] in BIT_MAPS:
        return BitSet(value)
    return value


def _to_solidity(value: object) -> Any:
    if isinstance(value, BitSet):
        return value.bits
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(_to_solidity(getattr(value, f.name)) for f in fields(value))
    if isinstance(value, (list, tuple)):
        return [_to_solidity(item) for item in value]
    return value


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value.bits if isinstance(value, BitSet) else value
