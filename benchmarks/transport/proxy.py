"""A TCP proxy that counts: what nodes really say to each other, handshakes, framing and all."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing as mp
import socket
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import SynchronizedArray
from types import TracebackType

PIECE = 1 << 18
UP, DOWN = 0, 1


class CountingProxies:
    """One proxy a target port, all in a process of their own; `ports` are where they listen. A context manager."""

    def __init__(self, targets: list[int]) -> None:
        context = mp.get_context("spawn")
        self._counts: SynchronizedArray[int] = context.Array("Q", 2 * len(targets))
        here, there = context.Pipe()
        self._process = context.Process(target=_run, args=(targets, self._counts, there), daemon=True)
        self._process.start()
        self.ports: list[int] = here.recv()

    def __enter__(self) -> CountingProxies:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.join()

    def by_target(self) -> list[int]:
        """Bytes of TCP payload carried so far between each target and those who dialled it, both ways."""
        counts = self._counts[:]
        return [counts[i + UP] + counts[i + DOWN] for i in range(0, len(counts), 2)]

    def total(self) -> int:
        return sum(self.by_target())


def _run(targets: list[int], counts: SynchronizedArray[int], ready: Connection) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(targets, counts, ready))


async def _serve(targets: list[int], counts: SynchronizedArray[int], ready: Connection) -> None:
    servers = []
    for index, target in enumerate(targets):

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, index: int = index, target: int = target) -> None:
            try:
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target, limit=PIECE)
            except ConnectionError:
                writer.close()
                return
            for stream in (writer, there_writer):
                stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.gather(
                _carry(reader, there_writer, counts, 2 * index + UP), _carry(there_reader, writer, counts, 2 * index + DOWN)
            )

        servers.append(await asyncio.start_server(accept, "127.0.0.1", 0, limit=PIECE))
    ready.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: SynchronizedArray[int], slot: int) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(PIECE):
            counts[slot] += len(piece)
            writer.write(piece)
            await writer.drain()
    writer.close()
