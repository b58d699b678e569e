"""A webhook's receiver on loopback: it verifies what comes, keeps it, and answers as the test tells it to."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from backend.events import Event
from backend.webhook import verify

SECRET = "whsec_" + "A" * 43 + "="
OK = (204, {})


@dataclass
class Receiver:
    """`answer` is asked for status and headers of each event, after that is kept."""

    url: str = ""
    answer: Callable[[Event], tuple[int, Mapping[str, str]]] = field(default=lambda _: OK)
    events: list[Event] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """methods and paths, in their order"""

    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str]]:
        event = verify(headers, body, secret=SECRET)
        self.events.append(event)
        self.bodies.append(body)
        return self.answer(event)


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver, scheme = Receiver(), "http" if tls is None else "https"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.requests.append(f"POST {self.path}")
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers = receiver.take(dict(self.headers), body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    receiver.url = f"{scheme}://127.0.0.1:{server.server_port}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
