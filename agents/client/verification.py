"""A finished round, checked again."""

from __future__ import annotations

from collections.abc import Callable

from defedbio.client.session import Session
from defedbio.protocol.verify import Check, verify_round

__all__ = ["Check", "verify"]


def verify(session: Session, round: int, on_check: Callable[[Check], None]) -> list[Check]:
    """See Client.verify."""
    connection = session.reader()
    on_chain = connection.rounds.round_of(round)
    frame = connection.frame(on_chain.study)
    study = connection.study_view(on_chain.study)
    holders = connection.keys.epoch_of(frame.spec.key_epoch).holders
    checks = []
    for check in verify_round(connection.fetcher(frame), study, study.rounds[round], holders):
        checks.append(check)
        on_check(check)
    return checks
