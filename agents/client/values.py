"""What the client's methods return, where the lower layers have no value of their own for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """A frozen dataclass of plain fields, so that pandas.DataFrame takes a list of them as rows."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, as the command of the same name prints it with --json."""
        return asdict(self)


def hex_of(value: bytes) -> str:
    """0x and hexadecimal digits; "-" for what is not there yet."""
    return "0x" + value.hex() if value else "-"
