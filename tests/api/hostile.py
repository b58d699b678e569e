"""Hostile files to a running service, in JSON and as forms, over and over: `make hostile-test`.

One line each, `file status type`, of the enrolment; all of it again for the rounds, in which the service's memory must stay
level; then bombs from sixteen clients while `/live` is asked every 10 ms. Whatever is enrolled is erased at once, so that what is
stored at the end must be what was stored before. The last line has the figures; exit status 1 unless they hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.api.hostile_files import BOMBS, GOOD, HOSTILE, Hostile
from tests.api.pictures import woman
from tests.api.refusals import got
from tests.api.service import ROOT, Service, make_site, serving

CLIENTS = 16
ROUNDS = 10
MEMORY_RATIO = 1.1
LIVE_MS = 100.0
ASKED_EVERY_S = 0.01
WRONG_FORM = "422 invalid_request"

Part = tuple[str, tuple[str | None, bytes]]
Send = Callable[[httpx.Client], httpx.Response]


@dataclass(frozen=True)
class Sent:
    """One enrolment: how it was sent, what was to be answered and what was."""

    name: str
    wanted: str
    got: str

    @property
    def right(self) -> bool:
        return self.wanted == self.got

    def line(self) -> str:
        status, _, kind = self.got.partition(" ")
        return f"{self.name}\t{status}\t{kind or '-'}" + ("" if self.right else f"\tWRONG: {self.wanted} was to come")


class Sender:
    """Enrols, and erases who was enrolled."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._allowed = {"Authorization": f"Bearer {service.site.key('admin')}"}

    def json(self, name: str, wanted: str, body: object) -> Sent:
        return self._send(name, wanted, json=body)

    def form(self, name: str, wanted: str, *parts: Part) -> Sent:
        return self._send(name, wanted, files=parts)

    def raw(self, name: str, wanted: str, content: bytes, content_type: str) -> Sent:
        return self._send(name, wanted, content=content, headers={"Content-Type": content_type})

    def file(self, file: Hostile, content: bytes, *, form: bool) -> Sent:
        if form:
            return self.form(f"{file.name} (form)", file.answer, ("images", ("face.jpg", content)))
        return self.json(f"{file.name} (json)", file.answer, {"images": [b64encode(content).decode()]})

    def _send(self, name: str, wanted: str, *, headers: dict[str, str] | None = None, **body: Any) -> Sent:
        url = self._service.url + "/v1/subjects"
        answer = self._service.http.post(url, headers=self._allowed | (headers or {}), **body)
        if answer.status_code == httpx.codes.CREATED:
            self._service.http.delete(f"{url}/{answer.json()['subject_id']}", headers=self._allowed).raise_for_status()
        return Sent(name, wanted, got(answer))


def requests(send: Sender) -> Iterator[Sent]:
    """Requests that are odd whatever the file is."""
    photo, text = woman(), b64encode(woman()).decode()
    lines = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    yield send.json("base64: in lines", GOOD, {"images": [lines]})
    yield send.json("base64: none", WRONG_FORM, {"images": ["!!! this is not base64 !!!"]})
    yield send.json("base64: URL-safe", WRONG_FORM, {"images": [urlsafe_b64encode(photo).decode()]})
    yield send.json("base64: a data: URI", WRONG_FORM, {"images": [f"data:image/jpeg;base64,{text}"]})
    yield send.json("base64: cut off", WRONG_FORM, {"images": [text[: len(text) // 4 * 4 - 3]]})
    yield send.json("base64: with NUL", WRONG_FORM, {"images": [text[:100] + "\0" + text[100:]]})
    yield send.json("base64: not ASCII", WRONG_FORM, {"images": ["ä" * 100]})
    yield send.json("base64: twice over", "415 unsupported_image", {"images": [b64encode(text.encode()).decode()]})
    yield send.json("base64: an empty text", "400 empty_image", {"images": [""]})
    yield send.json("json: null for an image", WRONG_FORM, {"images": [None]})
    yield send.json("json: a path for an image", WRONG_FORM, {"images": ["/etc/passwd"]})
    yield send.json("json: an address for an image", WRONG_FORM, {"images": ["http://127.0.0.1/"]})
    yield send.json("json: an object for an image", WRONG_FORM, {"images": [{"url": "http://127.0.0.1/"}]})
    yield send.json("json: no images", WRONG_FORM, {"images": []})
    yield send.json("json: eleven images", "413 too_many_images", {"images": ["AA=="] * 11})
    yield send.json("json: a good and a bad image", "415 unsupported_image", {"images": [text, "AA=="]})
    yield send.raw("json: nested 100,000 deep", "400 invalid_json", b"[" * 100_000, "application/json")
    yield send.raw("json: UTF-16", "400 invalid_json", '{"images": []}'.encode("utf-16"), "application/json")
    image = ("images", ("face.jpg", photo))
    yield send.form("form: a path as file name", GOOD, ("images", ("../../etc/passwd", photo)))
    yield send.form("form: NUL in the file name", GOOD, ("images", ("a\0.php", photo)))
    yield send.form("form: no file name", GOOD, ("images", (None, photo)))
    yield send.form("form: two files, one of them bad", "415 unsupported_image", image, ("images", ("b.jpg", b"bad")))
    yield send.form("form: a file in a field of text", WRONG_FORM, image, ("external_id", ("face.jpg", photo)))
    yield send.form("form: a field that is none", WRONG_FORM, image, ("__proto__", (None, b"x")))
    yield send.form("form: 100 parts", "400 invalid_form", *[("images", (None, b"x"))] * 100)
    head = b'--B\r\nContent-Disposition: form-data; name="images"; filename="f"\r\nContent-Type: text/html\r\n\r\n'
    whole, kind = head + photo + b"\r\n--B--\r\n", "multipart/form-data; boundary=B"
    yield send.raw("form: a part of another content type", GOOD, whole, kind)
    yield send.raw("form: cut off", "400 invalid_form", whole[:-200], kind)
    yield send.raw("form: another boundary", "400 invalid_form", whole, "multipart/form-data; boundary=C")
    yield send.raw("form: no boundary", "400 invalid_form", whole, "multipart/form-data")
    yield send.raw("form: called JSON", "400 invalid_json", whole, "application/json")
    yield send.raw("form: called an image", "415 unsupported_media_type", photo, "image/jpeg")
    yield send.raw("form: multipart/mixed", "415 unsupported_media_type", whole, "multipart/mixed; boundary=B")
    yield send.raw("form: urlencoded", "415 unsupported_media_type", b"images=AA", "application/x-www-form-urlencoded")
    yield send.raw("gzip: called so", "400 invalid_json", b"\x1f\x8b\x08" + b"\0" * 100, "application/json")


def everything(send: Sender, files: Sequence[tuple[Hostile, bytes]], ways: Sequence[bool]) -> Iterator[Sent]:
    """`ways`: as forms or not."""
    for file, content in files:
        for form in ways:
            yield send.file(file, content, form=form)
    yield from requests(send)


def memory_ratio(service: Service, one_round: Callable[[int], object], rounds: int) -> float:
    """Resident bytes of the service and its children after that many rounds, over those after the first."""
    one_round(0)  # what is loaded once, and the arenas of all threads
    before = service.memory()
    for number in range(1, rounds + 1):
        one_round(number)
        print(f"round {number}: {service.memory() >> 20} MiB, {before >> 20} MiB before", flush=True)
    return service.memory() / before


@dataclass(frozen=True)
class Beside:
    """`/live` while bombs go off, in milliseconds: of the service that has them, and of an idle one on the same machine."""

    worst_ms: float
    median_ms: float
    asked: int
    idle_worst_ms: float
    answers: dict[str, int]


def beside_bombs(service: Service, idle: Service, bombs: Sequence[bytes], clients: int = CLIENTS) -> Beside:
    """Sixteen clients at once, each with a bomb; what the idle service takes is the machine's and the asker's doing."""
    headers = {"Authorization": f"Bearer {service.site.key('client')}", "Content-Type": "multipart/form-data; boundary=B"}
    bodies = [_form(bombs[number % len(bombs)]) for number in range(max(clients, len(bombs)))]
    over = threading.Event()

    def ask(asked: Service) -> list[float]:
        took: list[float] = []
        with httpx.Client(timeout=60, trust_env=False) as live:
            live.get(f"{asked.url}/live")
            while not over.wait(ASKED_EVERY_S):
                started = time.perf_counter()
                live.get(f"{asked.url}/live").raise_for_status()
                took.append((time.perf_counter() - started) * 1000)
        return took

    def send(body: bytes) -> str:
        return got(httpx.post(f"{service.url}/v1/detect", content=body, headers=headers, timeout=120))

    with ThreadPoolExecutor(clients + 2) as pool:
        asking = [pool.submit(ask, asked) for asked in (service, idle)]
        try:
            answers = [sent.result() for sent in [pool.submit(send, body) for body in bodies]]
        finally:
            over.set()
        took, idle_took = (one.result() for one in asking)
    counts = {one: answers.count(one) for one in sorted(set(answers))}
    return Beside(max(took), statistics.median(took), len(took), max(idle_took), counts)


def _form(content: bytes) -> bytes:
    """Made before: the clients share the machine, and often the interpreter, with whoever asks for `/live`."""
    return b'--B\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n\r\n' + content + b"\r\n--B--\r\n"


def given(folder: Path) -> list[tuple[Hostile, bytes]]:
    """The files of the test data, with no expectation but a problem or an enrolment."""
    return [(Hostile(f"given: {path.name}", path.read_bytes, ""), path.read_bytes()) for path in sorted(folder.iterdir())]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make hostile-test", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    options = parser.parse_args()
    files = [(file, file.make()) for file in HOSTILE]
    bad = options.testdata / "bad"
    files += given(bad) if bad.is_dir() else []
    with tempfile.TemporaryDirectory(prefix="face-auth-hostile-") as folder:
        site = make_site(Path(folder) / "site")
        other = make_site(Path(folder) / "idle")
        with serving(site, BACKEND_MIN_FACE_PX="40") as service, serving(other, name="b2") as idle:
            return _judged(service, idle, files, options.rounds)


def _judged(service: Service, idle: Service, files: Sequence[tuple[Hostile, bytes]], rounds: int) -> int:
    send = Sender(service)
    with service.client(service.site.key("admin")) as client:
        before = client.stats()
        first = []
        for sent in everything(send, files, (False, True)):
            first.append(sent if sent.wanted else Sent(sent.name, sent.got, sent.got))
            print(first[-1].line(), flush=True)
        ratio = memory_ratio(service, lambda number: list(everything(send, files, (number % 2 == 1,))), rounds)
        stored = client.stats() != before
    beside = beside_bombs(service, idle, [make() for make in BOMBS.values()])
    wrong = [sent.name for sent in first if not sent.right or sent.got.startswith("5")]
    print(f"bombs: {beside.answers}; /live asked {beside.asked} times, median {beside.median_ms:.1f} ms,", end=" ")
    print(f"of an idle service at the same time: max {beside.idle_worst_ms:.0f} ms")
    print(
        f"sent={len(first)} files={len(files)} wrong={len(wrong)} stored={int(stored)} rounds={rounds}"
        f" memory_ratio={ratio:.3f} (<= {MEMORY_RATIO}) live_max_ms={beside.worst_ms:.0f} (< {LIVE_MS:.0f})",
        *wrong,
        sep="\n  ",
    )
    return 0 if not wrong and not stored and ratio <= MEMORY_RATIO and beside.worst_ms < LIVE_MS else 1


if __name__ == "__main__":
    sys.exit(main())
