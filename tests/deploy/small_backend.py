"""A backend of a dozen lines that speaks real TLS: it answers everything and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body_bytes: int


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class SmallBackend:
    name: str
    certificate: Path
    key: Path
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: list[tuple[str, int]] = field(default_factory=list)
    """peer of every connection that was opened"""
    ready: bool = True
    going: threading.Event = field(default_factory=_set_event)
    """cleared: requests are read and not answered, as by a frozen process"""
    _server: _Server | None = None
    _thread: threading.Thread | None = None

    @property
    def calls(self) -> list[Asked]:
        """What clients asked; a balancer's own checks are not among them."""
        return [asked for asked in self.asked if asked.path != "/ready"]

    def start(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self._server = _Server(("127.0.0.1", self.port), _handler(self), opened=self.connections)
        self.port = self._server.server_address[1]
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.end_connections()
            self._thread.join()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *arguments: Any, opened: list[tuple[str, int]]) -> None:
        super().__init__(*arguments)
        self._opened = opened
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self._opened.append(client_address)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """A stopped server's kept-alive connections end with it, as a killed process's do."""
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a balancer's check that hangs up is no news


def _handler(backend: SmallBackend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, len(body))
            backend.asked.append(asked)
            backend.going.wait(60)
            status = 200 if self.path != "/ready" or backend.ready else 503
            content = json.dumps({"served_by": backend.name, "bytes": len(body)}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Served-By", backend.name)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
