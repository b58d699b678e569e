"""uvicorn, with an orderly end: leave the balancer first, close the listener later.

On SIGTERM or SIGINT `/ready` answers 503 at once and every answer asks for its connection to be closed; requests are served for
another `drain_s` seconds; then the listener closes and what is in flight may finish within `graceful_timeout_s`. A second signal
ends at once. (uvicorn by itself closes the listener as soon as the signal comes, while balancers still send.)
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from backend.lifecycle import Lifecycle
from backend.settings import Settings
from backend.tls import Certificate

KEEP_ALIVE_S = 75
"""above the balancers' own (60): else they send into connections that we are closing"""
BACKLOG = 2048

STOPPED_CLEANLY = 0
CUT_OFF = 1

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, life: Lifecycle, drain_s: float, certificate: Certificate | None) -> None:
        super().__init__(config)
        self._life = life
        self._drain_s = drain_s
        self._certificate = certificate
        self._close_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.exit_code = STOPPED_CLEANLY
        life.open_connections = lambda: len(self.server_state.connections)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        follower = asyncio.create_task(self._certificate.follow()) if self._certificate else None
        try:
            await super().serve(sockets)
        finally:
            if follower is not None:
                follower.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await follower

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: end now. Runs in the main thread between two instructions, so it only sets marks."""
        if self._close_at is None:
            self._life.stop()
            self._close_at = time.monotonic() + (self._drain_s if self.started else 0.0)
            self.should_exit = not self.started
            return
        self.exit_code = CUT_OFF
        self.force_exit = self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cut)

    async def on_tick(self, counter: int) -> bool:
        if self._close_at is not None and time.monotonic() >= self._close_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        limit_s = self.config.timeout_graceful_shutdown
        started = time.monotonic()
        await super().shutdown(sockets)
        if limit_s is not None and time.monotonic() - started >= limit_s:
            self.exit_code = CUT_OFF

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()


def make_server(app: ASGIApp, *, settings: Settings, life: Lifecycle) -> Server:
    """Raises OSError or ssl.SSLError where the certificate's files cannot be used."""
    certificate = None
    if settings.tls_cert_file is not None and settings.tls_key_file is not None:
        certificate = Certificate(settings.tls_cert_file, settings.tls_key_file)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.graceful_timeout_s)),
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_context_factory=(lambda _config, _default: certificate.context) if certificate else None,
    )
    return Server(config, life=life, drain_s=settings.drain_s, certificate=certificate)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError where the address cannot be had: uvicorn itself would only log that."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # asyncio turns Nagle's algorithm off only for sockets that say TCP; with it every kept connection waits 40 ms per answer.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=made.detach())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
