"""A TCP proxy that does harm on purpose: it stands between a balancer (and a monitor) and one backend.

It knows no TLS: what passes is what the two say to each other, so certificates are verified as ever. Standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

CHUNK = 65_536
BACKLOG = 256


class Fault(StrEnum):
    none = "none"
    slow = "slow"
    """each piece of an answer comes `delay_s` later"""
    reset = "reset"
    """the connection is accepted and reset"""
    black_hole = "black_hole"
    """the connection is accepted; nothing is ever answered"""
    half_open = "half_open"
    """what the client says arrives; what the backend answers is lost"""


@dataclass
class Proxy:
    """Listens on loopback. `fault` may change while it runs: it holds for connections that are open already, too."""

    host: str
    port: int
    fault: Fault = Fault.none
    delay_s: float = 0.5
    connections: int = 0

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[int]:
        """The port that it listens on; on leaving every connection is closed."""
        open_now: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is None:  # a stream's callback always runs in a task of its own
                return
            open_now.add(task)
            self.connections += 1
            try:
                await self._serve(reader, writer)
            finally:
                open_now.discard(task)
                _close(writer)

        server = await asyncio.start_server(accept, "127.0.0.1", port, backlog=BACKLOG)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for task in list(open_now):
                task.cancel()
            await asyncio.gather(*open_now, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault is Fault.reset:
            _reset(writer)
            return
        try:
            behind_reader, behind_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            _reset(writer)
            return
        try:
            ways = [
                asyncio.create_task(self._pass(reader, behind_writer, answers=False)),
                asyncio.create_task(self._pass(behind_reader, writer, answers=True)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            _close(behind_writer)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(CHUNK):
                if self.fault is Fault.slow and answers:
                    await asyncio.sleep(self.delay_s)
                if self.fault is Fault.reset:
                    _reset(sink)
                    return
                if self.fault is Fault.black_hole or (self.fault is Fault.half_open and answers):
                    continue
                sink.write(piece)
                await sink.drain()
            if self.fault in (Fault.black_hole, Fault.half_open):
                await asyncio.Event().wait()  # the other side never hears that it was closed


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN: a lingering time of zero."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _close(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(Exception):
        writer.close()
