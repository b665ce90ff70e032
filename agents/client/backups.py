"""The organisation's folder in one sealed file, and back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from defedbio.client.session import Session
from defedbio.client.values import Value


@dataclass(frozen=True)
class Backup(Value):
    """`made_at` is the time in ISO 8601; `files` are names below the home."""

    file: str
    account: str
    made_at: str
    files: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Restoration(Value):
    """What a home has from a backup. `left_out` says in words what it does not get; `kept` is where the home before it lies, empty if there
    was none."""

    account: str
    made_at: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    kept: str


def back_up(session: Session, file: Path) -> Backup:
    """See Client.backup."""
    from defedbio.nodes.backup import back_up as write

    account = session.own_address()
    session.transport_private()  # a password that opens nothing would seal a backup that nobody can open
    made = write(session.home, account, session.password, file)
    return Backup(str(file), account, _moment(made.made_at), made.files, file.stat().st_size)


def restore(session: Session, file: Path, replace_home: bool) -> Restoration:
    """See Client.restore."""
    from defedbio.nodes.restore import restore as unpack

    done = unpack(session.home, file, session.password, session.reader, replace_home)
    backup = done.backup
    return Restoration(backup.account, _moment(backup.made_at), backup.files, done.left_out, str(done.kept or ""))


def _moment(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat()
