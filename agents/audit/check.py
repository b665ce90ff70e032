"""Check a bundle: manifest, network, headers, contracts, proofs, signers, storage, documents, every round by `verify_round`, the report
itself, and the chain. No network is used but for the last, and for that only where the auditor names a node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from defedbio.audit import render, signers
from defedbio.audit.against import Against
from defedbio.audit.blobs import BundlePeers, blob_name
from defedbio.audit.bundle import CRATE, MANIFEST, MAX_JSON_BYTES, Files, Manifest, Zip, bundle_id, digests, is_packed_as, open_bundle, read
from defedbio.audit.evidence import Evidence
from defedbio.audit.proof_files import BlockFile, proven_events, read_blocks, read_network, read_state
from defedbio.audit.record import Record, record_of
from defedbio.audit.storage import expected, foreign_rounds
from defedbio.audit.verdict import NotPossible, OwnWord
from defedbio.chain.client import ChainClient
from defedbio.chain.network import CONTRACTS, Network
from defedbio.chain.proofs import Header
from defedbio.crypto.ceremony import CeremonyTranscript
from defedbio.errors import BadEvidence, BlobUnavailable, InvalidInput, PeerFault, WrongChain
from defedbio.learning.evaluation_sums import Evaluation, summary
from defedbio.network.connection import MAX_TRANSCRIPT_BYTES, spec_of, transcript_of
from defedbio.protocol.evidence import round_blobs, whole
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.verify import Check, verify_round
from defedbio.protocol.view import RoundView
from defedbio.report import Reporter
from defedbio.spec import MAX_SPEC_BYTES

NOTHING = Against()


def check_bundle(path: Path, against: Against = NOTHING) -> Iterator[Check]:
    """Every check of a bundle, as it is made; see BundleCheck."""
    return BundleCheck(path, against).run()


class BundleCheck:
    """One check of a bundle against what the auditor brings. `id`, `manifest` and `anchor` are there as far as `run` has come."""

    def __init__(self, path: Path, against: Against = NOTHING) -> None:
        self.path, self.against = path, against
        self.id = ""
        self.manifest: Manifest | None = None
        self.anchor: Header | None = None

    def run(self) -> Iterator[Check]:
        """In order; later checks are left out where an earlier one on which they rest has failed.

        Raises:
            InvalidInput: if there is no bundle at the path. ChainUnreachable: if the node does not answer.
        """
        try:
            with open_bundle(self.path) as files:
                yield from self._checks(files)
        except BadEvidence as error:
            yield Check("files", False, error.message)

    def _checks(self, files: Files) -> Iterator[Check]:
        made = list(self._manifest(files))
        yield from made
        if self.manifest is None or not all(check.ok for check in made):
            return
        try:
            own = read_network(files)
        except InvalidInput as error:
            yield Check("network", False, error.message)
            return
        named = self._network(own)
        yield named
        if not named.ok:
            return
        network = self.against.network or own
        examination = Examination(files, self.manifest, network)
        done = []
        for check in examination.run():
            done.append(check)
            yield check
        if examination.evidence is None:
            return
        self.anchor = examination.evidence.anchor
        yield self._report(files, self.manifest, examination.evidence, done)
        yield from self._chain(examination.blocks, self.anchor, network)

    def _manifest(self, files: Files) -> Iterator[Check]:
        raw = read(files, MANIFEST, MAX_JSON_BYTES)
        self.id = bundle_id(raw)
        if self.against.id and self.id != self.against.id:
            detail = f"{MANIFEST}: the bundle's id is {self.id}, not {self.against.id}: it is another bundle, or it was changed"
            yield Check("manifest", False, detail)
            return
        try:
            self.manifest = Manifest.from_bytes(raw)
        except InvalidInput as error:
            yield Check("manifest", False, f"{MANIFEST}: {error.message}")
            return
        wrong = [Check("manifest", False, detail) for detail in _wrong_files(files, self.manifest)]
        yield from wrong
        if wrong:
            return
        if isinstance(files, Zip) and not is_packed_as(files, self.path):
            yield Check("manifest", False, f"{self.path.name}: the zip file's own structure was changed")
            return
        known = "the one you gave" if self.against.id else "not compared with one that you know"
        yield Check("manifest", True, f"{len(self.manifest.files)} files match; id {self.id}, {known}")

    def _network(self, own: Network) -> Check:
        """Whether the bundle is of the network that the auditor means."""
        name, said = "network", _named(own)
        if self.against.network is None:
            return OwnWord(name, True, f"{said}: as the bundle itself says; give the network file that you trust to have it compared")
        if said != (meant := _named(self.against.network)):
            return Check(name, False, f"the bundle is of another network than yours: it has {said}; you gave {meant}")
        return Check(name, True, f"{said}, as in the network file that you gave")

    def _report(self, files: Files, manifest: Manifest, evidence: Evidence, checks: list[Check]) -> Check:
        """The report, written anew from the evidence, must be the one in the bundle."""
        if manifest.rendering != render.fingerprint():
            written = "written by another version of this software, so that it cannot be held against the evidence"
            if self.against.id:
                return Check("report", True, f"{written}; it is the one of the bundle's id")
            return NotPossible("report", True, f"{written}: read what this check prints, or give the bundle's id")
        for name, content in render.documents(evidence, checks).items():
            if files.sizes().get(name) != len(content) or read(files, name, len(content)) != content:
                return Check("report", False, f"{name} says something else than the evidence")
        return Check("report", True, f"report, controls and {CRATE} are what the evidence gives, byte for byte")

    def _chain(self, blocks: list[BlockFile], anchor: Header, network: Network) -> Iterator[Check]:
        """Whether the headers are those of the chain that the auditor means."""
        name, last = "chain", f"block {anchor.number}, 0x{anchor.hash.hex()}"
        if self.against.block and self.against.block != anchor.hash.hex():
            yield Check(name, False, f"the bundle speaks as of {last}, and not of the block whose hash you gave")
        elif self.against.rpc:
            yield _compared(name, blocks, ChainClient(self.against.rpc, network))
        elif self.against.block:
            settled = "what storage keeps is settled; times, names, votes and CIDs rest on headers that were compared with nothing"
            yield NotPossible(name, True, f"{last}, is the one you gave: {settled}")
        else:
            yield OwnWord(name, True, f"the headers up to {last}, are as the bundle itself says: compare them with a node that you trust")


class Examination:
    """The checks of the evidence itself; the same when a bundle is made and when it is checked. `evidence` is there once it all folds, and
    `complete` names then the finalised rounds of which the bundle has all that verification needs."""

    def __init__(self, files: Files, manifest: Manifest, network: Network) -> None:
        self.files, self.manifest, self.network = files, manifest, network
        self.blocks: list[BlockFile] = []
        self.evidence: Evidence | None = None
        self.complete: tuple[int, ...] = ()
        self._peers = BundlePeers(files, Reporter(lambda record: None))

    def run(self) -> Iterator[Check]:
        name, network = "headers", self.network
        try:
            self.blocks = read_blocks(self.files)
            headers = {block.header.number: block.header for block in self.blocks}
            anchor = headers.get(self.manifest.anchor)
            if anchor is None or anchor.number != max(headers) or network.chain_id != self.manifest.chain_id:
                raise InvalidInput("the bundle has not the header of the block as of which it speaks")
            yield Check(
                name, True, f"{len(headers)} headers hash to their blocks, the last to 0x{anchor.hash.hex()} (block {anchor.number})"
            )

            name = "contracts"
            state = read_state(self.files)
            if state is None:
                yield NotPossible(name, True, "no state proofs: the node gave none, so that the contracts may be others than ours")
            else:
                state.check_code(network, anchor)
                yield Check(name, True, f"at block {anchor.number} all {len(CONTRACTS)} are those that this software releases")

            name = "receipts"
            events, transactions = proven_events(network, self.blocks)
            receipts = sum(len(block.entries) for block in self.blocks)
            yield Check(name, True, f"{receipts} receipts with {len(events)} events lead from their headers' roots")
            unsigned = receipts - len(transactions)
            name = "transactions"
            if unsigned:
                yield NotPossible(name, True, f"{unsigned} of {receipts} transactions are without proof: the node gave them no encoding")
            else:
                yield Check(name, True, f"{receipts} transactions lead from their headers' roots")
            name = signers.NAME
            yield signers.check_signers(events, transactions, network.chain_id)

            name = "events"
            record = record_of(self.manifest.study, events)
            yield Check(name, True, f"study {record.view.id}: {len(record.view.participants)} enrolled, {len(record.view.rounds)} rounds")

            name = "state"
            if state is None:
                yield NotPossible(name, True, "no state proofs: the node gave none, so that events left out would not be found")
            else:
                words = state.check_storage(network, anchor, expected(record), foreign_rounds(record), record.view.id)
                yield Check(name, True, f"{words} storage words at block {anchor.number} are what the events add up to: none is missing")

            name = "spec"
            study = record.view
            spec = spec_of(self._peers.fetch(study.spec_cid, study.coordinator, MAX_SPEC_BYTES, 0), record.study, study.invited)
            yield Check(name, True, f"its hash is the chain's, 0x{study.spec_hash.hex()}, and its rules are those on chain")

            name = "key"
            raw = self._peers.fetch(record.proposal.transcript_cid, record.epoch.proposer, MAX_TRANSCRIPT_BYTES, 0)
            transcript = transcript_of(raw, record.epoch, network)
            yield Check(name, True, _key(record, transcript))
            frame = StudyFrame(network.chain_id, network.contracts["RoundManager"], study.id, spec, transcript.key)
        except BlobUnavailable as error:
            yield Check(name, False, error.message)
            return
        except PeerFault as error:
            yield Check(name, False, error.message, error.peer)
            return
        except InvalidInput as error:
            yield Check(name, False, error.message)
            return
        fetcher = Fetcher(frame, self._peers, os.urandom, 0.0)
        senders = {transaction.hash: transaction.sender for transaction in transactions.values()}
        self.evidence = Evidence(network, anchor, headers, record, senders, frame, self.manifest, metrics_of(fetcher, record))
        yield self._completeness(frame, record)
        for view in record.view.finalised:
            yield from self._round(fetcher, record, view)

    def _completeness(self, frame: StudyFrame, record: Record) -> Check:
        """For which rounds the bundle is an archive: once nobody keeps their blobs on IPFS any more, it alone verifies them."""
        have = frozenset(name.removeprefix(blob_name("")) for name in self.files.sizes() if name.startswith(blob_name("")))
        self.complete = tuple(view.id for view in record.view.finalised if whole(frame, view, have))
        others = [str(view.id) for view in record.view.finalised if view.id not in self.complete]
        told = ", ".join(map(str, self.complete)) or "none"
        if others:
            return NotPossible("rounds", True, f"complete for {told}; of {', '.join(others)} not all is here that verification needs")
        return Check("rounds", True, f"complete for {told}: all that verification needs of them is here")

    def _round(self, fetcher: Fetcher, record: Record, view: RoundView) -> Iterator[Check]:
        label = f"round {view.id}: "
        try:
            for check in verify_round(fetcher, record.view, view, record.epoch.holders):
                yield Check(label + check.name, check.ok, check.detail, check.peer, check.seconds)
        except InvalidInput as error:
            yield Check(label + "evidence", False, error.message)
        except BlobUnavailable as error:
            if not self.manifest.updates and self._is_left_out(fetcher.frame, view):
                yield NotPossible(label + "updates", True, "left out when the bundle was made: proofs, product, opening cannot be redone")
                yield self._model(fetcher, label, view)
            elif gone := [w for w in round_blobs(fetcher.frame, view) if w.needed and w.cid in self.manifest.missing]:
                found = f"{len(gone)} of its updates could not be had when the bundle was made: proofs, product, opening cannot be redone"
                yield NotPossible(label + "updates", True, found)
                yield self._model(fetcher, label, view)
            else:
                yield Check(label + "blobs", False, error.message)

    def _is_left_out(self, frame: StudyFrame, view: RoundView) -> bool:
        return not any(self._peers.holds(w.cid) for w in round_blobs(frame, view) if w.kind == "update")

    def _model(self, fetcher: Fetcher, label: str, view: RoundView) -> Check:
        try:
            raw = fetcher.model_bytes(view)
        except (PeerFault, BlobUnavailable) as error:
            return Check(label + "model bytes", False, error.message)
        return Check(label + "model bytes", True, f"{len(raw)} bytes of the hash that the holders attested to, 0x{view.model_hash.hex()}")


def metrics_of(fetcher: Fetcher, record: Record) -> dict[int, Evaluation]:
    """What each finalised round measured of the model that it started from, where the study evaluates under encryption."""
    frame, found = fetcher.frame, dict[int, Evaluation]()
    if frame.spec.evaluation is None:
        return found
    for view in record.view.finalised:
        if frame.step(view).measures:
            with suppress(PeerFault, BlobUnavailable, InvalidInput):  # the round's own checks say so
                found[view.id] = summary(frame.spec, fetcher.model(view))
    return found


def _key(record: Record, transcript: CeremonyTranscript) -> str:
    confirmed = len(record.epoch.confirmations)
    of = f"{transcript.threshold} of {len(transcript.holders)} holders, {transcript.key.public_key.bits} bits"
    left = f"; {len(record.epoch.left)} shares are left by their holders' word" if len(record.epoch.retired) else ""
    return f"the transcript is the chain's and its proofs hold: {of}, {confirmed} confirmed{left}"


def _wrong_files(files: Files, manifest: Manifest) -> Iterator[str]:
    present = dict(digests(files))
    for name in sorted(manifest.files.keys() | present.keys()):
        if name not in present:
            yield f"{name} is missing"
        elif name not in manifest.files:
            yield f"{name} was added: the manifest does not name it"
        elif present[name] != manifest.files[name]:
            yield f"{name} was changed: it is not the file of the manifest's hash"


def _named(network: Network) -> str:
    return f"chain {network.chain_id} and {', '.join(f'{name} {address}' for name, address in network.contracts.addresses().items())}"


def _compared(name: str, blocks: list[BlockFile], client: ChainClient) -> Check:
    try:
        client.connect()
    except WrongChain as error:
        return Check(name, False, error.message)
    for block in blocks:
        head = client.block(block.header.number)
        if head is None or head.hash != block.header.hash:
            return Check(name, False, f"block {block.header.number} at {client.rpc_shown} is another one than the bundle's")
    return Check(name, True, f"{len(blocks)} headers are those of the node at {client.rpc_shown}")
