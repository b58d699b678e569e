"""The monitor's own `/metrics`, read off what it knows at the moment of the scrape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.monitor import Monitor
from monitor.schedule import Lane
from monitor.wire import AlertState, CertificateState, DriftKind, FindingKind, State


def registry_of(monitor: Monitor) -> CollectorRegistry:
    """A registry of its own, so that two monitors in one process (tests) do not meet."""
    registry = CollectorRegistry()
    registry.register(_Fleet(monitor))
    ProcessCollector(registry=registry)
    return registry


class _Fleet(Collector):
    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._backends()
        yield from self._certificates()
        yield from self._alerts()
        yield from self._load()
        yield from self._drift()
        yield from self._synthetic()
        yield from self._self()

    def _backends(self) -> Iterator[Metric]:
        watch = self._monitor.watch
        now = watch.now()
        up = GaugeMetricFamily("face_auth_monitor_backend_up", "1 while UP on a fresh sample.", labels=["backend"])
        state = GaugeMetricFamily("face_auth_monitor_backend_state", "1 for the present state.", labels=["backend", "state"])
        age = GaugeMetricFamily("face_auth_monitor_sample_age_seconds", "Age of the last sample.", labels=["backend"])
        for name, one in watch.backends.items():
            fresh = not one.stale(watch.fleet.probes, now)
            up.add_metric([name], float(fresh and one.verdict.state is State.up))
            for value in State:
                state.add_metric([name, value], float(one.verdict.state is value))
            if one.last_sample_at is not None:
                age.add_metric([name], (now - one.last_sample_at).total_seconds())
        yield from (up, state, age)

    def _certificates(self) -> Iterator[Metric]:
        days = GaugeMetricFamily(
            "face_auth_monitor_certificate_days_left", "Days until it expires; negative when it has.", labels=["certificate"]
        )
        left = GaugeMetricFamily(
            "face_auth_monitor_certificate_lifetime_left",
            "What is left of its lifetime: 1 new, 0 expired; public lifetimes shrink, so alerts compare this.",
            labels=["certificate"],
        )
        state = GaugeMetricFamily(
            "face_auth_monitor_certificate_state", "1 for the present state.", labels=["certificate", "state"]
        )
        now = self._monitor.watch.now()
        for name, one in self._monitor.watch.certificates.items():
            for value in CertificateState:
                state.add_metric([name, value], float(one.state is value))
            if one.not_after is not None:
                days.add_metric([name], (one.not_after - now).total_seconds() / 86_400)
            if one.not_after is not None and one.not_before is not None and one.not_after > one.not_before:
                left.add_metric([name], (one.not_after - now) / (one.not_after - one.not_before))
        yield from (days, left, state)

    def _alerts(self) -> Iterator[Metric]:
        alerting = self._monitor.alerting
        alerts = GaugeMetricFamily("face_auth_monitor_alerts", "Open alerts.", labels=["state"])
        for state in AlertState:
            alerts.add_metric([state], float(alerting.counts.get(state, 0)))
        waiting = GaugeMetricFamily(
            "face_auth_monitor_delivery_attempts", "Failed attempts of what waits longest to be told.", labels=["route"]
        )
        for route in alerting.settings.routes:
            waiting.add_metric([route.name], float(alerting.undelivered.get(route.name, 0)))
        yield from (alerts, waiting)
        yield CounterMetricFamily(
            "face_auth_monitor_heartbeat_failures", "Heartbeats that did not arrive.", value=alerting.heartbeat_failures
        )

    def _load(self) -> Iterator[Metric]:
        found = GaugeMetricFamily(
            "face_auth_monitor_load_findings", "Backends found at fault in the last window of 60 s.", labels=["kind"]
        )
        findings = self._monitor.distribution.findings
        for kind in FindingKind:
            found.add_metric([kind], float(sum(one.kind is kind for one in findings)))
        yield found

    def _drift(self) -> Iterator[Metric]:
        found = GaugeMetricFamily(
            "face_auth_monitor_drift", "Findings on what differs across the fleet, by kind; 0 while none does.", labels=["kind"]
        )
        watch = self._monitor.watch
        kinds = [one.kind for one in watch.compare(watch.now())]
        for kind in DriftKind:
            found.add_metric([kind], kinds.count(kind))
        yield found

    def _synthetic(self) -> Iterator[Metric]:
        labels = ["through", "pair"]
        passed = GaugeMetricFamily(
            "face_auth_monitor_synthetic_passed", "1 while a known pair is decided rightly.", labels=labels
        )
        score = GaugeMetricFamily(
            "face_auth_monitor_synthetic_score", "Score of a known pair, on the engine's scale.", labels=labels
        )
        for one in self._monitor.synthetic.results():
            if one.passed is not None:
                passed.add_metric([one.through, one.pair], float(one.passed))
            if one.score is not None:
                score.add_metric([one.through, one.pair], one.score)
        yield from (passed, score)

    def _self(self) -> Iterator[Metric]:
        schedule = self._monitor.schedule
        yield GaugeMetricFamily(
            "face_auth_monitor_lateness_seconds", "How late the latest start of any duty was.", value=schedule.worst_lateness_s
        )
        yield _lateness(self._monitor.probing)
        yield GaugeMetricFamily(
            "face_auth_monitor_probes_in_flight", "Backends being probed.", value=self._monitor.probing.running
        )
        yield CounterMetricFamily(
            "face_auth_monitor_duty_overruns", "Duties given up at their deadline.", value=schedule.overruns
        )
        yield GaugeMetricFamily("face_auth_monitor_duties_in_flight", "Duties under way.", value=schedule.in_flight)
        yield CounterMetricFamily("face_auth_monitor_duty_failures", "Duties that raised: defects.", value=schedule.failures)
        yield CounterMetricFamily(
            "face_auth_monitor_store_failures", "Batches that could not be written.", value=self._monitor.store_failures
        )
        yield GaugeMetricFamily(
            "face_auth_monitor_fleet_file_ok",
            "0 while the present fleet file is refused.",
            value=float(not self._monitor.watch.fleet_error),
        )


def _lateness(lane: Lane) -> Metric:
    cumulative = itertools.accumulate(lane.late.values())
    found = HistogramMetricFamily(
        "face_auth_monitor_probe_lateness_seconds", "How late each backend's round began, its wait for a free place included."
    )
    buckets = [("+Inf" if math.isinf(bound) else str(bound), count) for bound, count in zip(lane.late, cumulative, strict=True)]
    found.add_metric([], buckets, sum_value=lane.late_sum_s)
    return found
