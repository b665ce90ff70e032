"""From chain and IPFS to the files of a bundle: events' receipts with proofs, the anchor's state, and blobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from defedbio.audit.blobs import ENCRYPTED, blob_name, documents
from defedbio.audit.bundle import NETWORK, STATE, canonical
from defedbio.audit.proof_files import BlockFile, Entry, State, block_name, proven_events, write_network
from defedbio.audit.record import Record, about, epoch_of, people_of, record_of
from defedbio.audit.storage import expected, foreign_rounds
from defedbio.chain import events as ev
from defedbio.chain.client import ChainClient
from defedbio.chain.events import fetch_events
from defedbio.chain.network import CONTRACTS
from defedbio.chain.proofs import Header, index_nodes, index_trie, pool
from defedbio.errors import BlobUnavailable, ChainUnreachable, NotFound, PeerFault
from defedbio.network.connection import FETCH_SECONDS
from defedbio.protocol.evidence import Wanted, round_blobs
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.reading import Reader
from defedbio.protocol.view import StudyView, fold

Progress = Callable[[str, int, int], None]
MEMBERSHIP = (ev.ParticipantRegistered, ev.VoteCast, ev.MemberAdmitted, ev.MemberRemoved)


class Collector:
    """Writes into `folder`. `progress(what, done, total)` is called often."""

    def __init__(self, connection: Reader, study: int, folder: Path, progress: Progress) -> None:
        self.connection, self.study, self.folder, self._progress = connection, study, folder, progress
        self.client: ChainClient = connection.client
        self.missing: list[str] = []

    def chain(self, anchor: Header) -> Record:
        """Network, blocks with proofs, and the state at the anchor.

        Raises:
            NotFound: for an unknown study. ChainUnreachable: if the node does not have what its headers promise.
        """
        self._write(NETWORK, write_network(self.client.network))
        blocks = list(self._blocks(anchor, self._events(anchor)))
        record = record_of(self.study, proven_events(self.client.network, blocks)[0])
        for block in blocks:
            self._write(block_name(block.header.number), block.to_document())
        if (state := self._state(anchor, record)) is not None:
            self._write(STATE, state.to_document(anchor.number))
        return record

    def documents(self, record: Record) -> None:
        """Spec and key transcript.

        Raises:
            BlobUnavailable, MalformedBlob, BlobMismatch: with whose blob it is.
        """
        for wanted in documents(record):
            if not self._fetch(wanted):
                raise BlobUnavailable(f"nobody delivers the {wanted.kind}, without which nothing of the study can be read")

    def blobs(self, frame: StudyFrame, record: Record, updates: bool) -> None:
        """What finalised rounds published. What nobody delivers is noted as missing: of such a round the bundle is not complete.

        Raises:
            MalformedBlob, BlobMismatch: with whose blob it is, of one that verification needs.
        """
        wanted = [w for view in record.view.finalised for w in round_blobs(frame, view) if updates or w.kind not in ENCRYPTED]
        for done, blob in enumerate(wanted, 1):
            self._fetch(blob)
            self._progress("blobs", done, len(wanted))

    def _events(self, anchor: Header) -> list[ev.Event]:
        first, last = self.client.network.deploy_block, anchor.number
        named = fetch_events(self.client, first, last, study=self.study)
        view: StudyView = fold(StudyView(self.study), named)
        if view.rules is None:
            raise NotFound(f"there is no study {self.study}", "see `defedbio study show`")
        rounds = sorted(view.rounds)
        within = fetch_events(self.client, first, last, rounds=rounds) if rounds else []
        key = fetch_events(self.client, first, last, epoch=view.key_epoch)
        people = frozenset(people_of(view, epoch_of(view.key_epoch, key)[0]))
        members = [e for e in fetch_events(self.client, first, last, kinds=MEMBERSHIP) if about(e, people)]
        return [*named, *within, *key, *members]

    def _blocks(self, anchor: Header, events: Iterable[ev.Event]) -> Iterator[BlockFile]:
        wanted: dict[int, set[bytes]] = {anchor.number: set()}
        for event in events:
            wanted.setdefault(event.meta.block, set()).add(event.meta.tx_hash)
        for done, number in enumerate(sorted(wanted), 1):
            header = anchor if number == anchor.number else self.client.header(number)
            yield self._block(header, wanted[number])
            self._progress("blocks", done, len(wanted))

    def _block(self, header: Header, ours: set[bytes]) -> BlockFile:
        if not ours:
            return BlockFile(header, (), True, {})
        hashes = self.client.transaction_hashes(header)
        if not ours <= set(hashes):
            raise ChainUnreachable(f"block {header.number} changed while it was read", "the chain was reorganised; try again")
        indices = [index for index, tx in enumerate(hashes) if tx in ours]
        receipts = index_trie(self.client.encoded_receipts(header))
        if receipts.root_hash != header.receipts_root:
            raise ChainUnreachable(
                f"the receipts of block {header.number} do not have the root of its header",
                "this chain's receipts may have a form that this version does not know",
            )
        nodes = index_nodes(receipts, indices)
        raw = self.client.encoded_transactions(header)
        transactions = index_trie(raw) if raw is not None else None
        signed = transactions is not None and transactions.root_hash == header.transactions_root
        if transactions is not None and signed:
            nodes |= index_nodes(transactions, indices)
        return BlockFile(header, tuple(Entry(index, hashes[index]) for index in indices), signed, pool(nodes))

    def _state(self, anchor: Header, record: Record) -> State | None:
        slots: dict[str, list[int]] = {name: [] for name in CONTRACTS}
        for word in expected(record):
            slots[word.contract].append(word.slot)
        slots["RoundManager"] += [slot for _, slot in foreign_rounds(record)]
        nodes: list[bytes] = []
        for done, name in enumerate(CONTRACTS, 1):
            found = self.client.state_nodes(self.client.network.contracts[name], slots[name], anchor)
            if found is None:
                return None
            nodes += found
            self._progress("state proofs", done, len(CONTRACTS))
        code = {name: self.client.code(self.client.network.contracts[name], anchor) for name in CONTRACTS}
        return State(pool(nodes), code)

    def _fetch(self, wanted: Wanted) -> bool:
        """Whether the blob is in the folder now."""
        target = self.folder / blob_name(wanted.cid)
        if target.exists():
            return True
        try:
            raw = self.connection.peers.fetch(wanted.cid, wanted.owner, wanted.most, FETCH_SECONDS, wanted.others)
        except (BlobUnavailable, PeerFault) as error:
            if wanted.needed and isinstance(error, PeerFault):
                raise
            self.missing.append(wanted.cid)
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(raw)
        return True

    def _write(self, name: str, document: dict[str, Any]) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(canonical(document))
