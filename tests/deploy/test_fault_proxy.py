"""The proxy that does harm: what a client of the server behind it meets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from deploy.faults.proxy import Fault, Proxy

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def played(fault: Fault, act: Callable[[Proxy, Client, list[bytes]], Awaitable[None]]) -> None:
    """A server that answers each line with itself, behind the proxy, and one client."""
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            heard.append(line)
            writer.write(line)
            await writer.drain()
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy = Proxy("127.0.0.1", port, fault, delay_s=0.2)
        async with proxy.serving() as listening:
            client = await asyncio.open_connection("127.0.0.1", listening)
            await act(proxy, client, heard)
            client[1].close()
        server.close()

    asyncio.run(asyncio.wait_for(play(), 30))


async def ask(client: Client, text: bytes = b"hello\n") -> bytes:
    client[1].write(text)
    await client[1].drain()
    return await asyncio.wait_for(client[0].readline(), 1.0)


def test_without_a_fault_all_passes() -> None:
    async def act(proxy: Proxy, client: Client, heard: list[bytes]) -> None:
        assert await ask(client) == b"hello\n"
        assert proxy.connections == 1

    played(Fault.none, act)


def test_slow_answers_come_later_and_whole() -> None:
    async def act(proxy: Proxy, client: Client, heard: list[bytes]) -> None:
        began = asyncio.get_running_loop().time()
        assert await ask(client) == b"hello\n"
        assert asyncio.get_running_loop().time() - began >= 0.2

    played(Fault.slow, act)


def test_a_reset_connection_breaks() -> None:
    async def act(proxy: Proxy, client: Client, heard: list[bytes]) -> None:
        with pytest.raises(ConnectionResetError):  # a closed connection would read as an empty line
            await ask(client)

    played(Fault.reset, act)


def test_a_black_hole_takes_everything_and_tells_nobody() -> None:
    async def act(proxy: Proxy, client: Client, heard: list[bytes]) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await ask(client)
        assert heard == []

    played(Fault.black_hole, act)


def test_half_open_the_request_arrives_and_its_answer_is_lost() -> None:
    async def act(proxy: Proxy, client: Client, heard: list[bytes]) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await ask(client)
        assert heard == [b"hello\n"]

    played(Fault.half_open, act)


def test_a_fault_holds_for_connections_that_are_open_already() -> None:
    async def act(proxy: Proxy, client: Client, heard: list[bytes]) -> None:
        assert await ask(client) == b"hello\n"
        proxy.fault = Fault.half_open
        with pytest.raises(asyncio.TimeoutError):
            await ask(client)

    played(Fault.none, act)


def test_a_dead_server_behind_it_is_a_broken_connection() -> None:
    async def play() -> None:
        async with Proxy("127.0.0.1", 1).serving() as listening:
            reader, writer = await asyncio.open_connection("127.0.0.1", listening)
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 2)
            writer.close()

    asyncio.run(play())
