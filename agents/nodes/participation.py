"""Assembles an organisation's node for one study, after checking that its operator accepted exactly this spec (S2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from defedbio.chain.feed import EventFeed
from defedbio.chain.saved import EventsFile
from defedbio.config import Home, erase, read_json, write_private
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.errors import InvalidInput, NotFound
from defedbio.learning.custom import Maker
from defedbio.learning.data import open_adapter
from defedbio.learning.data.port import Dataset
from defedbio.network.acceptance import check_accepted
from defedbio.network.modules import allowed
from defedbio.network.shares import load_share, retired
from defedbio.nodes.organisation import LoopOptions, OrganisationNode, sitting_out
from defedbio.nodes.pins import ClaimingStore, Claims, claims_of
from defedbio.nodes.watching.metered import MeteredStore
from defedbio.protocol.catalogue import LET_GO
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.journal import Journal
from defedbio.protocol.memory import Memory
from defedbio.protocol.reading import Reader
from defedbio.protocol.restored import Restored, Settling, restored
from defedbio.protocol.retention import depth
from defedbio.protocol.tools import Tools

EVENTS_FILE = "events.json"  # in a study's folder


def assemble(
    connection: Reader,
    home: Home,
    study: int,
    data: Path | None,
    password: str,
    journal: Journal,
    options: LoopOptions,
    arithmetic: Arithmetic = ONE_THREAD,
) -> OrganisationNode:
    """A node ready to run: as participant if it is enrolled, as key holder if it holds a share.

    Raises:
        InvalidInput: when it is neither, lacks data, or the data does not fit. NotFound, WrongPassword, Unreachable as they come.
    """
    network, address = connection.client.network, connection.client.address
    folder = home.study(network.chain_id, network.contracts["RoundManager"], study)
    claims = claims_of(home, folder)
    connection = replace(connection, store=MeteredStore(ClaimingStore(connection.store, claims), connection.report))
    frame = connection.frame(study)
    check_accepted(folder, study, connection.studies.study_of(study).spec_hash)
    if Memory(journal).get(LET_GO) is None:
        connection.pin_agreed(study)
    enrolled = connection.studies.participant_index(study, address) > 0
    epoch = frame.spec.key_epoch
    share_path = home.share(network.chain_id, network.contracts["KeyRegistry"], epoch)
    holder_index = connection.keys.holder_index(epoch, address) or None
    if holder_index is not None and retired(connection, epoch, address):
        # A backup can have brought it back (K3).
        erase(share_path)
        holder_index = None
        connection.report.note(f"this organisation retired its share of key epoch {epoch}: it opens nothing under that key any more")
    if not enrolled and holder_index is None:
        raise NotFound(
            f"{address} is neither enrolled in study {study} nor a holder of a share of its key", f"run `defedbio study join {study}` first"
        )
    if enrolled and data is None:
        raise InvalidInput(f"study {study} needs this organisation's data", "pass --data FILE")
    if data is not None and not data.is_file():
        raise NotFound(f"no data file at {data}")
    past = restored(journal, backup_time(home, network.chain_id, partial(_opened_at, connection, study)))
    if past is not None:
        connection.report.note(_told(past))
    tools = replace(
        housekeeper(connection, frame, address, journal, claims),
        dataset=_load(connection, frame, data) if enrolled and data is not None else None,
        installed=_installed(home, frame) if enrolled else {},
        share=load_share(share_path, epoch, frame.key, password) if holder_index else None,
        arithmetic=arithmetic,
        sits_out_through=past.through if past is not None else 0,
    )
    client = connection.client
    feed = EventFeed(
        client,
        confirmations=frame.confirmations,
        study=study,
        epoch=epoch,
        depth=depth(frame.confirmations),
        file=EventsFile(folder / EVENTS_FILE, client.network, client.rpc_shown, study),
    )
    node = OrganisationNode(tools, feed, holder_index, options)
    if tools.sits_out_through is None:
        node.settling = Settling(
            journal,
            client,
            connection.rounds,
            connection.report,
            frame.confirmations,
            settled=partial(keep_settled, home, network.chain_id),
        )
    return node


def _told(past: Restored) -> str:
    when = datetime.fromtimestamp(past.made_at, UTC).isoformat()
    if past.through is not None:
        return f"the journal is from a backup of {when}: {sitting_out(past.through)}"
    return (
        f"the journal is from a backup of {when}: until a transaction of its own is mined, which shows that the Ethereum node is not "
        "behind, this node sends no update and releases no share"
    )


def backup_time(home: Home, chain: int, opened_at: Callable[[], int]) -> int | None:
    """When the backup was made that the home is from, in unix seconds. None for a home that never was restored, and for a study that was
    opened in a later block of its chain than one which holds a transaction that the home signed after its restore: nobody took part in it
    before."""
    if not home.restored.exists():
        return None
    record = _record_of_restore(home)
    settled = _settled(record).get(str(chain))
    if type(settled) is int and opened_at() > settled:
        return None
    return int(record["made_at"])


def _opened_at(connection: Reader, study: int) -> int:
    return connection.studies.opening_of(study).meta.block


def keep_settled(home: Home, chain: int, block: int) -> None:
    """Record that this block of the chain holds a transaction which the home signed after its restore."""
    if home.restored.exists():
        record = _record_of_restore(home)
        # By chain: the block numbers of two have nothing to do with each other.
        write_private(home.restored, {**record, "settled": {**_settled(record), str(chain): block}}, replace=True)


def _record_of_restore(home: Home) -> dict[str, Any]:
    return read_json(home.restored, "record of the restore", "", {"made_at": int})


def _settled(record: dict[str, Any]) -> dict[str, Any]:
    found = record.get("settled")
    return found if isinstance(found, dict) else {}


def housekeeper(connection: Reader, frame: StudyFrame, address: str, journal: Journal, claims: Claims) -> Tools:
    """Tools that can keep, forget and let go what an organisation has of a study, and take no part in it."""
    return Tools(
        frame=frame,
        address=address,
        chain=connection.client,
        store=connection.store,
        fetcher=connection.fetcher(frame),
        memory=Memory(journal),
        report=connection.report,
        agreed=connection.agreed(frame.study),
        claims=claims,
        recall=partial(connection.recall, frame.study),
    )


def _installed(home: Home, frame: StudyFrame) -> dict[str, Maker]:
    model = frame.spec.model
    if model.kind != "module":
        return {}
    found = allowed(home.modules)
    if model.sha256 not in found:
        raise NotFound(
            f"the study's module {model.module!r} (sha256 {model.sha256}) is not allowed here",
            "get its source from the study's partners, read it, then `defedbio module allow FILE`",
        )
    return found


def _load(connection: Reader, frame: StudyFrame, data: Path) -> Dataset:
    with connection.report.phase("load-data"):
        return open_adapter(frame.spec).load(data)
