"""What Prometheus scrapes. The registry is this program's own and is made in the composition root.

Client requests, probes and marked demo traffic are counted apart: a fleet whose only callers are its probes is idle, and must
look idle. Labels are route templates, never paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from backend.delivery import Outcome
from backend.faces.engine import ModelCard
from backend.faces.pool import InferencePool
from backend.gallery.replica import Replica
from backend.lifecycle import Lifecycle
from backend.stages import Stage

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STAGE_BUCKETS_S = (0.001, 0.0025, *BUCKETS_S)
PROBES = frozenset({"/health", "/live", "/ready", "/metrics"})
MARK = "x-synthetic"
"""The header of demo requests, in lower case."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traffic(StrEnum):
    client = "client"
    probe = "probe"
    synthetic = "synthetic"


class Metrics:
    def __init__(self, *, life: Lifecycle) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = self._counter("http_requests", "Client requests answered.", "method", "route", "status")
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time to answer client requests.",
            ("method", "route"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._stages = Histogram(
            "face_auth_stage_duration_seconds",
            "Time that client requests spend in a stage, each run of it by itself.",
            ("stage",),
            buckets=STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self._probes = self._counter("health_requests", "Probes and scrapes answered.", "route", "status")
        self._synthetic = self._counter("synthetic_requests", "Marked demo requests answered.", "route", "status")
        self._decisions = self._counter("face_auth_decisions", "Decisions by operation.", "operation", "decision")
        self._cases = self._gauge("face_auth_cases", "Review cases by state, at most 15 s old.", "state")
        self._overdue = self._gauge("face_auth_cases_overdue", "Review cases that wait for longer than they should.")
        self._oldest_case = self._gauge(
            "face_auth_cases_oldest_age_seconds", "Age of the review case that waits longest, counted from its opening; 0: none."
        )
        self._case_rate = self._gauge(
            "face_auth_cases_last_hour", "Review cases opened and resolved within the last hour: rates per hour.", "change"
        )
        self._scanned = self._gauge("face_auth_scan_templates", "Templates of the scan under way, at most 15 s old.", "state")
        self._pending = self._gauge("face_auth_enrolments_pending", "Enrolments begun and not decided, at most 15 s old.")
        self._pending_age = self._gauge(
            "face_auth_enrolments_pending_age_seconds",
            "Age of the oldest of them, at most 15 s old: minutes mean that no replica can finish it.",
        )
        self._unsealed = self._gauge("face_auth_audit_unsealed", "Audit events that are not sealed into the chain yet.")
        self._unsealed_age = self._gauge("face_auth_audit_unsealed_age_seconds", "Age of the oldest of them.")
        self._due = self._gauge(
            "face_auth_subjects_due", "People whose retention ends within so many days, at most 5 min old.", "within_days"
        )
        self._deliveries = self._counter(
            "face_auth_webhook_deliveries", "Attempts to deliver an event to the webhook.", "outcome"
        )
        self._undelivered = self._gauge(
            "face_auth_webhook_events", "Events that wait for the webhook, or were given up and are kept.", "state"
        )
        self._undelivered_age = self._gauge("face_auth_webhook_waiting_age_seconds", "Age of the oldest event that waits.")
        self._info = self._gauge("face_auth_info", "What this replica is.", "version", "engine", "model_id", "instance")
        help_ = "Thresholds in force, on the engine's scale; without `review` where a target FPIR sets it by the gallery's size."
        self._thresholds = self._gauge("face_auth_threshold", help_, "kind")
        self.in_flight = self._gauge("http_requests_in_flight", "Requests being answered, probes not counted.")
        connections = self._gauge("http_connections", "Open client connections.")
        connections.set_function(lambda: life.open_connections())

    def observe(self, traffic: Traffic, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        if traffic is Traffic.probe:
            self._probes.labels(route, status).inc()
        elif traffic is Traffic.synthetic:
            self._synthetic.labels(route, status).inc()
        else:
            method = method if method in METHODS else "other"
            self._requests.labels(method, route, status).inc()
            self._seconds.labels(method, route).observe(seconds)

    def staged(self, stage: Stage, seconds: float) -> None:
        self._stages.labels(stage).observe(seconds)

    def decided(self, operation: str, decision: str) -> None:
        self._decisions.labels(operation, decision).inc()

    def cases(self, counts: Mapping[str, int]) -> None:
        for state, count in counts.items():
            self._cases.labels(state).set(count)

    def queue(self, *, overdue: int, oldest_s: float, opened: int, resolved: int) -> None:
        """`opened`, `resolved`: within the last hour. Of the whole ledger, like `cases`: every replica says the same."""
        self._overdue.set(overdue)
        self._oldest_case.set(oldest_s)
        self._case_rate.labels("opened").set(opened)
        self._case_rate.labels("resolved").set(resolved)

    def scan(self, done: int, total: int) -> None:
        self._scanned.labels("done").set(done)
        self._scanned.labels("left").set(total - done)

    def enrolments(self, pending: int, oldest_s: float) -> None:
        self._pending.set(pending)
        self._pending_age.set(oldest_s)

    def audit(self, waiting: int, oldest_s: float) -> None:
        self._unsealed.set(waiting)
        self._unsealed_age.set(oldest_s)

    def webhook_attempt(self, outcome: Outcome) -> None:
        self._deliveries.labels(outcome).inc()

    def webhook(self, waiting: int, oldest_s: float, dropped: int) -> None:
        self._undelivered.labels("waiting").set(waiting)
        self._undelivered.labels("dropped").set(dropped)
        self._undelivered_age.set(oldest_s)

    def subjects_due(self, counts: Mapping[int, int]) -> None:
        """`counts`: days → people who are erased within them."""
        for days, count in counts.items():
            self._due.labels(days).set(count)

    def describe(self, card: ModelCard, *, version: str, instance: str, thresholds: Mapping[str, float]) -> None:
        """What this replica is, once its engine is loaded, and again when another model comes into force."""
        self._info.clear()
        self._info.labels(version, card.engine, card.model_id, instance).set(1)
        self._thresholds.clear()
        for kind, value in thresholds.items():
            self._thresholds.labels(kind).set(value)

    def watch(self, in_force: Callable[[], Replica], pool: InferencePool) -> None:
        """Read the gallery and the pool at each scrape; `in_force`: the index that is searched."""
        templates = self._gauge("face_auth_gallery_templates", "Templates in this replica's index.")
        templates.set_function(lambda: in_force().status().size)
        seq = self._gauge("face_auth_gallery_seq", "Last change of the gallery that this replica applied.")
        seq.set_function(lambda: in_force().status().seq)
        lag = self._gauge("face_auth_gallery_lag_seconds", "How far this replica is behind the log.")
        lag.set_function(lambda: in_force().status().lag_s)
        memory = self._gauge("face_auth_gallery_memory_bytes", "Memory that this replica's index takes.")
        memory.set_function(lambda: in_force().status().memory_bytes)
        limit = self._gauge("face_auth_gallery_memory_limit_bytes", "Memory that this replica's index may take.")
        limit.set_function(lambda: in_force().status().memory_limit_bytes)
        slots = self._gauge("face_auth_inference_slots", "Inference slots that this replica has.")
        slots.set(pool.workers)
        busy = self._gauge("face_auth_inference_busy", "Inference slots in use.")
        busy.set_function(lambda: pool.busy)
        waiting = self._gauge("face_auth_inference_waiting", "Requests waiting for an inference slot.")
        waiting.set_function(lambda: pool.waiting)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(name, help_, labels, registry=self.registry)

    def _gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(name, help_, labels, registry=self.registry)


def traffic_of(route: str, *, synthetic: bool) -> Traffic:
    if route in PROBES:
        return Traffic.probe
    return Traffic.synthetic if synthetic else Traffic.client
