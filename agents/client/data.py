"""Does a local file fit a study? Nothing of it is sent anywhere, and no value is in the answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from defedbio.client.session import Session
from defedbio.client.specs import AnySpec, resolve

if TYPE_CHECKING:
    from defedbio.learning.data import DataReport


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
        spec = resolve(self._session, study)
        from defedbio.learning.data import open_adapter

        return open_adapter(spec).check(Path(data))
