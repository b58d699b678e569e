"""Real servers on loopback that each misbehave in one way. Every one is an async context manager that gives its port."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LIVE = {"status": "alive", "timestamp": "2026-01-01T00:00:00Z"}
HEALTH = {"status": "healthy", "service": "face-auth-system", "version": "0.1.0", "timestamp": "2026-01-01T00:00:00Z"}
READY = {
    "status": "ready",
    "instance": "b1",
    "version": "0.1.0",
    "timestamp": "2026-01-01T00:00:00Z",
    "ever_ready": True,
    "checks": {"database": {"status": "ok", "latency_ms": 0.2, "detail": "answers"}},
}
GOOD = {"/live": (200, LIVE), "/health": (200, HEALTH), "/ready": (200, READY)}


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A TCP (or TLS) server that does `answer` for each connection; what still runs at the end is cancelled."""
    running: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await answer(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            running.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def head(reader: asyncio.StreamReader) -> str:
    """The path that is asked."""
    text = await reader.readuntil(b"\r\n\r\n")
    return text.split(b" ", 2)[1].decode()


def http(status: int, body: bytes, content_type: str = "application/json", extra: str = "") -> bytes:
    lines = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return lines.encode() + body


def answers(paths: dict[str, tuple[int, object]]) -> Answer:
    """Answers each path, over one connection, with its JSON; 404 for others."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            status, body = paths.get(await head(reader), (404, {"detail": "no"}))
            writer.write(http(status, json.dumps(body).encode()))
            await writer.drain()

    return answer


def sends(data: bytes, *, then_close: bool) -> Answer:
    """Raw bytes after the request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(data)
        await writer.drain()
        if then_close:
            writer.close()
            await writer.wait_closed()
        else:
            await asyncio.Event().wait()

    return answer


async def hangs_before_anything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def hangs_before_the_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head(reader)
    await asyncio.Event().wait()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head(reader)
    reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def sends_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        await writer.drain()


async def sends_headers_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def trickles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte now and then: no single read ever waits long."""
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def trickles_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def continues_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Interim answers, of which a client must take any number."""
    await head(reader)
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)
        await writer.drain()
        await asyncio.sleep(0.01)  # or this server leaves its neighbours in the same process no time to misbehave


@asynccontextmanager
async def nobody() -> AsyncIterator[int]:
    """A port that is taken, so that nobody else gets it, and on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@asynccontextmanager
async def never_accepts() -> AsyncIterator[int]:
    """The kernel completes the connection, and no program ever takes it: a stopped process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@asynccontextmanager
async def full_queue() -> AsyncIterator[int]:
    """A listener whose queue is full: further connections get no answer from the kernel."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()
