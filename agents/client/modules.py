"""The operator's own torch modules: nothing that a study names runs here unless it was allowed."""

from __future__ import annotations

import os
from pathlib import Path

from defedbio.client.session import Session
from defedbio.network import modules

Digests = list[str]


class Modules:
    def __init__(self, session: Session) -> None:
        self._session = session

    def allow(self, source: str | os.PathLike[str]) -> str:
        """Run the file once to check it, keep a copy, and return the sha256 that a study's spec must name. Read the file before.

        Raises:
            InvalidInput: if it cannot be read or does not define build(spec).

        Example:
            digest = client.module.allow("own_model.py")
        """
        return modules.allow(self._session.home.modules, Path(source))

    def list(self) -> Digests:
        """The hashes of the modules that studies may use here.

        Raises:
            InvalidInput, NotFound: naming a file that changed since it was allowed.

        Example:
            digest in client.module.list()
        """
        return sorted(modules.sources(self._session.home.modules))
