"""Small backends on loopback that count what they answer, and clients that ask them through a balancer. All in one event loop."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from monitor.balancer.access_log import BOUNDS_S
from monitor.histogram import of_values
from monitor.simulate.scenario import Fault
from monitor.tally import Served, Tally

MEAN_S, SIGMA = 0.06, 0.6
SLOTS = 16
ERROR_RATIO = 0.3
SINK_RATIO, SINK_S = 0.8, 0.002
SLOWER = 4.0
ROUTES = {"POST /v1/verify": 1.0, "POST /v1/identify": 1.6, "GET /v1/stats": 0.2}


@dataclass
class CountingBackend:
    """Answers after a lognormal time; `fault` takes effect at once and ends when it is None again."""

    name: str
    dice: random.Random
    fault: Fault | None = None
    port: int = 0
    answered: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self._slots = asyncio.Semaphore(SLOTS)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.close()
            await self._server.wait_closed()

    def take(self) -> Served:
        """What was answered since the last call."""
        answered, self.answered = self.answered, defaultdict(list)
        return Served({route: _tally(found) for route, found in answered.items()})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):  # the last at the loop's end
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _length(head)
                await reader.readexactly(length)
                method, path, _ = head.decode("latin-1").split("\r\n", 1)[0].split(" ")
                status = await self._answer(f"{method} {path}") if path.startswith("/v1/") else 200
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\nX-Served-By: {self.name}\r\n\r\n{{}}".encode())
                await writer.drain()
        self._open.discard(writer)
        writer.close()

    async def _answer(self, route: str) -> int:
        began = time.perf_counter()
        status = await self._work(route)
        self.answered[route].append((status, time.perf_counter() - began))
        return status

    async def _work(self, route: str) -> int:
        if self.fault is Fault.sinkhole and self.dice.random() < SINK_RATIO:
            await asyncio.sleep(SINK_S)
            return 500
        async with self._slots:
            factor = SLOWER if self.fault is Fault.latency else 1.0
            await asyncio.sleep(factor * MEAN_S * ROUTES.get(route, 1.0) * self.dice.lognormvariate(-(SIGMA**2) / 2, SIGMA))
        return 500 if self.fault is Fault.errors and self.dice.random() < ERROR_RATIO else 200


def _tally(found: list[tuple[int, float]]) -> Tally:
    seconds = [took for _, took in found]
    errors = sum(status >= 500 for status, _ in found)
    return Tally(len(found), errors, 0, of_values(seconds, BOUNDS_S), sum(seconds))


def _length(head: bytes) -> int:
    lines = head.decode("latin-1").lower().split("\r\n")
    return next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)


@dataclass
class Clients:
    """`number` clients with addresses of their own (127.0.1.x), each with one connection, asking `rate` times a second in all."""

    address: tuple[str, int]
    tls: ssl.SSLContext
    number: int
    rate: float
    dice: random.Random
    answers: int = 0
    failures: int = 0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Requests flow within; entered and left in the event loop."""
        habits = [self.dice.lognormvariate(0, 0.8) for _ in range(self.number)]
        each = [self.rate * habit / sum(habits) for habit in habits]
        tasks = [asyncio.create_task(self._client(i, rate, random.Random(self.dice.random()))) for i, rate in enumerate(each)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def _client(self, number: int, rate: float, dice: random.Random) -> None:
        while True:
            try:
                await self._ask_on_and_on(number, rate, dice)
            except (OSError, asyncio.IncompleteReadError):
                self.failures += 1
                await asyncio.sleep(0.05)

    async def _ask_on_and_on(self, number: int, rate: float, dice: random.Random) -> None:
        local = (f"127.0.{1 + number // 200}.{1 + number % 200}", 0)
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.tls, local_addr=local, server_hostname="127.0.0.1")
        due = time.monotonic() + dice.expovariate(rate)
        try:
            while True:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - 0.2) + dice.expovariate(rate)
                method, path = dice.choices(list(ROUTES), weights=[3, 2, 1])[0].split(" ")
                body = b"{}" if method == "POST" else b""
                head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_length(answer))
                self.answers += 1
        finally:
            writer.close()
