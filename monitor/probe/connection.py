"""One fresh connection to one target, as a balancer's health check opens it: to `address`, verified as `server_name`.

Nothing here ever trusts an unverified certificate. No proxy, no redirect, no compression, a bounded body.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore

from monitor.addresses import number_of
from monitor.probe.outcome import Stage
from monitor.probe.resolve import resolved


@dataclass(frozen=True)
class Target:
    """Where to connect (`address`, host:port), which name to verify, what to write in `Host`, whom to trust."""

    address: str
    server_name: str
    host_header: str
    tls: bool
    ca_file: Path | None = None

    @property
    def host(self) -> str:
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @classmethod
    def of(cls, *, url: str, address: str, server_name: str, ca_file: Path | None) -> Target:
        parts = urlsplit(url)
        return cls(address, server_name, parts.netloc, parts.scheme == "https", ca_file)


@dataclass(frozen=True)
class Answered:
    """An HTTP answer; header names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class BodyTooLarge(Exception):
    """More bytes than any honest answer has."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the answer is longer than {limit} bytes")


class TrustFileUnreadable(Exception):
    """The CA file named in the fleet file cannot be used: a fault on the monitor's side."""


class TrustStore:
    """Whom to trust and where one may go: TLS contexts by CA file, and the addresses `allowed` in spite of `monitor.addresses`.

    A context is made once (reading the system's roots takes long) and again when its file changes.
    """

    def __init__(self, *, allowed: Collection[str] = ()) -> None:
        self._contexts: dict[Path | None, tuple[float, ssl.SSLContext]] = {}
        # For plain HTTP: it trusts nobody, as loading roots for nothing costs 20 ms, and is made once, as that costs one.
        self.nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.allowed = allowed

    def context(self, ca_file: Path | None) -> ssl.SSLContext:
        """Raises `TrustFileUnreadable`."""
        try:
            changed = ca_file.stat().st_mtime if ca_file else 0.0
            known = self._contexts.get(ca_file)
            if known is None or known[0] != changed:
                known = (changed, _verifying_context(ca_file))
                self._contexts[ca_file] = known
        except (OSError, ssl.SSLError) as error:
            raise TrustFileUnreadable(f"ca_file {ca_file}: {error}") from error
        return known[1]


def _verifying_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


class StageClock:
    """Which stage a request is in and how long each took, from httpcore's trace events."""

    STAGES: dict[str, Stage] = {"connect_tcp": "connect", "start_tls": "tls", "receive_response_body": "body"}

    def __init__(self) -> None:
        self.stage: Stage = "connect"
        self.timings_ms: dict[str, float] = {}
        self.opened: list[httpcore.AsyncNetworkStream] = []
        self._since: float | None = None

    def enter(self, stage: Stage) -> None:
        self.leave()
        self.stage = stage

    def leave(self) -> None:
        """Book the time since the last change on the present stage; called once more when the probe ends, however it ends."""
        now = time.monotonic()
        if self._since is not None:
            self.timings_ms[self.stage] = self.timings_ms.get(self.stage, 0.0) + (now - self._since) * 1000
        self._since = now

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        name, _, what = event.rpartition(".")
        name = name.rpartition(".")[2]
        if name == "connect_tcp" and what == "complete":
            self.opened.append(info["return_value"])
        if what != "started":
            return
        if name in self.STAGES:
            self.enter(self.STAGES[name])
        elif name == "send_request_headers":
            self.enter("request")


class Connection:
    """Asks one path after the other over one connection, to the address that its name had at the first request.

    By httpx' transport layer itself: its client and its pool, of which a probe needs nothing, take as long again.
    """

    def __init__(self, target: Target, context: ssl.SSLContext, allowed: Collection[str]) -> None:
        self._target = target
        self._context = context
        self._allowed = allowed
        self._addresses: list[str] = []
        self._http: httpcore.AsyncHTTPConnection | None = None
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def get(self, path: str, *, clock: StageClock, max_bytes: int) -> tuple[int, bytes]:
        """Status and body. Raises httpcore's errors, OSError, `AddressRefused`, `BodyTooLarge`; the caller holds the deadline."""
        answer = await self.ask("GET", path, clock=clock, max_bytes=max_bytes)
        return answer.status, answer.body

    async def ask(
        self,
        method: str,
        path: str,
        *,
        clock: StageClock,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answered:
        """As `get`, with what is sent along and the answer's headers."""
        if not self._addresses:
            await self._resolve(clock)
        sent = self._headers(headers or {}, content)
        try:
            while True:
                try:
                    return await self._ask(method, path, clock, max_bytes, sent, content)
                except httpcore.ConnectError:
                    # A name with several addresses (IPv6 and IPv4): the next one is tried as a client would.
                    if len(self._addresses) == 1 or clock.stage != "connect":
                        raise
                    self._addresses.pop(0)
        finally:
            self._opened += clock.opened

    async def _ask(
        self, method: str, path: str, clock: StageClock, most: int, headers: Sequence[tuple[str, str]], content: bytes | None
    ) -> Answered:
        where = self._origin()
        url = httpcore.URL(scheme=where.scheme, host=where.host, port=where.port, target=path.encode())
        extensions = {"trace": clock, "sni_hostname": self._target.server_name}
        connection = self._connected(where)
        async with connection.stream(method, url, headers=headers, content=content, extensions=extensions) as response:
            body = bytearray()
            async for piece in response.aiter_stream():
                body += piece
                if len(body) > most:
                    raise BodyTooLarge(most)
            found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            return Answered(response.status, bytes(body), found)

    def _connected(self, where: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """The connection there is, or a new one where there is none yet, or the peer has ended it."""
        known = self._http
        if known is None or not known.can_handle_request(where) or not known.is_available() or known.has_expired():
            known = self._http = httpcore.AsyncHTTPConnection(
                where, ssl_context=self._context, network_backend=httpcore.AnyIOBackend()
            )
        return known

    def _origin(self) -> httpcore.Origin:
        scheme = b"https" if self._target.tls else b"http"
        return httpcore.Origin(scheme, self._addresses[0].encode(), self._target.port)

    def _headers(self, more: Mapping[str, str], content: bytes | None) -> list[tuple[str, str]]:
        length = {} if content is None else {"Content-Length": str(len(content))}
        usual = {
            "Host": self._target.host_header,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "face-auth-monitor",
        }
        return list((usual | length | dict(more)).items())

    async def _resolve(self, clock: StageClock) -> None:
        """Look the name up first, so that a failure or a hang of the resolver is seen as one and not as the backend's."""
        host = self._target.host
        if number_of(host) is None:
            clock.enter("dns")
        self._addresses = await resolved(host, self._target.port, allowed=self._allowed)
        clock.enter("connect")

    async def close(self) -> None:
        """Close every socket for sure: httpcore forgets one whose handshake was cancelled, and a frozen backend makes many."""
        for stream in self._opened:
            with suppress(Exception):
                await stream.aclose()


@asynccontextmanager
async def connection(target: Target, trust: TrustStore) -> AsyncIterator[Connection]:
    """A connection that is opened by its first request. Raises `TrustFileUnreadable`."""
    opened = Connection(target, trust.context(target.ca_file) if target.tls else trust.nobody, trust.allowed)
    try:
        yield opened
    finally:
        await opened.close()
