"""The demo's pictures and its trickle; that it is enrolled once and opens cases is seen in `tests/system`."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from deploy.demo import pictures
from deploy.demo.pictures import Portrait
from deploy.demo.traffic import trickle
from deploy.local.api import Api
from deploy.local.certificates import LocalCa
from tests.deploy.small_backend import SmallBackend


def test_both_photographs_are_found_without_importing_their_packages() -> None:
    code = (
        "import sys; from deploy.demo import pictures as p; print(p.packaged(*p.GROUP), p.packaged(*p.ASTRONAUT));"
        "print([name for name in ('insightface', 'skimage', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, imported = done.stdout.splitlines()
    assert all(Path(path).is_file() for path in found.split())
    assert len(found.split()) == 2
    assert imported == "[]"


def test_a_face_is_cut_with_its_margin_and_never_beyond_the_picture(tmp_path: Path) -> None:
    photograph = tmp_path / "photograph.png"
    Image.new("RGB", (400, 300)).save(photograph)
    inside = Image.open(io.BytesIO(pictures.cut(photograph, {"x": 150, "y": 100, "width": 50, "height": 60})))
    assert inside.size == (140, 168)
    corner = Image.open(io.BytesIO(pictures.cut(photograph, {"x": -5, "y": 250, "width": 50, "height": 60})))
    assert corner.size == (90, 104)


@pytest.mark.parametrize("alteration", sorted(pictures.ALTERATIONS))
def test_an_altered_copy_is_another_picture_and_the_same_bytes_every_time(alteration: str) -> None:
    astronaut = pictures.packaged(*pictures.ASTRONAUT)
    assert astronaut
    portrait = Portrait("astronaut", pictures.whole(astronaut))
    first, second = (pictures.altered(portrait, alteration) for _ in range(2))
    assert first == second
    assert first.key == f"astronaut-{alteration}"
    assert hashlib.sha256(first.jpeg).digest() != hashlib.sha256(portrait.jpeg).digest()


@pytest.fixture
def backend(tmp_path: Path) -> SmallBackend:
    server = SmallBackend("b1", *LocalCa(tmp_path).leaf("b1", []))
    server.start()
    return server


def test_the_trickle_is_marked_alternates_and_ends_at_its_bound(backend: SmallBackend, tmp_path: Path) -> None:
    api = Api([f"https://127.0.0.1:{backend.port}"], ca_file=tmp_path / "ca.pem", key="k")
    try:
        sent = trickle(api, {"a": b"face"}, {"a": "sub_1"}, stopping=threading.Event(), every_s=0.01, most=5)
    finally:
        api.close()
        backend.stop()
    assert sent == 5
    assert [asked.path for asked in backend.asked] == ["/v1/verify", "/v1/identify"] * 2 + ["/v1/verify"]
    assert {asked.headers["x-synthetic"] for asked in backend.asked} == {"1"}


def test_the_trickle_stops_when_the_fleet_does_and_after_its_time(backend: SmallBackend, tmp_path: Path) -> None:
    api = Api([f"https://127.0.0.1:{backend.port}"], ca_file=tmp_path / "ca.pem", key="k")
    stopping = threading.Event()
    stopping.set()
    times = iter([0.0, 1.0, 5 * 3600.0])
    try:
        assert trickle(api, {"a": b"face"}, {"a": "sub_1"}, stopping=stopping) == 0
        late = trickle(
            api, {"a": b"face"}, {"a": "sub_1"}, stopping=threading.Event(), every_s=0.01, clock=lambda: next(times)
        )  # fmt: skip
        assert late == 1
    finally:
        api.close()
        backend.stop()


class _Away(http.server.BaseHTTPRequestHandler):
    """Answers 503 twice, then 201; remembers the idempotency keys."""

    seen: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self.headers.get("Idempotency-Key"))
        content = json.dumps({"calls": len(self.seen)}).encode()
        self.send_response(503 if len(self.seen) < 3 else 201)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_fleet_that_cannot_answer_yet_is_asked_again_with_the_same_key(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Away) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        LocalCa(tmp_path)
        dead = "http://127.0.0.1:9"  # nobody listens on the discard port
        api = Api([dead, f"http://127.0.0.1:{server.server_address[1]}"], ca_file=tmp_path / "ca.pem", key="k")
        try:
            answer = api.post("/v1/subjects", {}, idempotency_key="demo-a")
        finally:
            api.close()
            server.shutdown()
    assert answer.status_code == 201
    assert _Away.seen == ["demo-a"] * 3
