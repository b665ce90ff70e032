"""Tells outside tools of a study's events: a local program, or an address on the web. Never at a round's expense.

Every receiver has a thread and a bounded queue of its own. An event of the chain is delivered at least once, across restarts too: the
journal holds what arrived, and a node that starts reads all events from the chain again. Its `id` is always the same, for whoever must
count it once. A receiver that is new to the study hears of what comes, not of what was. Once everything up to a block is delivered, and no
reorganisation reaches that deep, the block's number stands for it.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from defedbio.nodes.watching.receivers import DeliveryFailed
from defedbio.report import Reporter
from defedbio.threads import kept_up

FORMAT = "defedbio-event/1"
ONCE = "once/"
DEEP = 256  # blocks below the newest event; of deeper ones a reorganisation is not told
SETTLED_EACH = 32  # deliveries
LEFT_OUT = frozenset({"at", "level", "phase", "status", "retry", "waiting", "fatal", "during"})


@dataclass(frozen=True)
class Policy:
    """`tries` a delivery, with pauses from `first_backoff` seconds doubled up to `longest_backoff`; at most `waiting` events in a queue."""

    tries: int = 6
    first_backoff: float = 1.0
    longest_backoff: float = 60.0
    waiting: int = 256


class Receiver(Protocol):
    """`shown` is its name in logs, without anything secret; `identity` tells it from others and stays the same over restarts."""

    shown: str
    identity: str

    def deliver(self, event: dict[str, Any]) -> None:
        """Raises DeliveryFailed; returns or raises within a bounded time."""
        ...

    def close(self) -> None:
        """End a delivery under way, from another thread."""
        ...


class Memory(Protocol):
    """The part of a journal that deliveries need."""

    def get(self, key: str) -> dict[str, Any] | None: ...

    def put(self, key: str, value: dict[str, Any]) -> None: ...

    def put_once(self, key: str, value: dict[str, Any]) -> dict[str, Any]: ...

    def delete(self, *keys: str) -> None: ...

    def sizes(self) -> Mapping[str, int]: ...


class Hooks:
    """`sink` takes the node's records and hands those that are events to every receiver. `since` is the chain's newest block: a receiver
    that the journal does not know hears of later ones only."""

    def __init__(self, receivers: Sequence[Receiver], journal: Memory, report: Reporter, since: int, policy: Policy | None = None) -> None:
        self._deliveries = [_Delivery(receiver, journal, report, since, policy or Policy()) for receiver in receivers]

    def sink(self, record: dict[str, Any]) -> None:
        if "event" in record:
            event = document_of(record)
            for delivery in self._deliveries:
                delivery.take(event)

    def close(self, seconds: float) -> None:
        """Wait at most about `seconds` for what is queued, then end. What did not arrive is delivered at the next start."""
        deadline = time.monotonic() + seconds
        for delivery in self._deliveries:
            delivery.finish()
        for delivery in self._deliveries:
            delivery.close(max(0.0, deadline - time.monotonic()))


def document_of(record: dict[str, Any]) -> dict[str, Any]:
    """The event that receivers get: the record without what only logs need, with an id."""
    facts = {name: value for name, value in record.items() if name not in LEFT_OUT}
    return {"format": FORMAT, "id": f"{ONCE}{uuid.uuid4()}", **facts}


def _comes_again(event: dict[str, Any]) -> bool:
    """Whether a node that starts anew tells of it again, as of everything on the chain."""
    return not str(event["id"]).startswith(ONCE)


class _Delivery:
    """One receiver's queue, thread and memory."""

    def __init__(self, receiver: Receiver, journal: Memory, report: Reporter, since: int, policy: Policy) -> None:
        self._receiver, self._journal, self._report, self._policy = receiver, journal, report, policy
        self._name = f"hook/{hashlib.sha256(receiver.identity.encode()).hexdigest()[:32]}"
        self._since = int(journal.put_once(self._name, {"since": since})["since"])
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(policy.waiting)
        self._taken: set[str] = set()
        self._waiting: dict[str, int] = {}  # by id the blocks of the chain's events that have not arrived, and of those that have
        self._arrived: dict[str, int] = {}
        marks = [key for key in journal.sizes() if key.startswith(f"{self._name}/")]
        journal.delete(*(key for key in marks if (journal.get(key) or {}).get("block", self._since + 1) <= self._since))
        self._no_more, self._ended = threading.Event(), threading.Event()
        self._writing = threading.Lock()
        self._thread = kept_up(self._work, "hook", self._ended)

    def take(self, event: dict[str, Any]) -> None:
        if event["id"] in self._taken or event.get("block", self._since + 1) <= self._since:
            return
        self._taken.add(event["id"])
        known = _comes_again(event) and self._journal.get(self._key(event)) is not None
        if "block" in event:
            (self._arrived if known else self._waiting)[event["id"]] = event["block"]
        if known:
            return
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._tell(event, "dropped", f"{self._policy.waiting} others wait")

    def finish(self) -> None:
        self._no_more.set()

    def close(self, seconds: float) -> None:
        self._thread.join(seconds)
        with self._writing:
            self._ended.set()
        if self._thread.is_alive():
            self._receiver.close()
            self._thread.join(1.0)

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                event = self._queue.get(timeout=0.1)
            except queue.Empty:
                if self._no_more.is_set():
                    return
                continue
            try:
                self._deliver(event)
            except Exception:
                self._tell(event, "failed", "its thread died")
                raise

    def _deliver(self, event: dict[str, Any]) -> None:
        pause, reason = self._policy.first_backoff, ""
        for number in range(self._policy.tries):
            if number and self._ended.wait(pause):
                return
            pause = min(2 * pause, self._policy.longest_backoff) if number else pause
            try:
                self._receiver.deliver(event)
            except DeliveryFailed as failure:
                reason = str(failure)
                continue
            self._remember(event)
            self._report.state(delivery="delivered")
            return
        self._tell(event, "failed", reason)

    def _remember(self, event: dict[str, Any]) -> None:
        with self._writing:
            if _comes_again(event) and not self._ended.is_set():
                on_chain = {"block": event["block"]} if "block" in event else {}
                self._journal.put(self._key(event), on_chain or {"delivered": True})
                if on_chain:
                    self._arrived[event["id"]] = self._waiting.pop(event["id"])
                if len(self._arrived) >= SETTLED_EACH:
                    self._settle()

    def _settle(self) -> None:
        """Let the number of a block stand for what arrived up to it."""
        newest = max(self._arrived.copy().values())
        settled = min([block - 1 for block in self._waiting.copy().values()] + [newest - DEEP])
        past = [name for name, block in self._arrived.copy().items() if block <= settled]
        if not past:
            return
        # The number first: a mark that outlives it is deleted at the next start.
        self._journal.put(self._name, {"since": settled})
        self._since = settled
        self._journal.delete(*(f"{self._name}/{name}" for name in past))
        for name in past:
            del self._arrived[name]
        self._taken.difference_update(past)

    def _key(self, event: dict[str, Any]) -> str:
        return f"{self._name}/{event['id']}"

    def _tell(self, event: dict[str, Any], outcome: str, reason: str) -> None:
        again = "; again at the next start" if _comes_again(event) else ""
        message = f"{event['event']} was not delivered to {self._receiver.shown}: {reason}{again}"
        self._report.note(message, level="warning", delivery=outcome)
