"""Wait for a condition, within a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.1


def within(seconds: float, happens: Callable[[], bool]) -> float | None:
    """Seconds until it was true; None where it was not in time."""
    began = time.monotonic()
    while True:
        if happens():
            return time.monotonic() - began
        if time.monotonic() - began >= seconds:
            return None
        time.sleep(POLL_S)
