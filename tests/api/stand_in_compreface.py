"""A small server that answers what is read of CompreFace as its REST API's description says: paths, header, fields, pages."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid5

API = "/api/v1/recognition"
KEY = "00000000-0000-0000-0000-00000000abcd"
NAMES = UUID("6b135f5b-a365-4522-b1f1-4c9ac2dd0728")


@dataclass
class StandIn:
    """`images` by subject; `failing` more requests are answered 500; `page_limit` bounds a page whatever size was asked for;
    `says_404` of an image that is gone, where the description has no bytes and 200."""

    images: dict[str, list[bytes]]
    key: str = KEY
    failing: int = 0
    knows_subject_parameter: bool = True
    says_404: bool = False
    page_limit: int = 2
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def faces(self) -> list[tuple[str, str, bytes]]:
        return [
            (str(uuid5(NAMES, f"{subject} {place}")), subject, image)
            for subject, images in self.images.items()
            for place, image in enumerate(images)
        ]

    def answer(self, target: str, key: str | None) -> tuple[int, str, bytes]:
        """Status, media type and body."""
        self.asked.append(target)
        parts = urlsplit(target)
        if self.failing:
            self.failing -= 1
            return 500, "text/html", b"<html>Internal Server Error</html>"
        if key is None:
            return _json({"message": "Missing header: x-api-key", "code": 20}, 400)
        if key != self.key:
            return _json({"message": f"Recognition service with API Key {key} not found", "code": 19}, 404)
        if parts.path == f"{API}/subjects/":
            return _json({"subjects": list(self.images)})
        if parts.path == f"{API}/faces":
            return self._page({name: values[0] for name, values in parse_qs(parts.query).items()})
        image_id = parts.path.removeprefix(f"{API}/faces/").removesuffix("/img")
        image = next((image for found, _, image in self.faces() if found == image_id), b"")
        if not image and self.says_404:
            return _json({"message": "Image not found", "code": 42}, 404)
        return 200, "application/octet-stream", image  # "Empty bytes if image not found"

    def _page(self, asked: dict[str, str]) -> tuple[int, str, bytes]:
        wanted = asked.get("subject") if self.knows_subject_parameter else None
        faces = [{"image_id": found, "subject": name} for found, name, _ in self.faces() if wanted in (None, name)]
        number, size = int(asked.get("page", 0)), int(asked.get("size", 20))
        step = min(size, self.page_limit)
        return _json(
            {
                "faces": faces[number * step : (number + 1) * step],
                "page_number": number,
                "page_size": size,
                "total_pages": -(-len(faces) // step),
                "total_elements": len(faces),
            }
        )


def _json(document: object, status: int = 200) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(document).encode()


@contextmanager
def listening(server: StandIn) -> Iterator[StandIn]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = server.answer(self.path, self.headers["x-api-key"])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
