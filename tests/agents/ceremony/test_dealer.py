"""K2 for a home from a backup: a share that is sealed to a transport key which is not here any more."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.ceremony import dealer
from defedbio.chain.values import KeyEpoch
from defedbio.crypto.ceremony import Holder
from defedbio.crypto.sealing import transport_public
from defedbio.domain import BitSet, CeremonyKind, KeyEpochStatus
from defedbio.errors import InvalidInput, InvalidKey
from defedbio.report import Reporter

EPOCH, ACCOUNT = 2, "0x" + "a1" * 20
OLD, NEW = b"\x01" * 32, b"\x02" * 32


@dataclass
class Chain:
    """A connection on which a key was dealt whose share for this account is sealed to `sealed_to`."""

    published: bytes
    sealed_to: bytes
    confirmed: bool = False
    sent: list[tuple[str, str]] = field(default_factory=list)

    client = SimpleNamespace(address=ACCOUNT)
    report = Reporter(lambda _record: None)

    @property
    def keys(self) -> Any:
        return SimpleNamespace(
            holder_index=lambda _epoch, _account: 1,
            epoch_of=self._epoch,
            reject=lambda _key, _epoch, reason: ("reject", reason),
        )

    @property
    def registry(self) -> Any:
        return SimpleNamespace(profile_of=lambda _account: SimpleNamespace(transport_key=transport_public(self.published)))

    def transcript(self, epoch: int) -> tuple[KeyEpoch, Any]:
        return self._epoch(epoch), SimpleNamespace(holders=(Holder(ACCOUNT, transport_public(self.sealed_to)),))

    def send(self, transaction: tuple[str, str]) -> None:
        self.sent.append(transaction)

    def _epoch(self, epoch: int) -> KeyEpoch:
        said = BitSet.of(0) if self.confirmed else BitSet.of()
        status = KeyEpochStatus.PROPOSED
        return KeyEpoch(epoch, ACCOUNT, 1, CeremonyKind.DEALER, status, 2048, said, BitSet.of(), bytes(32), bytes(32), (ACCOUNT,))


def confirm(chain: Chain, folder: Path) -> None:
    dealer.confirm(chain, EPOCH, NEW, folder / "share.json", "a long password")  # type: ignore[arg-type]


def test_c7_a_home_whose_transport_key_is_not_published_rejects_nothing(tmp_path: Path) -> None:
    chain = Chain(published=OLD, sealed_to=OLD)
    with pytest.raises(InvalidInput, match="not the one that this organisation has published") as refused:
        confirm(chain, tmp_path)
    assert not isinstance(refused.value, InvalidKey) and "defedbio register" in refused.value.hint
    assert chain.sent == [], "in the right home it could be opened"


def test_c7_a_key_that_was_dealt_to_the_transport_key_of_before_is_rejected_once_another_is_published(tmp_path: Path) -> None:
    chain = Chain(published=NEW, sealed_to=OLD)
    with pytest.raises(InvalidKey, match="sealed to another transport key"):
        confirm(chain, tmp_path)
    ((what, reason),) = chain.sent
    assert what == "reject" and "sealed to another transport key than this organisation has published now" in reason


def test_c7_a_confirmed_share_that_cannot_be_opened_any_more_is_told_and_not_rejected(tmp_path: Path) -> None:
    chain = Chain(published=NEW, sealed_to=OLD, confirmed=True)
    with pytest.raises(InvalidKey, match="sealed to another transport key") as refused:
        confirm(chain, tmp_path)
    assert chain.sent == [] and "only a backup that holds it" in refused.value.hint and not list(tmp_path.iterdir())
