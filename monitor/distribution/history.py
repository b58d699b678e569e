"""One backend's counters by route over the last minutes, cut to any window. Pure.

Backends are scraped one after another, so the same window must be cut out of each one's counters, or a burst at its edge would
count for one of them and not for another.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.load import increment
from monitor.probe.scrape import Scrape
from monitor.tally import Served

KEEP = timedelta(minutes=5)
SLOW_START = timedelta(seconds=30)
"""Caches fill and threads start in it: a backend is judged by windows that begin later."""


@dataclass(frozen=True)
class Piece:
    """Between two scrapes of one backend."""

    since: datetime
    until: datetime
    served: Served
    restarted: bool

    def within(self, start: datetime, end: datetime) -> Served:
        """As if it had come evenly."""
        length = (self.until - self.since).total_seconds()
        inside = (min(self.until, end) - max(self.since, start)).total_seconds()
        return self.served.scaled(1.0 if inside >= length else max(0.0, inside / length))


class ServedHistory:
    def __init__(self) -> None:
        self.last: Scrape | None = None
        self._pieces: deque[Piece] = deque()

    def add(self, scrape: Scrape) -> None:
        """Scrapes come in the order in which they were taken; one that was already seen changes nothing."""
        before = self.last
        if before is not None and scrape.at <= before.at:
            return
        self.last = scrape
        if before is None:
            return
        restarted = increment(before, scrape).restarted
        served = scrape.served if restarted else scrape.served.minus(before.served)
        self._pieces.append(Piece(before.at, scrape.at, served, restarted))
        while self._pieces[0].until < scrape.at - KEEP:
            self._pieces.popleft()

    def between(self, start: datetime, end: datetime) -> Served:
        return Served.merged(piece.within(start, end) for piece in self._touching(start, end))

    def settled(self, start: datetime, end: datetime, *, eligible_since: datetime | None) -> bool:
        """Whether all of the window was seen, of one process, past its slow start, and clients were meant to reach it."""
        touching = self._touching(start, end)
        if not touching or touching[0].since > start or touching[-1].until < end:
            return False
        if eligible_since is None or eligible_since > start or any(piece.restarted for piece in touching):
            return False
        started = self.last.process_started_at if self.last else None
        return started is None or started + SLOW_START <= start

    def _touching(self, start: datetime, end: datetime) -> list[Piece]:
        return [piece for piece in self._pieces if piece.until > start and piece.since < end]
