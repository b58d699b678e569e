"""One fresh connection to one target, as a balancer's health check opens it: to `address`, verified as `server_name`.

Nothing here ever trusts an unverified certificate. No proxy, no redirect, no compression, a bounded body.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from monitor.probe.outcome import Stage


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


class BodyTooLarge(Exception):
    """More bytes than any honest answer has."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the answer is longer than {limit} bytes")


class TrustFileUnreadable(Exception):
    """The CA file named in the fleet file cannot be used: a fault on the monitor's side."""


class TrustStore:
    """TLS contexts by CA file, made once (reading the system's roots takes long) and again when the file changes."""

    def __init__(self) -> None:
        self._contexts: dict[Path | None, tuple[float, ssl.SSLContext]] = {}

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


def _nothing_trusted() -> ssl.SSLContext:
    """For plain HTTP: a context that verifies and trusts nobody, as loading roots for nothing costs 20 ms per probe."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


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
    """Asks one path after the other over one connection."""

    def __init__(self, http: httpx.AsyncClient, target: Target) -> None:
        self._http = http
        self._target = target
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def get(self, path: str, *, clock: StageClock, max_bytes: int) -> tuple[int, bytes]:
        """Status and body. Raises httpx' errors, OSError and `BodyTooLarge`; the caller holds the deadline."""
        await self._resolve(clock)
        extensions = {"trace": clock, "sni_hostname": self._target.server_name}
        try:
            async with self._http.stream("GET", path, extensions=extensions) as response:
                body = bytearray()
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) > max_bytes:
                        raise BodyTooLarge(max_bytes)
                return response.status_code, bytes(body)
        finally:
            self._opened += clock.opened

    async def close(self) -> None:
        """Close every socket for sure: httpcore forgets one whose handshake was cancelled, and a frozen backend makes many."""
        for stream in self._opened:
            with suppress(Exception):
                await stream.aclose()

    async def _resolve(self, clock: StageClock) -> None:
        """Look the name up first, so that a failure or a hang of the resolver is seen as one and not as the backend's."""
        try:
            ipaddress.ip_address(self._target.host)
        except ValueError:
            clock.enter("dns")
            await asyncio.get_running_loop().getaddrinfo(self._target.host, self._target.port)
            clock.enter("connect")


@asynccontextmanager
async def connection(target: Target, trust: TrustStore) -> AsyncIterator[Connection]:
    """A connection that is opened by its first request. Raises `TrustFileUnreadable`."""
    verify = trust.context(target.ca_file) if target.tls else _nothing_trusted()
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    transport = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits, retries=0)
    async with httpx.AsyncClient(
        base_url=f"{'https' if target.tls else 'http'}://{target.address}",
        transport=transport,
        timeout=None,  # noqa: S113 - the caller's asyncio.timeout is total; httpx' are per phase and add up
        trust_env=False,
        follow_redirects=False,
        headers={"Host": target.host_header, "Accept-Encoding": "identity", "User-Agent": "face-auth-monitor"},
    ) as http:
        opened = Connection(http, target)
        try:
            yield opened
        finally:
            await opened.close()
