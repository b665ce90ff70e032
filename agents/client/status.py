"""The organisation's own state in its studies, read again and again."""

from __future__ import annotations

from dataclasses import replace

from defedbio.client.session import Session
from defedbio.nodes.watching.status import Status, StatusReader

__all__ = ["States", "Status"]


class States:
    """Remembers what it read of the chain, so that the next look at a study reads what is new."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._readers: dict[int, StatusReader] = {}

    def now(self, study: int) -> Status:
        """See Client.top."""
        if study not in self._readers:
            # A look waits for nobody: an IPFS node that does not answer is something to show.
            connection = replace(self._session.reader(), store=self._session.impatient_store())
            self._readers[study] = StatusReader(connection, self._session.home, study)
        return self._readers[study].read()
