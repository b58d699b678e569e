"""Callers through the balancer, each with one request after the other: when each began, how long it took, who served it."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from tests.system.load.fleet import client
from tests.system.running_fleet import Fleet

CALLERS = 8
MOST = 20_000


@dataclass(frozen=True)
class Call:
    began: float
    ended: float
    status: int
    """0: the connection broke"""
    served_by: str | None

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 300

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Callers:
    """Half of the requests carry a photograph, half read a record; times are monotonic."""

    fleet: Fleet
    subject_id: str
    photograph: bytes
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)

    def _run(self, number: int) -> None:
        image = {"image": base64.b64encode(self.photograph).decode()}
        with client(self.fleet) as http:
            for turn in range(MOST):
                if self._stop.is_set():
                    return
                began = time.monotonic()
                try:
                    if (turn + number) % 2:
                        answer = http.post("/v1/detect", json=image)
                    else:
                        answer = http.get(f"/v1/subjects/{self.subject_id}")
                    made = Call(began, time.monotonic(), answer.status_code, answer.headers.get("x-served-by"))
                except httpx.TransportError:
                    made = Call(began, time.monotonic(), 0, None)
                with self._lock:
                    self.calls.append(made)


def rate(calls: Sequence[Call], start: float, end: float) -> float:
    """Good answers a second between two moments."""
    return sum(start <= call.ended < end and not call.failed for call in calls) / (end - start)
