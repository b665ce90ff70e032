"""What the chain says, indexed in memory: rebuilt from the events at every start, kept up by polling, right across reorganisations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from defedbio.chain.feed import EventFeed
from defedbio.chain.records import Head
from defedbio.errors import NotFound
from defedbio.explorer.tables import Tables
from defedbio.protocol.view import RoundView, StudyView


class Index:
    """One thread calls `poll`; others read under `read`. `version` rises with everything new, `forks` with every reorganisation."""

    def __init__(self, feed: EventFeed) -> None:
        self._feed = feed
        self._lock = threading.RLock()
        self._changed = threading.Condition()
        self._tables = Tables()
        self.head: Head | None = None
        self.version = 0
        self.forks = 0

    @contextmanager
    def read(self) -> Iterator[Tables]:
        """The tables, which stay as they are meanwhile. Ask nobody in there: whoever comes next waits."""
        with self._lock:
            yield self._tables

    def poll(self) -> bool:
        """Whether anything changed. After a reorganisation the tables are made anew.

        Raises:
            ChainUnreachable: if the node does not answer; the tables stay.
        """
        state = self._feed.poll()
        forked = state.forked_at is not None
        if forked or self.head is None:
            made = Tables()
            made.add(state.events)
            with self._lock:
                self._tables = made
                self.forks += forked
        elif state.fresh:
            with self._lock:
                self._tables.add(state.fresh)
        moved = state.head != self.head
        first, self.head = self.head is None, state.head
        if state.fresh or forked or first:
            self.touch()
        return moved

    def touch(self) -> None:
        """Say that something that pages show is new."""
        with self._changed:
            self.version += 1
            self._changed.notify_all()

    def wait(self, version: int, seconds: float) -> int:
        """The version, as soon as it is another than this one, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.version != version, seconds)
            return self.version

    def study(self, number: int) -> StudyView:
        """Raises NotFound for an unknown study."""
        with self.read() as tables:
            found = tables.studies.get(number)
        if found is None:
            raise NotFound(f"there is no study {number}")
        return found

    def round(self, number: int) -> tuple[StudyView, RoundView]:
        """Raises NotFound for an unknown round."""
        with self.read() as tables:
            found = tables.round(number)
        if found is None:
            raise NotFound(f"there is no round {number}")
        return found

    def name_of(self, address: str) -> str:
        """The name that an address registered, which is what its owner says of itself; "" without one."""
        with self.read() as tables:
            profile = tables.profiles.get(address)
        return profile.name if profile is not None else ""
