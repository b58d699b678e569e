"""How often somebody may try to sign in: failures per name and per address in a sliding window. Time is passed in."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

REMEMBERED = 10_000


@dataclass(frozen=True)
class Limits:
    """Failures allowed within `window_s` seconds."""

    per_name: int = 5
    per_address: int = 30
    window_s: float = 300.0


class Attempts:
    """Failed sign-ins of the last minutes; holds at most `REMEMBERED` names and addresses."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, name: str, address: str, now: float) -> float:
        """Seconds until another attempt is heard; 0 when one is heard now."""
        with self._lock:
            return max(self._wait_s(key, most, now) for key, most in self._keys(name, address))

    def failed(self, name: str, address: str, now: float) -> None:
        with self._lock:
            for key, _ in self._keys(name, address):
                self._failures.setdefault(key, deque()).append(now)
                self._failures.move_to_end(key)
            while len(self._failures) > REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, name: str) -> None:
        with self._lock:
            self._failures.pop(f"name {name}", None)

    def _keys(self, name: str, address: str) -> tuple[tuple[str, int], tuple[str, int]]:
        return (f"name {name}", self._limits.per_name), (f"address {address}", self._limits.per_address)

    def _wait_s(self, key: str, most: int, now: float) -> float:
        times = self._failures.get(key)
        if times is None:
            return 0.0
        while times and times[0] <= now - self._limits.window_s:
            times.popleft()
        if not times:
            del self._failures[key]
            return 0.0
        return times[-most] + self._limits.window_s - now if len(times) >= most else 0.0
