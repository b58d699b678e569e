"""The load's distribution over a watched fleet: from the backends' metrics to findings in the API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from prometheus_client import Counter

from monitor import views
from monitor.distribution.watch import DistributionWatch
from monitor.fleet import Fleet
from monitor.probe.outcome import Reason, Result, Round
from monitor.probe.scrape import parse
from monitor.verdict import Readiness
from monitor.watch import FleetWatch
from monitor.wire import FindingKind, ProbeKind
from tests.monitor.test_load import NOW, RealCounters
from tests.monitor.test_watch import REFUSED, Turning

SCRAPE_S = 4


async def connected() -> bool:
    return True


class Site:
    """A watched fleet under round robin, whose backends count for real; time is the test's."""

    def __init__(self, *names: str, strategy: str = "round_robin") -> None:
        backends = [
            {"name": name, "url": f"http://10.0.0.{i}:8000", "address": f"10.0.0.{i}:8000", "server_name": name}
            for i, name in enumerate(names, 1)
        ]
        balancer = {"kind": "haproxy", "strategy": strategy}
        self.clock = Turning()
        self.clock.now = NOW
        described = Fleet.model_validate({"backends": backends, "balancer": balancer, "probes": {"interval_s": 4}})
        self.watch = FleetWatch(described, own_connectivity=connected, clock=self.clock)
        self.distribution = DistributionWatch()
        self.counters = {name: RealCounters(started=NOW.timestamp() - 600) for name in names}
        self.down: set[str] = set()

    def go(self, seconds: int, *, serve: Mapping[str, tuple[int, int]]) -> None:
        """`serve`: backend -> (good answers, errors) per four seconds."""
        for _ in range(seconds // SCRAPE_S):
            self.clock.now += timedelta(seconds=SCRAPE_S)
            for name, counters in self.counters.items():
                good, bad = serve.get(name, (0, 0))
                counters.serve(good, seconds=0.1)
                counters.serve(bad, seconds=0.1, status=500)
                self._hear(name, counters)
            window = self.distribution.look(self.watch.fleet.balancer, self.watch.backends.values(), self.clock.now)
            if window is not None:
                self.distribution.judge(window)

    def _hear(self, name: str, counters: RealCounters) -> None:
        reason: Reason | None = REFUSED if name in self.down else None
        at = self.clock.now
        results = {kind: Result(kind, at, reason, readiness=Readiness(ever_ready=True)) for kind in ProbeKind}
        scrape = None if reason else counters.scrape((at - NOW).total_seconds())
        asyncio.run(self.watch.hear(Round(name, at, results, scrape), self.watch.backends[name].spec))

    def said(self) -> list[tuple[FindingKind, str | None]]:
        return [(one.kind, one.backend) for one in self.distribution.findings]


EVEN = {"b1": (10, 0), "b2": (10, 0), "b3": (10, 0)}
ILL = EVEN | {"b3": (6, 4)}


def test_a_failing_backend_is_found_within_two_windows_and_the_api_says_so_with_its_figures() -> None:
    site = Site("b1", "b2", "b3")
    site.go(130, serve=EVEN)
    assert site.said() == []
    site.go(130, serve=ILL)
    assert site.said() == [(FindingKind.errors, "b3")]
    view = views.load_view(site.watch, site.distribution, window_s=300, now=site.clock.now)
    (finding,) = view.findings
    assert "b3 fails 4" in finding.sentence
    assert finding.figures["error_ratio"] > 0.3
    assert view.findings_at == finding.at <= site.clock.now
    site.go(130, serve=EVEN)
    assert site.said() == []


def test_a_starved_backend_is_found_and_one_that_is_down_is_not_called_starved() -> None:
    site = Site("b1", "b2", "b3")
    site.go(130, serve=EVEN)
    site.go(130, serve=EVEN | {"b3": (3, 0)})
    assert site.said() == [(FindingKind.unfair_share, "b3")]
    site.down = {"b3"}
    site.go(200, serve={"b1": (15, 0), "b2": (15, 0)})
    assert site.said() == []


def test_who_just_came_back_is_not_judged_by_the_window_in_which_it_did() -> None:
    site = Site("b1", "b2", "b3")
    site.go(130, serve=EVEN)
    site.down = {"b3"}
    site.go(60, serve={"b1": (15, 0), "b2": (15, 0)})
    site.down = set()
    site.counters["b3"] = RealCounters(started=site.clock.now.timestamp())
    site.go(240, serve=EVEN)
    assert site.said() == []


def test_the_fairness_of_the_page_leaves_out_who_came_within_the_window_too() -> None:
    site = Site("b1", "b2", "b3")
    site.go(130, serve=EVEN)
    site.down = {"b3"}
    site.go(40, serve={"b1": (15, 0), "b2": (15, 0)})
    site.down = set()
    site.counters["b3"] = RealCounters(started=site.clock.now.timestamp())
    site.go(24, serve=EVEN)
    view = views.load_view(site.watch, site.distribution, window_s=60, now=site.clock.now)
    share = view.shares["b3"].share
    assert share is not None
    assert share < 0.2
    assert not view.fairness.flagged, view.fairness.sentence
    site.go(80, serve=EVEN)
    later = views.load_view(site.watch, site.distribution, window_s=60, now=site.clock.now)
    assert later.fairness.sentence.startswith("Even"), "all three are judged again"


def test_a_window_waits_for_the_scrapes_beyond_its_end_and_is_judged_once() -> None:
    site = Site("b1", "b2")
    site.go(60, serve=EVEN)
    assert site.distribution.judged_at is None
    site.go(8, serve=EVEN)
    first = site.distribution.judged_at
    assert first is not None
    site.go(40, serve=EVEN)
    assert site.distribution.judged_at == first
    site.go(24, serve=EVEN)
    assert site.distribution.judged_at == first + timedelta(seconds=60)


def test_after_a_standstill_of_the_monitor_the_windows_that_nobody_watched_are_left_out() -> None:
    site = Site("b1", "b2", "b3")
    site.go(130, serve=EVEN)
    site.clock.now += timedelta(seconds=600)
    site.go(70, serve=ILL)
    judged = site.distribution.judged_at
    assert judged is not None
    assert judged > site.clock.now - timedelta(seconds=80)


def test_a_backend_that_left_the_fleet_file_is_forgotten() -> None:
    site = Site("b1", "b2", "b3")
    site.go(130, serve=EVEN)
    smaller = site.watch.fleet.model_copy(update={"backends": site.watch.fleet.backends[:2]})
    site.watch.adopt(smaller)
    site.counters.pop("b3")
    site.go(130, serve=EVEN)
    assert site.said() == []
    assert site.distribution.judged_at is not None


def test_the_decision_mix_of_the_last_window_is_shown_per_backend() -> None:
    site = Site("b1", "b2")
    made = Counter("face_auth_decisions", "n", ["operation", "decision"], registry=site.counters["b1"].registry)
    for _ in range(40):
        made.labels("verify", "match").inc(3)
        made.labels("verify", "non_match").inc(1)
        site.go(4, serve=EVEN)
    view = views.load_view(site.watch, site.distribution, window_s=60, now=site.clock.now)
    assert view.decisions == {"b1": {"verify": {"match": 45, "non_match": 15}}, "b2": {}}


def test_demo_traffic_moves_no_finding() -> None:
    """The backends count it under a name of its own, which nobody here reads."""
    text = 'http_requests_total{method="GET",route="/v1/stats",status="200"} 1\nsynthetic_requests_total{status="500"} 99\n'
    scrape = parse(text, at=datetime(2026, 1, 1, tzinfo=UTC))
    assert [tally.requests for tally in scrape.served.routes.values()] == [1]
    assert scrape.errors == 0
