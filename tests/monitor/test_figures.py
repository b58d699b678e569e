"""What one backend is busy with: stages, routes, decisions, resources; who would be left without it; and fail-open."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from monitor import wire
from monitor.distribution.watch import DistributionWatch
from monitor.figures import figures_view
from monitor.fleet import Balancer
from monitor.probe.outcome import Reason
from monitor.probe.scrape import Scrape, parse
from monitor.resources import KEEP
from tests.monitor.test_watch import REFUSED, Seeing, a_round, fleet

NOT_READY = Reason("APP.STATUS.503", "not ready")


class Backend:
    """prometheus_client itself, as a backend exposes its figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("http_requests", "n", ["method", "route", "status"], registry=self.registry)
        self.seconds = Histogram("http_request_duration_seconds", "s", ["method", "route"], registry=self.registry)
        self.stages = Histogram("face_auth_stage_duration_seconds", "s", ["stage"], registry=self.registry)
        self.decisions = Counter("face_auth_decisions", "n", ["operation", "decision"], registry=self.registry)
        self.cpu = Counter("process_cpu_seconds", "s", registry=self.registry)
        self.memory = Gauge("process_resident_memory_bytes", "b", registry=self.registry)
        self.lag = Gauge("face_auth_gallery_lag_seconds", "s", registry=self.registry)

    def serve(self, number: int, *, status: int = 200, seconds: float = 0.2) -> None:
        for _ in range(number):
            self.requests.labels("POST", "/v1/verify", str(status)).inc()
            self.seconds.labels("POST", "/v1/verify").observe(seconds)


class Looking:
    """A fleet whose backends are scraped every ten seconds."""

    def __init__(self, *names: str) -> None:
        self.seeing = Seeing(fleet(*names))
        self.distribution = DistributionWatch()

    def scrape(self, name: str, backend: Backend, *, ready: Reason | None = None) -> Scrape:
        seeing = self.seeing
        seeing.clock.now += timedelta(seconds=10)
        scrape = parse(generate_latest(backend.registry).decode(), at=seeing.clock.now)
        found = replace(a_round(name, seeing.clock.now, ready=ready), scrape=scrape)
        asyncio.run(seeing.watch.hear(found, seeing.watch.backends[name].spec))
        self.distribution.look(Balancer(), seeing.watch.backends.values(), seeing.clock.now)
        return scrape

    def figures(self, name: str, *, window_s: float = 300) -> wire.Figures:
        return figures_view(self.seeing.watch, self.distribution, name, window_s=window_s, now=self.seeing.clock.now)


def test_stages_routes_and_decisions_are_those_of_the_window_and_not_since_the_start() -> None:
    looking, backend = Looking("b1"), Backend()
    backend.serve(50)
    backend.stages.labels("search").observe(9)
    looking.scrape("b1", backend)
    backend.serve(3)
    backend.serve(1, status=422)
    for stage, seconds in {"commit": 0.004, "decode": 0.02, "detect": 0.03}.items():
        backend.stages.labels(stage).observe(seconds)
    backend.stages.labels("detect").observe(0.05)
    backend.decisions.labels("verify", "match").inc(3)
    looking.scrape("b1", backend)
    found = looking.figures("b1")
    assert [(one.stage, one.runs, one.mean_ms) for one in found.stages if one.runs] == [
        ("decode", 1, pytest.approx(20)),
        ("detect", 2, pytest.approx(40)),
        ("commit", 1, pytest.approx(4)),
    ]
    assert all(one.mean_ms is None and one.p95_ms is None for one in found.stages if not one.runs)
    assert [(one.route, one.requests, one.errors, one.refused) for one in found.routes] == [("POST /v1/verify", 4, 0, 1)]
    assert found.routes[0].mean_ms == pytest.approx(200)
    assert found.decisions == {"verify": {"match": 3}}
    assert found.at == looking.seeing.clock.now


def test_a_backend_that_was_never_scraped_has_no_figures_and_says_so() -> None:
    found = Looking("b1").figures("b1")
    assert (found.stages, found.routes, found.decisions, found.resources, found.at) == ([], [], {}, [], None)


def test_cpu_is_told_between_two_scrapes_and_a_restart_tells_none() -> None:
    looking, backend = Looking("b1"), Backend()
    backend.memory.set(300)
    backend.cpu.inc(100)
    looking.scrape("b1", backend)
    assert looking.figures("b1").resources[-1].cpu_percent is None
    backend.cpu.inc(5)
    backend.memory.set(400)
    looking.scrape("b1", backend)
    last = looking.figures("b1").resources[-1]
    assert (last.cpu_percent, last.memory_bytes) == (50.0, 400)
    looking.scrape("b1", Backend())
    assert looking.figures("b1").resources[-1].cpu_percent is None


def test_resources_are_kept_a_minute_apart_for_an_hour_and_end_with_the_present() -> None:
    looking, backend = Looking("b1"), Backend()
    for _ in range(3):
        looking.scrape("b1", backend)
    assert len(looking.figures("b1").resources) == 2, "the first, and the present"
    for _ in range(70 * 6):
        looking.scrape("b1", backend)
    points = looking.figures("b1").resources
    assert len(points) in (KEEP, KEEP + 1)
    assert {(b.at - a.at).total_seconds() for a, b in pairwise(points[:-1])} == {60.0}
    assert points[-1].at == looking.seeing.clock.now


def test_a_figure_that_is_no_number_is_none() -> None:
    looking, backend = Looking("b1"), Backend()
    backend.lag.set(float("nan"))
    backend.memory.set(float("inf"))
    looking.scrape("b1", backend)
    last = looking.figures("b1").resources[-1]
    assert (last.lag_s, last.memory_bytes) == (None, None)


def test_the_drains_guard_is_told_before_anybody_drains() -> None:
    looking = Looking("b1", "b2", "b3", "b4")
    for name in ("b1", "b2"):
        looking.seeing.hear(name, times=3)
    left = looking.figures("b1").without_it
    assert (left.names, left.total, left.refused) == (["b2"], 4, True)
    assert left.sentence == "1 of 4 would be left: b2."


def balanced(*names: str) -> Looking:
    looking = Looking(*names)
    looking.seeing.watch.fleet = looking.seeing.watch.fleet.model_copy(
        update={"balancer": Balancer.model_validate({"kind": "haproxy", "url": "http://10.0.0.9"})}
    )
    return looking


def test_traffic_to_a_fleet_of_which_nobody_is_ready_is_fail_open_and_said_loudly() -> None:
    looking, b1, b2 = balanced("b1", "b2"), Backend(), Backend()
    for _ in range(12):
        b1.serve(4)
        b2.serve(1)
        looking.scrape("b1", b1, ready=NOT_READY)
        looking.scrape("b2", b2, ready=NOT_READY)
    said = looking.seeing.view().fail_open
    assert said is not None
    assert said.startswith("Fail-open: nobody is ready, and the balancer still sent ")
    assert "to b1 and b2." in said


def test_what_was_served_before_everybody_fell_is_no_fail_open() -> None:
    looking, b1 = balanced("b1"), Backend()
    for _ in range(4):
        b1.serve(10)
        looking.scrape("b1", b1)
    for _ in range(3):
        looking.scrape("b1", b1, ready=NOT_READY)
    assert looking.seeing.backend("b1").load is not None
    assert looking.seeing.view().fail_open is None
    for _ in range(6):
        looking.scrape("b1", b1, ready=NOT_READY)
    assert looking.seeing.view().fail_open is None, "and later none came"


def test_one_that_is_ready_or_not_heard_of_or_a_fleet_without_a_balancer_is_no_fail_open() -> None:
    for ready, kind in ((None, "haproxy"), (NOT_READY, "none")):
        looking, b1, b2 = balanced("b1", "b2"), Backend(), Backend()
        looking.seeing.watch.fleet = looking.seeing.watch.fleet.model_copy(
            update={"balancer": Balancer.model_validate({"kind": kind})}
        )
        for _ in range(12):
            b1.serve(4)
            looking.scrape("b1", b1, ready=NOT_READY)
            looking.scrape("b2", b2, ready=ready)
        assert looking.seeing.view().fail_open is None
    blind = balanced("b1", "b2")
    blind.seeing.hear("b1", times=3, live=REFUSED)
    assert blind.seeing.view().fail_open is None
