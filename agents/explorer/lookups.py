"""What pages need beyond the events: block times, gas, specs, metrics. Asked for aside, then remembered."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

from defedbio.chain.events import Event
from defedbio.crypto import wire
from defedbio.domain import Phase
from defedbio.errors import DefedError, NotFound, Unreachable
from defedbio.explorer.index import Index
from defedbio.explorer.lookup import Lookup
from defedbio.learning.evaluation_sums import Evaluation, summary
from defedbio.learning.tasks import open_task
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.reading import Reader
from defedbio.protocol.view import RoundView, StudyView

PAGE_SECONDS = 1.5
AGAIN_SECONDS = 5.0
SWEEP_SECONDS = 60.0


class Lookups:
    """`page_seconds` is how long one page waits for what it has not got. Numbers of studies and rounds go with `index.forks`: after a
    reorganisation the same number may name another."""

    def __init__(self, connection: Reader, index: Index, page_seconds: float = PAGE_SECONDS) -> None:
        self.connection, self.index, self.page_seconds = connection, index, page_seconds
        chain, ipfs = ThreadPoolExecutor(8, "chain"), ThreadPoolExecutor(2, "specs")
        self._pools = (chain, ipfs)
        self._times: Lookup[bytes, int] = Lookup(self._time, chain, 100_000)
        self._gas: Lookup[bytes, int] = Lookup(self._gas_used, chain, 300_000)
        self._balances: Lookup[str, int] = Lookup(self._balance, chain, 1000, keep=AGAIN_SECONDS)
        self._frames: Lookup[tuple[int, int], StudyFrame] = Lookup(lambda key: connection.frame(key[1]), ipfs, 64)
        self._metrics: Lookup[tuple[int, int], Evaluation] = Lookup(self._read_metrics, ipfs, 20_000)
        self._round_gas: dict[tuple[int, int], int] = {}

    def stop(self) -> None:
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    # -- the chain ---------------------------------------------------------------------------------------------------------------

    def times(self, events: Iterable[Event]) -> dict[bytes, int]:
        """Unix seconds by block hash, of those blocks whose time is known in time."""
        hashes = {event.meta.block_hash for event in events}
        self._together(self._times, hashes, self.page_seconds)
        return {h: at for h in hashes if (at := self._times.known(h)) is not None}

    def gas_of_tx(self, tx_hash: bytes) -> int | None:
        """The transaction's gas if it is known; `fill` makes it known."""
        return self._gas.known(tx_hash)

    def gas_of_round(self, round_: int) -> int | None:
        """All gas that transactions of the round paid for, if all is known."""
        key = (self.index.forks, round_)
        if key in self._round_gas:
            return self._round_gas[key]
        spent = [self._gas.known(tx) for tx in self._transactions(round_)]
        return None if None in spent else sum(gas for gas in spent if gas is not None)

    def gas_of_ended_round(self, round_: int) -> int | None:
        """As `gas_of_round`, if `fill` found it: cheap enough for every round of a study."""
        return self._round_gas.get((self.index.forks, round_))

    def balance(self, address: str) -> int | None:
        """Wei, None if the chain does not say in time."""
        with suppress(DefedError):
            return self._balances.get(address, self.page_seconds)
        return None

    def fill(self, study: StudyView, view: RoundView) -> bool:
        """Ask for a round's gas, and for its metrics if it is final; whether anything is newly known. What cannot be had stays open."""
        key = (self.index.forks, view.id)
        new = False
        if key not in self._round_gas:
            missing = [tx for tx in self._transactions(view.id) if self._gas.known(tx) is None]
            self._together(self._gas, missing, SWEEP_SECONDS)
            new = any(self._gas.known(tx) is not None for tx in missing)
            if view.phase.ended and (spent := self.gas_of_round(view.id)) is not None:
                self._round_gas[key] = spent
                new = True
        if view.phase == Phase.FINALISED and self._metrics.known(key) is None:
            with suppress(DefedError):
                new |= self._metrics.get(key, SWEEP_SECONDS) is not None
        return new

    def _transactions(self, round_: int) -> set[bytes]:
        with self.index.read() as tables:
            return {e.meta.tx_hash for e in tables.by_round.get(round_, ())}

    def _balance(self, address: str) -> int:
        return self.connection.client.balance(address)

    def _time(self, block_hash: bytes) -> int:
        return self.connection.client.block_by_hash(block_hash).timestamp

    def _gas_used(self, tx_hash: bytes) -> int:
        receipt = self.connection.client.receipt(tx_hash)
        if receipt is None:
            raise NotFound("the chain has no such transaction")
        return receipt.gas_used

    def _together(self, lookup: Lookup[bytes, int], keys: Iterable[bytes], seconds: float) -> None:
        with suppress(Unreachable):
            wait([lookup.ask(key) for key in keys if lookup.known(key) is None], seconds)

    # -- studies -----------------------------------------------------------------------------------------------------------------

    def frame(self, study: int, seconds: float | None = None) -> StudyFrame | None:
        """The study's spec and key, checked against the chain; None while they are read.

        Raises:
            DefedError: if IPFS does not deliver them, or they are not those of the chain's hashes.
        """
        return self._frames.get((self.index.forks, study), self.page_seconds if seconds is None else seconds)

    def known_frame(self, study: int) -> StudyFrame | None:
        return self._frames.known((self.index.forks, study))

    def update_bytes(self, frame: StudyFrame, view: RoundView) -> int:
        """Bytes of one organisation's update in this round."""
        return frame.blob_size(wire.BlobKind.UPDATE, view)

    def known_metrics(self, round_: int) -> Evaluation | None:
        """The metrics of the model that the round started from, if they were read already."""
        return self._metrics.known((self.index.forks, round_))

    def _read_metrics(self, key: tuple[int, int]) -> Evaluation:
        """What the encrypted evaluation in the round's model says; nothing where the study has none."""
        study, view = self.index.round(key[1])
        frame = self._frames.known((key[0], study.id)) or self.connection.frame(study.id)
        if frame.spec.evaluation is None or not frame.step(view).measures:
            return Evaluation({})
        return summary(frame.spec, self.connection.fetcher(frame).model(view))

    def aim(self, frame: StudyFrame) -> str:
        """The metric that the study goes by."""
        return open_task(frame.spec).aim.metric
