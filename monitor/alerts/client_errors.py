"""4xx answers per backend over a window, from the counters of successive scrapes. Pure."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from monitor.probe.scrape import Scrape


class ClientErrors:
    """Of one backend."""

    def __init__(self, *, keep_s: float) -> None:
        self._keep = timedelta(seconds=keep_s)
        self._last: Scrape | None = None
        self._seen: deque[tuple[datetime, float]] = deque()

    def add(self, scrape: Scrape) -> None:
        """A counter that went back is a new process: what it shows came since."""
        before, self._last = self._last, scrape
        if before is None or scrape.at <= before.at:
            return
        restarted = scrape.requests < before.requests or scrape.client_errors < before.client_errors
        self._seen.append((scrape.at, scrape.client_errors - (0 if restarted else before.client_errors)))

    def over_window(self, now: datetime) -> int | None:
        """None where no two scrapes lie in it."""
        while self._seen and self._seen[0][0] <= now - self._keep:
            self._seen.popleft()
        return round(sum(count for _, count in self._seen)) if self._seen else None
