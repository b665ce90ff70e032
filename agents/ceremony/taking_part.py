"""Taking part in a ceremony without a dealer, until it has succeeded or failed: read the chain, decide, act. Start and restart are the same
path."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from defedbio.ceremony import decide as act
from defedbio.ceremony.decide import decide
from defedbio.ceremony.holder import Holder
from defedbio.ceremony.machine import Terms
from defedbio.ceremony.verdict import Verdict
from defedbio.ceremony.view import CeremonyView, fold
from defedbio.chain.events import fetch_events
from defedbio.errors import BlobUnavailable, ChainUnreachable, ContractRefused, DefedError, InternalFault, Unreachable
from defedbio.network.connection import Connection

RACES = frozenset(
    {
        *("CeremonyUnexpectedStatus", "CeremonyStepMismatch", "CeremonyAlreadyPosted", "CeremonyStepOver", "CeremonyStepNotOver"),
        *("CeremonyEpochProposed", "CeremonyAlreadyPublished", "KeyRegistryUnexpectedStatus", "KeyRegistryAlreadyConfirmed"),
    }
)
"""Refusals of what another did first, or of what a deadline ended: what follows is on the chain."""


@dataclass(frozen=True)
class Pace:
    """`poll_seconds` lie between looks at a quiet chain, and `patience` is how many seconds an endpoint may stay away."""

    poll_seconds: float = 2.0
    patience: float = 600.0


@dataclass(frozen=True)
class Ended:
    """How a ceremony ended; `verdict` where it failed. `diverged` where this home could not go on in it."""

    view: CeremonyView
    verdict: Verdict | None
    diverged: bool = False


def terms_of(connection: Connection, ceremony: int) -> Terms:
    """What was announced, by the newest block. Raises NotFound."""
    found, network = connection.keys.ceremony_of(ceremony), connection.client.network
    where = network.chain_id, network.contracts["KeyRegistry"]
    return Terms(*where, ceremony, found.holders, found.threshold, found.bits, found.step_seconds)


def read(connection: Connection, ceremony: int, confirmations: int, since: int = 0) -> CeremonyView | None:
    """The ceremony by all events that are so many blocks deep; None where its announcement is not, or not from block `since` on.

    All are read each time: they are few, and a reorganisation needs no care.

    Raises:
        ChainUnreachable. BadEvidence: as `fold`.
    """
    client = connection.client
    network = client.network
    for _ in range(3):
        head = client.block(max(client.head().number - confirmations, 0))
        if head is None:
            continue
        first = max(network.deploy_block, since)
        events = fetch_events(client, first, head.number, ceremony=ceremony) if first <= head.number else []
        view = fold(ceremony, events, network.chain_id, network.contracts["KeyRegistry"])
        if view is not None and view.epoch is not None:
            events = fetch_events(client, view.block, head.number, ceremony=ceremony, epoch=view.epoch.number)
            view = fold(ceremony, events, network.chain_id, network.contracts["KeyRegistry"])
        if client.block(head.number) == head:
            return view
    raise ChainUnreachable("the chain is reorganised faster than it can be read", "the next attempt starts from what stands")


def take_part(
    holder: Holder, stop: threading.Event, pace: Pace = Pace(), tell: Callable[[CeremonyView, str], None] = lambda view, step: None
) -> Ended | None:
    """Work until the ceremony has ended, finally; None when `stop` is set before. `tell` gets the view and the step's name at each change.

    Raises:
        NotFound: for a ceremony that is not announced. Unreachable: when chain or IPFS stay away for longer than `pace.patience`.
        ContractRefused, InternalFault, InvalidInput: when going on would be wrong or useless.
    """
    connection, number = holder.connection, holder.terms.ceremony
    told: tuple[CeremonyView, str] | None = None
    away_since: float | None = None
    since = 0
    while not stop.is_set():
        pause = pace.poll_seconds
        try:
            latest = connection.keys.ceremony_of(number)
            view = read(connection, number, connection.client.confirmations, since)
            since = 0 if view is None else view.block
            if view is not None:
                facts = holder.facts(view, latest)
                if told != (view, holder.name):
                    told = view, holder.name
                    tell(*told)
                # What the newest block says is over is over, whatever the clock here says.
                now = max(time.time(), connection.client.head().timestamp)
                action = decide(view, facts, now)
                if isinstance(action, act.End):
                    return Ended(view, holder.end(view), facts.diverged)
                if isinstance(action, act.Wait):
                    pause = min(pause, pause if action.seconds is None else action.seconds)
                else:
                    holder.perform(view, action, now)
                    pause = 0.0
            away_since = None
        except ContractRefused as error:
            if error.name not in RACES:
                raise
            connection.report.note(error.message, retry="refusal")
        except BlobUnavailable as error:
            # The step's time bounds how long it is tried.
            connection.report.note(error.message, level="warning", retry="fetch")
        except Unreachable as error:
            now = time.monotonic()
            away_since = now if away_since is None else away_since
            if now - away_since > pace.patience:
                raise
            connection.report.note(f"{error.message}; again in {pause:.0f} s", level="warning", retry="fetch")
        except DefedError:
            raise
        except Exception as error:
            # A fault of ours that a peer's message may have found. Its text may hold a secret, so it is not told.
            *_, last = traceback.extract_tb(error.__traceback__)
            place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            raise InternalFault(place, "report it; the same command goes on where the journal ends") from error
        stop.wait(pause)
    return None
