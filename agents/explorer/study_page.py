"""A study's page: what was agreed, its rounds as a timeline, the metric, gas and bytes by round, privacy budgets."""

from __future__ import annotations

import json
from typing import Any

from defedbio.chain import events as ev
from defedbio.errors import DefedError
from defedbio.explorer.chart import Chart, chart
from defedbio.explorer.index import Index
from defedbio.explorer.lookups import Lookups
from defedbio.explorer.render import size
from defedbio.explorer.round_page import kind_of
from defedbio.network.describe import consent_to, retired_before
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.view import RoundView, StudyView
from defedbio.web.paging import Numbers


def study_page(study: StudyView, index: Index, lookups: Lookups, pages: Numbers) -> dict[str, Any]:
    """Rounds newest first."""
    frame: StudyFrame | None = None
    trouble = ""
    try:
        frame = lookups.frame(study.id)
        trouble = "" if frame else "it is being read from IPFS"
    except DefedError as error:
        trouble = error.message
    page = pages.newest("rounds", [view for _, view in sorted(study.rounds.items())])
    ends = {view.id: _ends(index, view) for view in page.rows}
    times = lookups.times([event for pair in ends.values() for event in pair])
    aim = lookups.aim(frame) if frame else ""
    return {
        "study": study,
        "complete": study.complete,
        "name": frame.spec.name if frame else "",
        "words": _words(study, frame, index) if frame else "",
        "spec_text": json.dumps(json.loads(frame.spec.raw), indent=2) if frame else "",
        "spec_error": trouble,
        "rounds": page.holding([_row(view, frame, lookups, [times.get(e.meta.block_hash) for e in ends[view.id]]) for view in page.rows]),
        "aim": aim,
        "charts": _charts(study, frame, lookups, aim) if frame else [],
        "budgets": budgets(study) if (frame and frame.spec.privacy) or any(v.privacy for v in study.rounds.values()) else [],
        "budget": frame.spec.privacy if frame else None,
    }


def _words(study: StudyView, frame: StudyFrame, index: Index) -> str:
    """What everyone who joined said yes to."""
    with index.read() as tables:
        epoch = tables.epochs.get(study.key_epoch)
        retired = retired_before(study.id, study.key_epoch, tables.by_epoch.get(study.key_epoch, ()))
    if epoch is None or study.rules is None:
        return ""
    return str(consent_to(study.id, study, study.rules, frame.spec, epoch, index.name_of, retired))


def _row(view: RoundView, frame: StudyFrame | None, lookups: Lookups, times: list[int | None]) -> dict[str, Any]:
    opened, last = times if len(times) == 2 else (None, None)
    return {
        "view": view,
        "kind": kind_of(frame, view),
        "opened": opened,
        "took": last - opened if view.phase.ended and opened is not None and last is not None else None,
        "gas": lookups.gas_of_round(view.id),
        "bytes": _bytes(frame, view, lookups),
        "metrics": lookups.known_metrics(view.id),
    }


def _ends(index: Index, view: RoundView) -> list[ev.Event]:
    """The round's first event and its newest one."""
    with index.read() as tables:
        events = tables.by_round.get(view.id) or ()
        return [events[0], events[-1]] if events else []


def _bytes(frame: StudyFrame | None, view: RoundView, lookups: Lookups) -> int | None:
    """Of all updates that were revealed."""
    return lookups.update_bytes(frame, view) * len(view.reveals) if frame and view.step < len(frame.steps) else None


def _charts(study: StudyView, frame: StudyFrame, lookups: Lookups, aim: str) -> list[Chart]:
    """By round: the metric, gas and bytes, each where at least two rounds have one."""
    metric, gas, sent = [], [], []
    for number, view in sorted(study.rounds.items()):
        measured = lookups.known_metrics(number)
        found = measured.values.get(aim) if measured is not None else None
        if found is not None:
            metric.append((float(number), float(found)))
        if (spent := lookups.gas_of_ended_round(number)) is not None:
            gas.append((float(number), float(spent)))
        if view.phase.ended and (moved := _bytes(frame, view, lookups)) is not None:
            sent.append((float(number), float(moved)))
    drawn = [chart(aim, metric)] if len(metric) > 1 else []
    drawn += [chart("gas", gas, _short, zero=True)] if len(gas) > 1 else []
    drawn += [chart("bytes of updates", sent, lambda n: size(round(n)), zero=True)] if len(sent) > 1 else []
    return drawn


def _short(number: float) -> str:
    return f"{number / 1e6:.3g} M" if number >= 1e6 else f"{number / 1e3:.3g} k" if number >= 1e3 else f"{number:.0f}"


def budgets(study: StudyView) -> list[tuple[str, float | None, float | None]]:
    """By organisation, the total epsilon it declared and at which delta; None for one that declared nothing. Declared totals never fall."""
    latest: dict[str, tuple[float, float]] = {}
    for _, view in sorted(study.rounds.items(), reverse=True):
        for who, loss in view.privacy.items():
            latest.setdefault(who, (loss.epsilon_total, loss.delta))
        if len(latest) >= len(study.participants):
            break
    return [(who, *latest.get(who, (None, None))) for who in study.participants]
