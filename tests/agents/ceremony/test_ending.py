"""What goes with a share that ends (K3)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.ceremony import ending
from defedbio.config import Home, write_private
from defedbio.domain import CeremonyKind, KeyEpochStatus
from defedbio.errors import BlobUnavailable
from defedbio.network.transport import new_transport_key

ME = "0x" + "a1" * 20


def gone(epoch: int) -> Any:
    raise BlobUnavailable("nobody has the transcript any more")


@pytest.mark.parametrize(("kind", "keeps"), [(CeremonyKind.DEALER, False), (CeremonyKind.DISTRIBUTED, True)])
def test_a_share_that_no_dealer_sealed_leaves_the_transport_key(tmp_path: Path, kind: CeremonyKind, keeps: bool) -> None:
    home = Home(tmp_path)
    write_private(home.transport, new_transport_key("password"))
    epoch = SimpleNamespace(epoch=1, kind=kind, status=KeyEpochStatus.ACTIVE, holders=(ME,))
    connection: Any = SimpleNamespace(keys=SimpleNamespace(epoch_of=lambda number: epoch), transcript=gone)
    assert ending.keeps_transport_key(connection, home, 1, ME) is keeps
