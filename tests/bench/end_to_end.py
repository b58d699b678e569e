"""Whole requests over HTTP beside the bare models on the same photographs: what everything that is not a model costs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from backend.client import BackendClient, NewSubject
from backend.faces.cores import usable_cores
from tests.api.service import make_site, serving
from tests.bench.measure import Benchmark, Setting, compared, seconds
from tests.system.running_fleet import ROOT

CLIENTS = (1, 2, 4, 8)
PEOPLE = 48
"""photographs of a round: enough that its beginning and its end, with fewer requests at once, do not count"""
BATCH = 16
AT_SATURATION = "≤ 1.15"


def end_to_end(setting: Setting) -> Iterator[Benchmark]:
    pack, photographs = setting.testdata / "models" / "test_mbf", sorted((setting.testdata / "gallery").glob("*.jpg"))[:PEOPLE]
    site = make_site(setting.folder / "site", BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=str(pack))
    with serving(site, BACKEND_LOG_LEVEL="WARNING") as service, _bare(pack, photographs) as raw:
        asking = _Asking(service.client(site.key("admin")), [path.read_bytes() for path in photographs])
        for name, ours in {"enrol": asking.enrol, "verify": asking.verify, "identify": asking.identify}.items():
            for clients in CLIENTS:
                yield compared(
                    f"{name}, end to end, {clients} client{'s' * (clients > 1)}",
                    partial(_milliseconds, ours, clients),
                    partial(_milliseconds, raw["enrol" if name == "enrol" else "probe"], clients),
                    unit="ms a request",
                    peer=f"the bare models, {min(clients, usable_cores())} threads",
                    aim=AT_SATURATION if clients >= 2 * usable_cores() else "–",
                    rounds=setting.rounds,
                )
        yield compared(
            f"enrol in batches of {BATCH}, end to end",
            partial(_milliseconds, asking.enrol_batch, 1),
            partial(_milliseconds, raw["enrol"], usable_cores()),
            unit="ms a subject",
            peer=f"the bare models, {usable_cores()} threads",
            aim=AT_SATURATION,
            rounds=setting.rounds,
        )


def _milliseconds(work: Callable[[int], float], clients: int) -> float:
    """Of the whole machine: seconds of a round over its requests."""
    return work(clients) / PEOPLE * 1000


class _Asking:
    """Each method is a round: every photograph once, by so many clients; gives its seconds."""

    def __init__(self, backend: BackendClient, photographs: Sequence[bytes]) -> None:
        self._backend, self._photographs = backend, photographs
        self._enrolled: list[str] = []

    def enrol(self, clients: int) -> float:
        self._erase()
        return self._round(clients, self._enrol, self._photographs)

    def enrol_batch(self, _: int) -> float:
        self._erase()
        newcomers = [NewSubject([photograph]) for photograph in self._photographs]
        batches = [newcomers[start : start + BATCH] for start in range(0, len(newcomers), BATCH)]
        started = time.perf_counter()
        results = [result for batch in batches for result in self._backend.enrol_batch(batch)]
        took = time.perf_counter() - started
        self._enrolled = [result.enrolment.subject_id for result in results if result.enrolment is not None]
        if len(self._enrolled) != len(newcomers):
            raise RuntimeError(f"not everybody was enrolled: {[result.status for result in results]}")
        return took

    def verify(self, clients: int) -> float:
        return self._round(clients, self._verify, list(zip(self._photographs, self._enrolled, strict=True)))

    def identify(self, clients: int) -> float:
        return self._round(clients, self._backend.identify, self._photographs)

    def _erase(self) -> None:
        """What was enrolled before, so that all rounds find an empty gallery."""
        for subject_id in self._enrolled:
            self._backend.erase_subject(subject_id)
        self._enrolled = []

    def _enrol(self, photograph: bytes) -> None:
        self._enrolled.append(self._backend.enrol([photograph]).subject_id)

    def _verify(self, both: tuple[bytes, str]) -> None:
        self._backend.verify(both[0], subject_id=both[1])

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
