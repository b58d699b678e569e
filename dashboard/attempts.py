"""How often somebody may try to sign in: failures in a sliding window, by who is asked for and from where. Time is passed in.

Three counts bound a guesser: for one name from one address, for one address, for one name from anywhere. The last is the highest,
and none of the three touches a browser that its person has signed in from before (`browsers`), which is counted by itself: so
nobody is kept out by a stranger who fails in their name.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

REMEMBERED = 10_000


@dataclass(frozen=True)
class Limits:
    """Failures allowed within `window_s` seconds; `per_name` is over all addresses, `per_browser` of one that is known."""

    per_name_and_address: int = 5
    per_address: int = 30
    per_name: int = 50
    per_browser: int = 5
    window_s: float = 300.0


class Attempts:
    """Failed sign-ins of the last minutes; holds at most `REMEMBERED` names, addresses and browsers.

    An attempt counts as failed from its beginning: a hundred at once are not all heard before the first of them has failed.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, name: str, address: str, now: float, *, browser: str | None = None) -> float:
        """0, and the attempt is counted; or the seconds until it would be heard. `browser`: the id of one known for this name."""
        with self._lock:
            counts = self._counts(name, address, browser)
            wait = max(self._wait_s(key, most, now) for key, most in counts)
            if wait == 0:
                for key, _ in counts:
                    self._failures.setdefault(key, deque()).append(now)
                    self._failures.move_to_end(key)
                while len(self._failures) > REMEMBERED:
                    self._failures.popitem(last=False)
            return wait

    def succeeded(self, name: str, address: str, *, browser: str | None = None) -> None:
        """The attempt that began last was none to be counted, and whoever made it starts anew; others' failures stay."""
        with self._lock:
            own, *shared = (key for key, _ in self._counts(name, address, browser))
            self._failures.pop(own, None)
            for key in shared:
                if times := self._failures.get(key):
                    times.pop()

    def _counts(self, name: str, address: str, browser: str | None) -> list[tuple[str, int]]:
        """The caller's own first."""
        limits = self._limits
        if browser is not None:
            return [(f"browser {browser}", limits.per_browser)]
        return [
            (f"name {name} address {address}", limits.per_name_and_address),
            (f"address {address}", limits.per_address),
            (f"name {name}", limits.per_name),
        ]

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
