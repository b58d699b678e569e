"""Small real HTTP servers on loopback that answer with wire models, in place of a backend and a monitor."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[Asked], "Reply | BaseModel"]


def problem(status: int, code: str, detail: str) -> Reply:
    from backend.wire import Problem

    document = Problem(type=f"urn:face-auth:problem:{code}", title=detail, status=status, detail=detail, code=code)
    return Reply(status, document.model_dump_json().encode(), "application/problem+json")


class StandIn:
    """`routes` maps (method, path) to what answers; `{}` in a path stands for one segment. Remembers what it was asked."""

    def __init__(self, routes: Mapping[tuple[str, str], Route]) -> None:
        self.routes = dict(routes)
        self.asked: list[Asked] = []
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen; after `stop`, on the same port as before."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def _answer(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked = Asked(self.command, parts.path, query, {k.lower(): v for k, v in self.headers.items()}, body)
                stand_in.asked.append(asked)
                reply = stand_in.answer(asked)
                self.send_response(reply.status)
                self.send_header("content-type", reply.content_type)
                self.send_header("content-length", str(len(reply.body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815 - the base class's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, asked: Asked) -> Reply:
        for (method, pattern), route in self.routes.items():
            if method == asked.method and fits(pattern, asked.path):
                reply = route(asked)
                return reply if isinstance(reply, Reply) else Reply(body=reply.model_dump_json().encode())
        return problem(404, "not_found", "There is nothing here")

    def count(self, method: str, path: str) -> int:
        return sum(asked.method == method and fits(path, asked.path) for asked in self.asked)


@contextmanager
def serving(routes: Mapping[tuple[str, str], Route]) -> Iterator[StandIn]:
    server = StandIn(routes)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def fits(pattern: str, path: str) -> bool:
    wanted, given = pattern.split("/"), path.split("/")
    return len(wanted) == len(given) and all(part in ("{}", other) for part, other in zip(wanted, given, strict=True))


def data_uri(image: bytes) -> str:
    return "data:image/jpeg;base64," + b64encode(image).decode("ascii")
