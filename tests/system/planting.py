"""Clients that plant duplicates: two copies of one photograph, sent to different replicas at the same moment."""

from __future__ import annotations

import base64
import io
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

GIVE_UP_S = 120
"""How long a client repeats one request before it counts as never acknowledged."""
MOST_PAIRS = 2_000
BATCHED = 0.2
"""share of the pairs whose two copies come in one batch"""

PICTURE_NOT_GOOD_ENOUGH = ("no_face", "poor_quality", "face_too_small")
"""Right answers to some altered copies of small photographs; any other refusal is a failure."""


@dataclass
class Record:
    """What the clients were promised."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """subject id → the planted group it belongs to; those erased since are gone"""
    rejected: int = 0
    erased: int = 0
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)
    batches: int = 0
    """pairs that came in one"""
    spreads_s: list[float] = field(default_factory=list)
    """between the two copies of any other pair being sent"""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Planting:
    """Two clients, each in a thread of its own, that start their requests together."""

    name: str
    rng: random.Random
    policy: str
    groups: Sequence[tuple[int, Path]]
    copy: Callable[[Path, random.Random], bytes]
    urls: Sequence[str]
    key: str
    record: Record
    pause_s: float = 0.0
    """between two pairs"""

    def run(self, done: threading.Event) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        with httpx.Client(timeout=30, trust_env=False, headers=headers) as http, ThreadPoolExecutor(2) as pool:
            for turn in range(MOST_PAIRS):
                if done.is_set():
                    return
                self._plant(http, pool, turn)
                done.wait(self.pause_s)

    def _plant(self, http: httpx.Client, pool: ThreadPoolExecutor, turn: int) -> None:
        group, photograph = self.rng.choice(self.groups)
        replicas = self.rng.sample(range(len(self.urls)), 2)
        erase = self.policy == "reject" and self.rng.random() < 0.5
        names = [f"{self.name}-{turn}-{i}" for i in range(2)]
        images = [self.copy(photograph, self.rng) for _ in names]
        if self.rng.random() < BATCHED:
            living = self._enrol_batch(http, names, images, replicas[0], group)
        else:
            living = self._race(http, pool, names, images, replicas, group)
        if erase and living:
            self._erase(http, living[0])

    def _race(
        self,
        http: httpx.Client,
        pool: ThreadPoolExecutor,
        names: Sequence[str],
        images: Sequence[bytes],
        replicas: Sequence[int],
        group: int,
    ) -> list[str]:
        """To different replicas at the same moment; the new subjects."""
        bodies = [json.dumps(self._subject(*one)).encode() for one in zip(names, images, strict=True)]  # whole before they start
        start, sent = threading.Barrier(2), [0.0, 0.0]

        def send(i: int) -> str | None:
            start.wait()
            sent[i] = time.monotonic()
            return self._enrol(http, names[i], bodies[i], replicas[i], group)

        living = [found for found in pool.map(send, range(2)) if found is not None]
        with self.record.lock:
            self.record.spreads_s.append(abs(sent[0] - sent[1]))
        return living

    def _enrol_batch(
        self, http: httpx.Client, names: Sequence[str], images: Sequence[bytes], start: int, group: int
    ) -> list[str]:
        """In one request; the new subjects. Repeated until each has its result."""
        subjects = [self._subject(name, image) | {"idempotency_key": name} for name, image in zip(names, images, strict=True)]
        body, until = json.dumps({"subjects": subjects}).encode(), time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            answer = self._answered(http, "POST", "/v1/subjects/batch", start, content=body)
            if answer is None:
                break
            if answer.status_code != 200:
                self._noted(answer.status_code, answer.json(), group)
                return []
            results = answer.json()["results"]
            if all(result["status"] != 503 for result in results):
                with self.record.lock:
                    self.record.batches += 1
                noted = [self._noted(one["status"], one["enrolment"] or one["problem"], group) for one in results]
                return [found for found in noted if found is not None]
        with self.record.lock:
            self.record.unanswered += len(names)
        return []

    def _subject(self, name: str, image: bytes) -> dict[str, object]:
        encoded = base64.b64encode(image).decode()
        return {"images": [encoded], "external_id": name, "face": "largest", "on_duplicate": self.policy}

    def _enrol(self, http: httpx.Client, name: str, body: bytes, start: int, group: int) -> str | None:
        """The new subject, where there is one."""
        answer = self._answered(http, "POST", "/v1/subjects", start, content=body, headers={"Idempotency-Key": name})
        if answer is not None:
            return self._noted(answer.status_code, answer.json(), group)
        with self.record.lock:
            self.record.unanswered += 1
        return None

    def _noted(self, status: int, told: Mapping[str, Any], group: int) -> str | None:
        """The new subject, where there is one."""
        with self.record.lock:
            if status == 201:
                subject: str = told["subject_id"]
                self.record.acknowledged[subject] = group
                return subject
            if status == 409 and told.get("state") == "rejected" and self.policy == "reject":
                self.record.rejected += 1
            elif told.get("code") not in PICTURE_NOT_GOOD_ENOUGH:
                self.record.refused.append(f"{status} {told.get('code')}")
        return None

    def _erase(self, http: httpx.Client, subject: str) -> None:
        answer = self._answered(http, "DELETE", f"/v1/subjects/{subject}", 0)
        with self.record.lock:
            if answer is not None and answer.status_code in (204, 404):  # 404: an erasure whose answer got lost
                del self.record.acknowledged[subject]
                self.record.erased += 1
            else:
                self.record.refused.append(f"erasure {answer.status_code if answer else 'unanswered'}")

    def _answered(self, http: httpx.Client, method: str, path: str, start: int, **request: object) -> httpx.Response | None:
        """Repeated at the next replica until somebody answers."""
        until, turn = time.monotonic() + GIVE_UP_S, start
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                url = f"{self.urls[turn % len(self.urls)]}{path}"
                answer = http.request(method, url, **request)  # type: ignore[arg-type]
                if answer.status_code not in (502, 503):
                    return answer
            turn += 1
            time.sleep(0.05)
        return None


def near_identical(photograph: Path, rng: random.Random) -> bytes:
    """The same picture, compressed again: certain for any engine."""
    out = io.BytesIO()
    Image.open(photograph).convert("RGB").save(out, "JPEG", quality=rng.randint(85, 95))
    return out.getvalue()
