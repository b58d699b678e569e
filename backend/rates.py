"""How many requests a key may make: those of the last minute are counted, in this replica alone.

The count is exact (a sliding window, not one that starts anew at each full minute), asks no database, and is lost with the
process; a fleet of n replicas hears up to n times a key's limit. A request that is refused does not count, so that a client that
does not wait is heard again all the same.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from backend.errors import RateLimited
from backend.store.caller import Caller

WINDOW_S = 60


@dataclass(frozen=True)
class Allowance:
    """What a key may do: `quota` requests in any minute, `left` of them now; `more_in_s` seconds until one more is free."""

    quota: int
    left: int
    more_in_s: int
    heard: bool

    def headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"key";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"key";r={self.left};t={self.more_in_s}',
        }

    def require(self) -> None:
        """Raises RateLimited."""
        if not self.heard:
            detail = f"This key may make {self.quota} requests a minute: wait {self.more_in_s} s"
            raise RateLimited(detail, retry_after_s=self.more_in_s)


class Rates:
    """For one thread, the event loop's."""

    def __init__(self, default_per_minute: int, *, now: Callable[[], float] = time.monotonic) -> None:
        """`default_per_minute`: of a key without a limit of its own; 0: none. `now` gives seconds."""
        self._default = default_per_minute
        self._now = now
        self._heard: dict[str, deque[float]] = {}

    def count(self, caller: Caller, *, marked: bool) -> Allowance | None:
        """One more request of `caller`; None for whoever has no limit: people, keys without one, the demo's.

        `marked`: as demo traffic. Anybody can do that, so it counts only where an administrator made the key for it.
        """
        quota = self._default if caller.rate_per_minute is None else caller.rate_per_minute
        if caller.kind != "key" or quota == 0 or (marked and caller.synthetic):
            return None
        now = self._now()
        times = self._times(caller.id, now)
        if heard := len(times) < quota:
            times.append(now)
        # The first that has to leave the window before there is room: the oldest, or a later one where the limit was lowered.
        leaves_at = times[max(0, len(times) - quota)] + WINDOW_S
        left = max(0, quota - len(times))
        return Allowance(quota, left, more_in_s=max(1, math.ceil(leaves_at - now)), heard=heard)

    def _times(self, key_id: str, now: float) -> deque[float]:
        """When `key_id` was heard within the window, the oldest first."""
        if key_id not in self._heard:
            self._heard = {one: times for one, times in self._heard.items() if times and times[-1] > now - WINDOW_S}
        times = self._heard.setdefault(key_id, deque())
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        return times
