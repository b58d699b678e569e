"""Load figures: histograms that merge, counters that reset, shares by weight, fairness by policy."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client import Histogram as PrometheusHistogram

from monitor.fairness import Served, cv, jain, judge, noise_floor
from monitor.fleet import BalancerKind, Strategy
from monitor.histogram import Histogram, of_values
from monitor.load import NO_TRAFFIC, NOT_SCRAPED, LoadHistory, Member, expected_shares, loads
from monitor.probe.scrape import NotMetrics, Scrape, parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class RealCounters:
    """prometheus_client itself, as a backend exposes it."""

    def __init__(self, started: float = 1000.0) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("http_requests", "n", ["method", "route", "status"], registry=self.registry)
        self.seconds = PrometheusHistogram("http_request_duration_seconds", "s", ["method", "route"], registry=self.registry)
        self.health = Counter("health_requests", "n", ["route", "status"], registry=self.registry)
        self.started = started

    def serve(self, number: int, *, status: int = 200, seconds: float = 0.02, route: str = "/v1/verify") -> None:
        self.requests.labels("POST", route, str(status)).inc(number)
        for _ in range(number):
            self.seconds.labels("POST", route).observe(seconds)

    def scrape(self, at_s: float) -> Scrape:
        self.health.labels("/live", "200").inc(50)
        text = generate_latest(self.registry).decode() + f"process_start_time_seconds {self.started}\n"
        return parse(text, at=NOW + timedelta(seconds=at_s))


def test_requests_errors_and_latency_are_read_over_all_client_routes_and_no_others() -> None:
    counters = RealCounters()
    counters.serve(7)
    counters.serve(2, status=503, route="/v1/identify")
    scrape = counters.scrape(0)
    assert (scrape.requests, scrape.errors, scrape.latency.total) == (9, 2, 9)
    assert scrape.latency_sum_s == pytest.approx(9 * 0.02)


@pytest.mark.parametrize("text", ["<html>", "http_requests_total{", "other 1\n", ""])
def test_what_is_not_the_backends_metrics_is_refused(text: str) -> None:
    with pytest.raises(NotMetrics):
        parse(text, at=NOW)


def test_a_window_holds_what_came_in_it() -> None:
    counters, history = RealCounters(), LoadHistory()
    counters.serve(100)
    history.add(counters.scrape(0))
    counters.serve(5)
    history.add(counters.scrape(4))
    counters.serve(3, status=500)
    history.add(counters.scrape(8))
    found = history.over(60, NOW + timedelta(seconds=9))
    assert found is not None
    assert (found.requests, found.errors, found.covered_s) == (8, 3, 8)
    later = history.over(60, NOW + timedelta(seconds=300))
    assert later is None, "nothing of this window was seen"


def test_what_straddles_the_windows_start_counts_in_proportion() -> None:
    counters, history = RealCounters(), LoadHistory()
    history.add(counters.scrape(0))
    counters.serve(100)
    history.add(counters.scrape(100))
    found = history.over(25, NOW + timedelta(seconds=100))
    assert found is not None
    assert (found.requests, found.covered_s) == (25, 25)


def test_a_restart_counts_what_the_new_process_served_and_says_so() -> None:
    history, first = LoadHistory(), RealCounters(started=1000)
    first.serve(500)
    history.add(first.scrape(0))
    second = RealCounters(started=2000)
    second.serve(4)
    new = history.add(second.scrape(4))
    assert new is not None
    assert (new.requests, new.latency.total, new.restarted) == (4, 4, True)


def test_a_restart_is_seen_even_when_the_new_counter_is_already_higher() -> None:
    history, first = LoadHistory(), RealCounters(started=1000)
    first.serve(5)
    history.add(first.scrape(0))
    second = RealCounters(started=2000)
    second.serve(9)
    new = history.add(second.scrape(4))
    assert new is not None
    assert (new.requests, new.restarted) == (9, True)


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=2, max_size=30))
def test_no_increment_is_ever_negative_and_all_that_was_seen_is_counted(steps: list[tuple[int, bool]]) -> None:
    scrape = RealCounters().scrape(0)
    history, total, expected, started = LoadHistory(), 0.0, 0.0, NOW
    history.add(replace(scrape, process_started_at=started))
    for number, (served, restarts) in enumerate(steps, 1):
        if restarts:
            started, total = started + timedelta(minutes=1), 0.0
        total += served
        expected += served
        at = NOW + timedelta(seconds=number)
        new = history.add(replace(scrape, at=at, requests=total, process_started_at=started))
        assert new is not None
        assert new.requests == served
    found = history.over(3600, NOW + timedelta(seconds=len(steps)))
    assert found is not None
    assert found.requests == expected


def member(name: str, requests: int | None, *, weight: int = 100, eligible: bool = True) -> Member:
    history = LoadHistory()
    if requests is not None:
        counters = RealCounters()
        history.add(counters.scrape(0))
        counters.serve(requests)
        history.add(counters.scrape(10))
    return Member(name, weight, eligible, history.last, history.over(60, NOW + timedelta(seconds=10)))


def test_shares_stand_beside_what_the_weights_promise() -> None:
    found = loads([member("b1", 60, weight=200), member("b2", 20), member("b3", 0, eligible=False)], window_s=60)
    assert [found[name].share for name in ("b1", "b2", "b3")] == [0.75, 0.25, 0.0]
    assert [found[name].expected_share for name in ("b1", "b2", "b3")] == [pytest.approx(2 / 3), pytest.approx(1 / 3), 0]
    assert found["b1"].rate == pytest.approx(6)
    assert found["b1"].in_flight == pytest.approx(6 * 0.02)


def test_no_traffic_is_said_and_no_share_is_made_up() -> None:
    found = loads([member("b1", 0), member("b2", 0), member("b3", None)], window_s=60)
    assert [found[name].reason for name in ("b1", "b2", "b3")] == [NO_TRAFFIC, NO_TRAFFIC, NOT_SCRAPED]
    assert {load.share for load in found.values()} == {None}
    assert found["b1"].p95_ms is None


@given(st.lists(st.tuples(st.integers(1, 256), st.booleans()), min_size=1, max_size=8))
def test_expected_shares_of_the_eligible_add_up_to_one(members: list[tuple[int, bool]]) -> None:
    found = expected_shares([Member(str(i), weight, eligible, None, None) for i, (weight, eligible) in enumerate(members)])
    values = [value for value in found.values() if value is not None]
    assert sum(values) == pytest.approx(1) if any(e for _, e in members) else not values


samples = st.lists(st.floats(0, 20_000), max_size=60)


@given(samples, samples)
def test_the_quantile_of_merged_histograms_is_that_of_all_values(a: list[float], b: list[float]) -> None:
    merged = Histogram.merged([of_values(a), of_values(b)])
    assert merged.total == len(a) + len(b)
    assert merged.quantile(0.95) == of_values([*a, *b]).quantile(0.95)


@given(st.lists(st.floats(0, 9999), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(values: list[float], q: float) -> None:
    found = of_values(values).quantile(q)
    exact = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    bounds = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]
    upper = next(bound for bound in bounds[1:] if exact <= bound)
    assert found is not None
    assert bounds[bounds.index(upper) - 1] - 1e-9 <= found <= upper + 1e-9


def test_the_quantile_agrees_with_prometheus_own_example() -> None:
    # histogram_quantile(0.9) over le=0.1:10, 0.5:30, 1:40 -> rank 36 of 40: 0.5 + 0.5 * 6/10
    cumulative = Histogram.from_cumulative({0.1: 10, 0.5: 30, 1.0: 40, math.inf: 40})
    assert cumulative.quantile(0.9) == pytest.approx(0.8)
    assert Histogram.from_cumulative({0.1: 0, math.inf: 5}).quantile(0.5) == pytest.approx(0.1)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=20))
def test_jain_is_what_cv_says_and_lies_between_one_nth_and_one(values: list[float]) -> None:
    index, spread = jain(values), cv(values)
    assert index is not None
    assert spread is not None
    assert 1 / len(values) - 1e-9 <= index <= 1 + 1e-9
    assert index == pytest.approx(1 / (1 + spread**2))


@given(st.integers(2, 50), st.integers(1, 10**6))
def test_the_noise_floor_of_equal_weights_is_the_known_one(n: int, total: int) -> None:
    assert noise_floor([7] * n, total) == pytest.approx(math.sqrt((n - 1) / total))


def test_the_noise_floor_with_weights_is_what_chance_makes() -> None:
    dice = random.Random(7)
    weights, total, found = [100, 200, 50], 2000, []
    for _ in range(200):
        counts = [0, 0, 0]
        for index in dice.choices(range(3), weights, k=total):
            counts[index] += 1
        found.append((cv([count / weight for count, weight in zip(counts, weights, strict=True)]) or 0) ** 2)
    assert math.sqrt(sum(found) / len(found)) == pytest.approx(noise_floor(weights, total) or 0, rel=0.15)


def served(*requests: int, in_flight: tuple[float, ...] | None = None) -> list[Served]:
    flights = in_flight or tuple(0.0 for _ in requests)
    return [Served(f"b{i}", 100, n, f) for i, (n, f) in enumerate(zip(requests, flights, strict=True), 1)]


@pytest.mark.parametrize(
    ("given_served", "kind", "strategy", "flagged", "word"),
    [
        (served(500, 500, 500), "nginx", "round_robin", False, "Even"),
        (served(900, 300, 300), "nginx", "round_robin", True, "b1 got 60%"),
        (served(9, 3, 3), "nginx", "round_robin", False, "Even"),  # chance alone does that to 15 requests
        (served(900, 300, 300, in_flight=(5, 5, 5)), "haproxy", "least_connections", False, "Even"),
        (served(500, 500, 500, in_flight=(9, 1, 1)), "haproxy", "least_connections", True, "in flight"),
        (served(900, 300, 300, in_flight=(0.1, 0, 0)), "haproxy", "least_connections", False, "fewer than one"),
        (served(900, 0, 0), "nginx", "ip_hash", False, "promises no even spread"),
        (served(900, 0, 0), "none", "round_robin", False, "promises no even spread"),
        (served(0, 0, 0), "nginx", "round_robin", False, "No traffic"),
        (served(10), "nginx", "round_robin", False, "nothing to compare"),
    ],
)
def test_fairness_is_judged_by_what_the_policy_promises(
    given_served: list[Served], kind: str, strategy: str, flagged: bool, word: str
) -> None:
    found = judge(given_served, kind=BalancerKind(kind), strategy=Strategy(strategy))
    assert found.flagged is flagged
    assert word in found.sentence
