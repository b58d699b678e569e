"""From simulated requests to windows, by the way that real traffic takes: counters, scrapes at each backend's phase, history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from monitor.distribution.history import ServedHistory
from monitor.distribution.window import Member, Window
from monitor.histogram import Histogram
from monitor.probe.scrape import Scrape
from monitor.simulate.events import Finished
from monitor.simulate.scenario import ROUTES, WINDOW_S, Floats, Outage, Scenario
from monitor.tally import Served, Tally

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SCRAPE_S = 4.0
FALL_S = 12.0
"""How long the monitor takes to see that a backend is gone: three probes in its fast interval, and one to be due."""
BOUNDS_S = np.array([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
OPERATIONS = {0: ("verify", "match", "non_match"), 1: ("identify", "candidates", "nobody")}


def windows(scenario: Scenario, done: Finished) -> Iterator[Window]:
    """Whole windows from second 0 of the scenario on."""
    counters = [_Counters(scenario, done, number) for number in range(scenario.size)]
    for index in range(int(scenario.length_s // WINDOW_S) - 1):  # the last one's end is scraped in the time beyond
        start, end = index * WINDOW_S, (index + 1) * WINDOW_S
        members = [one.member(start, end) for one in counters]
        yield Window(_time(end), WINDOW_S, scenario.kind, scenario.strategy, members)


def _time(second: float) -> datetime:
    return EPOCH + timedelta(seconds=second)


class _Counters:
    """One backend: its requests by route, in the order of their answers, and what the monitor heard of it."""

    def __init__(self, scenario: Scenario, done: Finished, number: int) -> None:
        self._scenario, self._number = scenario, number
        self._history = ServedHistory()
        self._outages = [one for one in scenario.outages if one.backend == number]
        mine = np.flatnonzero(done.backend == number)
        mine = mine[np.argsort(done.at_s[mine], kind="stable")]
        self._at, self._route, self._status = done.at_s[mine], done.route[mine], done.status[mine]
        self._took, self._rejected = done.took_s[mine], done.rejected[mine]
        self._bucket = np.searchsorted(BOUNDS_S, self._took)
        self._cursor = -SCRAPE_S

    def member(self, start: float, end: float) -> Member:
        for at in self._due(start, end):
            if not self._silent(at):
                self._history.add(self._scrape(at))
        a, b = _time(start), _time(end)
        name, weight = f"b{self._number + 1}", self._scenario.weights[self._number]
        settled = self._history.settled(a, b, eligible_since=self._eligible_since(end))
        return Member(name, weight, settled, self._history.between(a, b))

    def _due(self, start: float, end: float) -> list[float]:
        """Scrapes on either side of the window's edges and of deaths: those between add up to the same."""
        phase = float(self._scenario.phases_s[self._number])
        edges = [start, end, *(t for o in self._outages for t in (o.dies_s, o.back_s) if start - 9 < t < end + 9)]
        steps = {int(np.floor((edge - phase) / SCRAPE_S)) + more for edge in edges for more in (0, 1)}
        times = sorted(phase + SCRAPE_S * step for step in steps)
        due = [at for at in times if self._cursor < at <= end + SCRAPE_S]
        self._cursor = max([self._cursor, *due])
        return due

    def _silent(self, at: float) -> bool:
        return any(o.dies_s <= at < o.back_s - 2 for o in self._outages)

    def _born(self, at: float) -> Outage | None:
        return max((o for o in self._outages if o.back_s - 2 <= at), key=lambda o: o.back_s, default=None)

    def _eligible_since(self, end: float) -> datetime | None:
        """What the monitor's probes know: a short absence goes unseen by them, the process's new start does not."""
        since = -60.0
        for outage in self._outages:
            if outage.back_s - outage.dies_s <= FALL_S and outage.dies_s == outage.out_s:
                continue
            gone = outage.out_s + (FALL_S if outage.dies_s == outage.out_s else 1.0)
            if gone < end and outage.back_s > end:
                return None
            if outage.back_s <= end:
                since = max(since, outage.back_s)
        return _time(since)

    def _scrape(self, at: float) -> Scrape:
        born = self._born(at)
        first = 0 if born is None else int(np.searchsorted(self._at, born.dies_s, side="right"))
        part = slice(first, int(np.searchsorted(self._at, at, side="right")))
        route, status, rejected = self._route[part], self._status[part], self._rejected[part]
        routes = {}
        for number, name in enumerate(ROUTES):
            mask = route == number
            if mask.any():
                routes[name] = _tally(status[mask], self._took[part][mask], self._bucket[part][mask])
        decisions = {}
        for number, (operation, usual, other) in OPERATIONS.items():
            decided = rejected[(route == number) & (status == 200)]
            decisions[operation, usual] = float(decided.size - decided.sum())
            decisions[operation, other] = float(decided.sum())
        whole = Tally.merged(routes.values())
        return Scrape(
            at=_time(at),
            requests=whole.requests,
            errors=whole.errors,
            latency=whole.latency,
            latency_sum_s=whole.latency_sum_s,
            connections=None,
            in_flight=None,
            process_started_at=_time(born.back_s - 2 if born else -600.0),
            version=None,
            model_id=None,
            gallery_size=None,
            seq=None,
            review_threshold=None,
            served=Served(routes, decisions),
        )


def _tally(status: Floats, took: Floats, bucket: Floats) -> Tally:
    counts = np.bincount(bucket.astype(np.int64), minlength=BOUNDS_S.size + 1)
    bounds = [*BOUNDS_S.tolist(), float("inf")]
    return Tally(
        requests=float(status.size),
        errors=float((status >= 500).sum()),
        refused=float((status == 422).sum()),
        latency=Histogram(dict(zip(bounds, counts.astype(float).tolist(), strict=True))),
        latency_sum_s=float(took.sum()),
    )
