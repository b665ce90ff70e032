"""Does a local file fit a study? Nothing of it is sent anywhere, and no value is in the answer."""

from __future__ import annotations

import os
from pathlib import Path

from defedbio.client.session import Session
from defedbio.client.specs import AnySpec, resolve
from defedbio.learning.data import DataReport, open_adapter


class Data:
    def __init__(self, session: Session) -> None:
        self._session = session

    def check(self, study: AnySpec, data: str | os.PathLike[str]) -> DataReport:
        """Which rows and columns do not fit; `study` is a number on the chain, or a spec, which needs no network.

        Raises:
            InvalidInput, NotFound, Unreachable: if the spec cannot be had.

        Example:
            report = client.data.check(1, "mine.csv")
            report.ok or print(report.to_text())
        """
        return open_adapter(resolve(self._session, study)).check(Path(data))
