"""Print the whole record of a round: its state and every event about it, in order.

brownie run inspect_round --network NAME         with DEFEDBIO_ROUND=NUMBER
brownie run inspect_round main NUMBER --network NAME
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from defedbio.domain import BitSet, Phase
from defedbio.errors import NotFound
from scripts.chainlib import contract, events_of, option

SETS = ("committed", "revealed", "frozen")


def main(round_number: str | None = None) -> None:
    number = int(option("ROUND", round_number))
    for line in record(contract("RoundManager"), number):
        print(line)


def record(rounds: Any, number: int) -> Iterator[str]:
    """The record's lines.

    Raises:
        NotFound: when there is no such round.
    """
    view = rounds.roundOf(number)
    if Phase(view["phase"]) == Phase.NONE:
        raise NotFound(f"there is no round {number}")
    yield f"Round {number}: {Phase(view['phase']).name.lower()}"
    yield from (f"  {name}: {_shown(name, value)}" for name, value in view.dict().items() if name != "phase")
    yield "Events"
    for event in events_of("RoundManager", number):
        values = ", ".join(f"{name}={_shown(name, value)}" for name, value in event["args"].items() if name != "round")
        yield f"  block {event['blockNumber']}: {event['event']}({values})"


def _shown(name: str, value: Any) -> str:
    if name == "phase":
        return Phase(value).name.lower()
    if name in SETS or name == "set":
        return "participants " + (", ".join(str(position + 1) for position in BitSet(int(value)).positions()) or "none")
    return "0x" + value.hex().removeprefix("0x") if isinstance(value, bytes) else str(value)
