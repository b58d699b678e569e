"""Whole requests over HTTP beside the bare models on the same photographs: what everything that is not a model costs.

The service is what runs behind a balancer: a replica for each core, on one ledger, with one inference at a time each; clients are
spread over them. `make run` and compose.yaml give each of their three replicas one inference, too, up to five cores.
Beside it stands one replica with all cores: there inference, requests and ledger share one interpreter's lock.

The clients share the machine with the service. So they send bytes that were made before, over connections that are kept, and read
no more than an id: a load generator is not to be part of what is measured.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from backend import wire
from backend.client import BackendClient
from backend.faces.cores import usable_cores
from tests.api.service import Service, Site, make_site, serving
from tests.bench.measure import Benchmark, Setting, compared, seconds
from tests.system.running_fleet import ROOT

CLIENTS = (1, 2, 4, 8)
PEOPLE = 96
"""photographs of a round: enough that its beginning and its end, with fewer requests at once, count for little"""
BATCH = 16
AT_SATURATION = "≤ 1.15"


def end_to_end(setting: Setting) -> Iterator[Benchmark]:
    """With the lightest models there are, and with a heavier detector: what is added does not grow with the models."""
    saturating = [clients for clients in CLIENTS if _saturated(clients)]
    yield from _with_pack(setting, "test_mbf", CLIENTS, replicas=usable_cores())
    if usable_cores() > 1:
        yield from _with_pack(setting, "test_mbf", saturating[-1:], replicas=1, suffix=", one replica", aim="–")
    yield from _with_pack(setting, "test_mfn128", saturating, replicas=usable_cores(), suffix=", SCRFD-2.5G")


def _with_pack(
    setting: Setting, name: str, numbers: Sequence[int], *, replicas: int, suffix: str = "", aim: str = AT_SATURATION
) -> Iterator[Benchmark]:
    pack, photographs = setting.testdata / "models" / name, sorted((setting.testdata / "gallery").glob("*.jpg"))[:PEOPLE]
    site = make_site(setting.folder / f"{name}-{replicas}", BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=str(pack))
    with _fleet(site, replicas) as fleet, _bare(pack, photographs) as raw:
        images = [base64.b64encode(path.read_bytes()).decode() for path in photographs]
        key = site.key("admin")
        asking = _Asking(_Wire([service.url for service in fleet], key), fleet[0].client(key), images)
        for what, ours in {"enrol": asking.enrol, "verify": asking.verify, "identify": asking.identify}.items():
            for clients in numbers:
                yield compared(
                    f"{what}, end to end, {clients} client{'s' * (clients > 1)}{suffix}",
                    partial(_milliseconds, ours, clients),
                    partial(_milliseconds, raw["enrol" if what == "enrol" else "probe"], clients),
                    unit="ms a request",
                    peer=f"the bare models, {min(clients, usable_cores())} threads",
                    aim=aim if _saturated(clients) else "–",
                    rounds=setting.rounds,
                )
        yield compared(
            f"enrol in batches of {BATCH}, end to end{suffix}",
            partial(_milliseconds, asking.enrol_batch, replicas),
            partial(_milliseconds, raw["enrol"], usable_cores()),
            unit="ms a subject",
            peer=f"the bare models, {usable_cores()} threads",
            aim=aim,
            rounds=setting.rounds,
        )


@contextmanager
def _fleet(site: Site, replicas: int) -> Iterator[list[Service]]:
    """The cores are shared out among them."""
    workers = str(max(1, usable_cores() // replicas))
    with ExitStack() as running:
        yield [
            running.enter_context(
                serving(site, name=f"b{number}", BACKEND_LOG_LEVEL="WARNING", BACKEND_INFERENCE_WORKERS=workers)
            )
            for number in range(1, replicas + 1)
        ]


def _saturated(clients: int) -> bool:
    return clients >= 2 * usable_cores()


def _milliseconds(work: Callable[[int], float], clients: int) -> float:
    """Of the whole machine: seconds of a round over its requests."""
    return work(clients) / PEOPLE * 1000


class _Wire:
    """POSTs of bytes, each thread over a connection of its own, to one replica after the other; of an answer no more is read than
    where it ends.
    """

    def __init__(self, urls: Sequence[str], key: str) -> None:
        self._next = itertools.cycle([url.removeprefix("http://") for url in urls])
        self._head = f"Host: fleet\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: "
        self._mine = threading.local()

    def post(self, path: str, body: bytes) -> bytes:
        if not hasattr(self._mine, "connection"):
            host, _, port = next(self._next).partition(":")
            self._mine.connection = socket.create_connection((host, int(port)), timeout=60)
            self._mine.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection: socket.socket = self._mine.connection
        connection.sendall(f"POST {path} HTTP/1.1\r\n{self._head}{len(body)}\r\n\r\n".encode() + body)
        head, _, content = _until(connection, b"", lambda data: b"\r\n\r\n" in data).partition(b"\r\n\r\n")
        length = int(_LENGTH.search(head)[1])  # type: ignore[index]
        content = _until(connection, content, lambda data: len(data) >= length)
        if head[9:12] not in (b"200", b"201"):
            raise RuntimeError(f"{path}: {head!r} {content!r}")
        return content


_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def _until(connection: socket.socket, data: bytes, enough: Callable[[bytes], bool]) -> bytes:
    while not enough(data):
        more = connection.recv(65_536)
        if not more:
            raise RuntimeError(f"the service closed the connection after {data!r}")
        data += more
    return data


class _Asking:
    """Each method is a round: every photograph once, by so many clients; gives its seconds."""

    def __init__(self, wire: _Wire, backend: BackendClient, images: Sequence[str]) -> None:
        self._wire, self._backend, self._images = wire, backend, images
        self._bodies = [json.dumps({"images": [image]}).encode() for image in images]
        self._probes = [json.dumps({"image": image}).encode() for image in images]
        self._batches = [
            json.dumps({"subjects": [{"images": [image]} for image in images[start : start + BATCH]]}).encode()
            for start in range(0, len(images), BATCH)
        ]
        self._enrolled: list[str] = []

    def enrol(self, clients: int) -> float:
        self._erase()
        return self._round(clients, self._enrol, self._bodies)

    def enrol_batch(self, clients: int) -> float:
        self._erase()
        answers: list[bytes] = []
        took = self._round(clients, lambda body: answers.append(self._wire.post("/v1/subjects/batch", body)), self._batches)
        results = [wire.EnrolBatch.model_validate_json(answer).results for answer in answers]
        self._enrolled = [one.enrolment.subject_id for some in results for one in some if one.enrolment is not None]
        if len(self._enrolled) != len(self._images):
            raise RuntimeError(f"not everybody was enrolled: {results}")
        return took

    def verify(self, clients: int) -> float:
        both = zip(self._images, self._enrolled, strict=True)
        bodies = [json.dumps({"image": image, "subject_id": subject_id}).encode() for image, subject_id in both]
        return self._round(clients, partial(self._wire.post, "/v1/verify"), bodies)

    def identify(self, clients: int) -> float:
        return self._round(clients, partial(self._wire.post, "/v1/identify"), self._probes)

    def _erase(self) -> None:
        """What was enrolled before, so that all rounds find an empty gallery."""
        for subject_id in self._enrolled:
            self._backend.erase_subject(subject_id)
        self._enrolled = []

    def _enrol(self, body: bytes) -> None:
        self._enrolled.append(json.loads(self._wire.post("/v1/subjects", body))["subject_id"])

    def _round(self, clients: int, ask: Callable[..., object], items: Sequence[object]) -> float:
        with ThreadPoolExecutor(clients) as pool:
            return seconds(lambda: list(pool.map(ask, items)))


@contextmanager
def _bare(pack: Path, photographs: Sequence[Path]) -> Iterator[dict[str, Callable[[int], float]]]:
    command = [sys.executable, "-m", "tests.bench.raw_models", str(pack), *map(str, photographs)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def ask(what: str, clients: int) -> float:
        stdin.write(f"{what} {clients}\n")
        stdin.flush()
        return float(stdout.readline())

    try:
        while (line := stdout.readline()) != "ready\n":
            assert line, "the bare models ended"
        yield {what: partial(ask, what) for what in ("enrol", "probe")}
    finally:
        process.communicate(timeout=60)
