"""Enrols altered photographs through the balancer at a steady pace: does an attempt that is repeated enrol twice?"""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.system.alterations import altered

EVERY_S = 0.5
MOST = 800


class Enroller:
    """One thread, one request after the other; no idempotency key, so that it is the balancer that gives one."""

    def __init__(self, client: httpx.Client, photographs: list[Path], *, seed: int) -> None:
        self._client, self._photographs, self._rng = client, photographs, random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.statuses: Counter[str] = Counter()

    @property
    def enrolled(self) -> int:
        return self.statuses["201"]

    @property
    def failed(self) -> dict[str, int]:
        """What was neither enrolled nor refused for the picture's sake (422)."""
        return {status: count for status, count in self.statuses.items() if status not in ("201", "422")}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        for _ in range(MOST):
            if self._stop.wait(EVERY_S):
                return
            photograph = altered(self._rng.choice(self._photographs), self._rng)
            files = {"images": ("face.jpg", photograph, "image/jpeg")}
            try:
                answer = self._client.post("/v1/subjects", files=files, data={"face": "largest"})
            except httpx.TransportError as error:
                self.statuses[type(error).__name__] += 1
            else:
                self.statuses[str(answer.status_code)] += 1
