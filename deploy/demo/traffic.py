"""A trickle of marked verify and identify requests, so that a fresh fleet shows life. Bounded in rate, number and time."""

from __future__ import annotations

import base64
import itertools
import threading
import time
from collections.abc import Callable, Mapping

import httpx

from deploy.local.api import Api
from deploy.sentence import Sentence

EVERY_S = 1.0
MOST_REQUESTS = 10_000
LONGEST_S = 4 * 3600.0


def trickle(
    api: Api,
    faces: Mapping[str, bytes],
    subjects: Mapping[str, str],
    *,
    stopping: threading.Event,
    every_s: float = EVERY_S,
    most: int = MOST_REQUESTS,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Send until told to stop or a bound is reached; answers with how many were sent. A fleet in trouble is not pressed."""
    start, sent = clock(), 0
    keys = itertools.cycle(sorted(faces))
    while sent < most and clock() - start < LONGEST_S and not stopping.wait(every_s) and subjects:
        key = next(keys)
        image = base64.b64encode(faces[key]).decode()
        try:
            if sent % 2:
                api.post("/v1/identify", {"image": image, "limit": 3})
            else:
                api.post("/v1/verify", {"image": image, "subject_id": subjects[key]})
        except (Sentence, httpx.HTTPError):
            pass  # somebody rehearses a fault: the next one comes in a second
        sent += 1
    return sent
