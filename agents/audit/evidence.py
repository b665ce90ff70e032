"""All that a bundle proves, and how its values read. Times are those of blocks, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from defedbio.audit.bundle import Manifest
from defedbio.audit.record import Record
from defedbio.chain import events as ev
from defedbio.chain.network import Network
from defedbio.chain.proofs import Header
from defedbio.learning.evaluation_sums import Evaluation
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.view import RoundView
from defedbio.text import printable

NONE = "–"
_LAST_SECOND = 253402300799  # of year 9999


@dataclass(frozen=True)
class Evidence:
    """All that a bundle proves. `metrics`: by round, what it measured of the model that it started from."""

    network: Network
    anchor: Header
    headers: Mapping[int, Header]
    record: Record
    senders: Mapping[bytes, str]
    frame: StudyFrame
    manifest: Manifest
    metrics: Mapping[int, Evaluation]

    def time(self, event: ev.Event) -> str:
        return moment(self.headers[event.meta.block].timestamp)

    def who(self, address: str) -> str:
        """Name and address."""
        name = printable(self.record.name_of(address))
        return f"{name} ({address})" if name else address

    def within(self, view: RoundView) -> list[ev.Event]:
        return [event for event in self.record.events if getattr(event, "round", 0) == view.id]


def moment(seconds: int) -> str:
    """Unix seconds as UTC; as a number where no calendar reaches."""
    if seconds > _LAST_SECOND:
        return f"{seconds} s after 1970"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def hex_of(value: bytes) -> str:
    return f"0x{value.hex()}" if value else NONE
