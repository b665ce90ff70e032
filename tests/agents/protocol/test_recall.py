"""A past round's details, read from the chain again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks.explorer import chain
from defedbio.chain.events import Event
from defedbio.chain.parse import parse_logs
from defedbio.chain.records import RawLog
from defedbio.errors import ChainUnreachable
from defedbio.protocol.condense import condense
from defedbio.protocol.reading import Reader
from defedbio.protocol.view import StudyView, fold
from defedbio.report import Reporter


class Client:
    """Answers as an Ethereum node that holds these events."""

    network = chain.network("http://node")
    rpc_shown = "http://node"

    def __init__(self, events: Sequence[Event]) -> None:
        self.logs = parse_logs([chain.log(event) for event in events])

    def get_logs(self, first: int, last: int, addresses: Sequence[str], topics: Sequence[Sequence[bytes] | None] = ()) -> list[RawLog]:
        def wanted(log: RawLog) -> bool:
            return all(options is None or (at < len(log.topics) and log.topics[at] in options) for at, options in enumerate(topics))

        return [log for log in self.logs if first <= log.block <= last and log.address in addresses and wanted(log)]


def reader(events: Sequence[Event]) -> Reader:
    client: Any = Client(events)
    return Reader(client, None, Reporter(lambda _: None))  # type: ignore[arg-type]


def test_a_past_round_is_read_again_as_it_was() -> None:
    events = list(chain.events(6, 4))
    full = fold(StudyView(1), events)
    past = condense(full, 6, chain.THRESHOLD).past
    assert sorted(past.rounds) == [1, 2, 3, 4]
    for number, gone in past.rounds.items():
        again = reader(events).recall(1, gone)
        assert again == full.rounds[number] and again.basis == full.rounds[number].basis


def test_a_node_that_no_longer_tells_of_it_is_named() -> None:
    events = list(chain.events(6, 4))
    gone = condense(fold(StudyView(1), events), 6, chain.THRESHOLD).past.rounds[2]
    with pytest.raises(ChainUnreachable, match="tells of no round 2 in blocks"):
        reader([event for event in events if getattr(event, "round", 0) != 2]).recall(1, gone)
