"""The load's distribution over the running fleet: counters come in with each tick, a window is judged when all of it was scraped.

Lives in the event loop's thread, but for `judge`. It reads no network; the time comes with each look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from monitor import fleet, wire
from monitor.backend_watch import BackendWatch
from monitor.distribution.history import ServedHistory
from monitor.distribution.judge import Finding, Memory, judge
from monitor.distribution.window import Member, Window
from monitor.tally import Served

log = logging.getLogger(__name__)

WINDOW_S = 60.0
"""Fixed: the thresholds' error rates were measured with it (docs/load-findings.md)."""
PATIENCE = timedelta(seconds=15)
"""For scrapes that lie beyond a window's end, before it is judged without those who gave none."""


class DistributionWatch:
    """What is found wrong now, and what was seen to find it."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.judged_at: datetime | None = None
        self.decisions: dict[str, dict[str, dict[str, int]]] = {}
        """of the last judged window: backend, operation, decision"""
        self._memory = Memory()
        self._histories: dict[str, tuple[tuple[str, str], ServedHistory]] = {}
        self._eligible_since: dict[str, datetime] = {}
        self._until: datetime | None = None

    def look(self, balancer: fleet.Balancer, backends: Iterable[BackendWatch], now: datetime) -> Window | None:
        """Take in what was scraped since the last look; gives the window that became complete, to be judged."""
        backends = list(backends)
        for one in backends:
            self._hear(one, now)
        names = {one.spec.name for one in backends}
        self._histories = {name: known for name, known in self._histories.items() if name in names}
        self._eligible_since = {name: since for name, since in self._eligible_since.items() if name in names}
        if self._until is None:
            self._until = now + timedelta(seconds=WINDOW_S)
        until = self._until
        if now < until or not self._complete(until, now):
            return None
        # After a standstill of the monitor itself, whole windows that nobody watched are left out.
        missed = (now - until) // timedelta(seconds=WINDOW_S)
        self._until = until + timedelta(seconds=WINDOW_S) * (missed + 1)
        start = until - timedelta(seconds=WINDOW_S)
        members = [self._member(one.spec, start, until) for one in backends]
        return Window(until, WINDOW_S, balancer.kind, balancer.strategy, members)

    def judge(self, window: Window) -> None:
        """A fifth of a second for a large fleet with many routes: for a thread."""
        before = {(one.kind, one.backend) for one in self.findings}
        found, self._memory = judge(window, self._memory)
        self.findings, self.judged_at = found, window.until
        self.decisions = {member.name: _decisions(member) for member in window.members}
        for one in found:
            if (one.kind, one.backend) not in before:
                log.warning("load: %s", one.sentence)

    def served(self, name: str, window_s: float, now: datetime) -> Served:
        """What one backend answered in the last `window_s` seconds, at most `history.KEEP` of them."""
        known = self._histories.get(name)
        return known[1].between(now - timedelta(seconds=window_s), now) if known else Served()

    def views(self) -> list[wire.LoadFinding]:
        return [
            wire.LoadFinding(
                kind=one.kind, backend=one.backend, sentence=one.sentence, figures=dict(one.figures), since=one.since, at=one.at
            )
            for one in self.findings
        ]

    def _hear(self, one: BackendWatch, now: datetime) -> None:
        name, target = one.spec.name, (one.spec.url, one.spec.address)
        known = self._histories.get(name)
        if known is None or known[0] != target:
            known = self._histories[name] = (target, ServedHistory())
            self._eligible_since.pop(name, None)
        if one.history.last is not None:
            known[1].add(one.history.last)
        if one.eligible():
            self._eligible_since.setdefault(name, now)
        else:
            self._eligible_since.pop(name, None)

    def _complete(self, until: datetime, now: datetime) -> bool:
        if now >= until + PATIENCE:
            return True
        lasts = [self._histories[name][1].last for name in self._eligible_since]
        return all(last is not None and last.at >= until for last in lasts)

    def _member(self, spec: fleet.Backend, start: datetime, until: datetime) -> Member:
        history = self._histories[spec.name][1]
        settled = history.settled(start, until, eligible_since=self._eligible_since.get(spec.name))
        return Member(spec.name, spec.weight, settled, history.between(start, until))


def _decisions(member: Member) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (operation, decision), count in member.served.decisions.items():
        if round(count):
            found.setdefault(operation, {})[decision] = round(count)
    return found
