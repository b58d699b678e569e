"""Is it the monitor itself? One connection over its own loopback, asked when most of the fleet seems to fail at once."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress


async def loopback_works(*, deadline_s: float = 2.0) -> bool:
    """Whether this process can still open a listener, connect to it and pass a byte: sockets, file descriptors, loop, kernel."""
    try:
        async with asyncio.timeout(deadline_s):
            return await _echo()
    except (OSError, EOFError, TimeoutError):
        return False


async def _echo() -> bool:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever asked may have given up: then nobody is there to be answered.
        with suppress(EOFError, OSError):
            writer.write(await reader.readexactly(1))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, family=socket.AF_INET)
    try:
        if not server.sockets:  # asyncio takes a socket that it cannot have for an unknown family, and goes on without
            return False
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            writer.write(b".")
            return await reader.readexactly(1) == b"."
        finally:
            writer.close()
    finally:
        server.close()
