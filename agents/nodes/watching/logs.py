"""Records into a bounded file, and what lower layers log into records."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from defedbio import foreign_json
from defedbio.config import private_folder
from defedbio.errors import InvalidInput
from defedbio.report import Reporter

LOG_FILE = "agent.log"  # in a study's folder
MAX_BYTES = 10 << 20
BACKUPS = 3
TAIL_BYTES = 256 << 10
UNWRITTEN = frozenset({"progress", "state"})
LOWER_LAYERS = ("defedbio",)
CARRIED = ("retry", "queue", "key")


class _PrivateFile(RotatingFileHandler):
    """That it cannot be written (a full disk) is said on the terminal, once until it can: no record is worth the node."""

    _failing = _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        super().emit(record)
        self._failing = self._failed

    def handleError(self, record: logging.LogRecord) -> None:
        self._failed = True
        if not self._failing:
            print(f"the log {self.baseFilename} cannot be written: {sys.exc_info()[1]}", file=sys.stderr)

    def _open(self) -> TextIOWrapper:
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT, 0o600))
        return super()._open()


class LogFile:
    """A sink that writes records as JSON lines (0600), in at most four files of 10 MB; neither progress nor states."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        """Raises InvalidInput if the file cannot be written."""
        try:
            private_folder(path.parent)
            self._handler = _PrivateFile(path, maxBytes=max_bytes, backupCount=BACKUPS, encoding="utf-8")
        except OSError as error:
            raise InvalidInput(f"cannot write the log {path}: {error.strerror}", "pass another --log-file") from None

    def sink(self, record: dict[str, Any]) -> None:
        if record["status"] not in UNWRITTEN:
            self._handler.handle(logging.makeLogRecord({"msg": json.dumps(record, sort_keys=True)}))

    def close(self) -> None:
        self._handler.close()


def last_records(path: Path) -> list[dict[str, Any]]:
    """The newest records of a log file, oldest first; empty where there is none. What is no record is passed over."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL_BYTES))
            lines = stream.read(TAIL_BYTES).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(InvalidInput):
            record = foreign_json.read_object(line, "a record", TAIL_BYTES)
            if {"phase", "status"} <= record.keys() and isinstance(record.get("at"), int | float):
                found.append(record)
    return found


class _Bridge(logging.Handler):
    def __init__(self, report: Reporter) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        facts = {name: getattr(record, name) for name in CARRIED if hasattr(record, name)}
        if record.levelno >= logging.INFO:
            self._report.note(record.getMessage(), level=record.levelname.lower(), **facts)
        elif facts:
            self._report.state(**facts)


@contextmanager
def bridged(report: Reporter) -> Iterator[None]:
    """Turn what chain and IPFS adapters log in this process into the reporter's records: they know no reporter, it knows the round."""
    handler = _Bridge(report)
    loggers = [logging.getLogger(name) for name in LOWER_LAYERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
