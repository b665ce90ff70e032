"""Open the next round of a study in which the sender is enrolled.

brownie run open_round --network NAME         with DEFEDBIO_STUDY=NUMBER
brownie run open_round main NUMBER --network NAME

The sender and the network file are those of scripts/deploy.py.
"""

from __future__ import annotations

from typing import Any

from scripts.chainlib import contract, option, sender


def main(study: str | None = None) -> None:
    number = int(option("STUDY", study))
    print(f"Round {open_round(contract('RoundManager'), number, sender())} of study {number} is open")


def open_round(rounds: Any, study: int, participant: Any) -> int:
    """Open the round; its number."""
    return int(rounds.openRound(study, {"from": participant}).events["RoundOpened"]["round"])
