"""Alerts on the backends: who is away, the error budget, latency, capacity, galleries in step, the ledger's own queues. Pure."""

from __future__ import annotations

from deploy.render.prometheus_alerts import CRITICAL, WARNING, Alert
from deploy.render.prometheus_pace import Pace
from deploy.render.prometheus_recording import HOUR, MINUTE, WINDOWS
from deploy.render.prometheus_scrape import BACKENDS
from monitor.fleet import Fleet
from monitor.fleet_observability import Prometheus

OF_BACKENDS = f'{{job="{BACKENDS}"}}'
# Burn rates of the SRE workbook (chapter "Alerting on SLOs"): how fast, over which window, confirmed by which shorter one.
BURNS = (
    ("FaceAuthErrorBudgetBurningFast", CRITICAL, 14.4, "1h", "5m"),
    ("FaceAuthErrorBudgetBurningFast", CRITICAL, 6.0, "6h", "30m"),
    ("FaceAuthErrorBudgetBurningSlowly", WARNING, 3.0, "1d", "2h"),
    ("FaceAuthErrorBudgetBurningSlowly", WARNING, 1.0, "3d", "6h"),
)
FASTEST_BURN = max(burn for _, _, burn, _, _ in BURNS)
SAME = 1e-6
"""Two thresholds that differ by less are one that was written in two ways."""


def backends(fleet: Fleet) -> list[Alert]:
    degraded = 'face_auth_monitor_backend_state{state="DEGRADED"}'
    down = 'face_auth_monitor_backend_state{state="DOWN"}'
    absent = "\nor\n".join(f'absent(up{{job="{BACKENDS}", name="{backend.name}"}})' for backend in fleet.backends)
    return [
        Alert(
            "FaceAuthFleetDown", f"(sum(up{OF_BACKENDS}) or vector(0)) == 0", 30, CRITICAL, "No backend can be scraped"
        ),
        Alert("FaceAuthBackendDown", f"up{OF_BACKENDS} == 0", 30, CRITICAL, "Backend {{ $labels.name }} cannot be scraped"),
        Alert(
            "FaceAuthBackendAbsent", absent, MINUTE, CRITICAL,
            "Backend {{ $labels.name }} stands in the fleet file and is not scraped at all",
        ),
        Alert(
            "FaceAuthBackendUnhealthy",
            f'label_replace({down}, "name", "$1", "backend", "(.+)") == 1\nand on (name)\nup{OF_BACKENDS} == 1',
            MINUTE, CRITICAL, "Backend {{ $labels.name }} answers, and the monitor calls it down",
        ),
        Alert(
            "FaceAuthBackendDegraded", f'label_replace({degraded}, "name", "$1", "backend", "(.+)") == 1', 15 * MINUTE, WARNING,
            "Backend {{ $labels.name }} has been degraded or draining for a quarter of an hour",
        ),
        Alert(
            "FaceAuthBackendRestarting",
            f"changes(process_start_time_seconds{OF_BACKENDS}[15m]) > 2", 0, WARNING,
            "Backend {{ $labels.name }} restarted {{ $value }} times within a quarter of an hour",
        ),
    ]  # fmt: skip


def requests(fleet: Fleet, pace: Pace) -> list[Alert]:
    limits = fleet.alerts.thresholds
    enough = _enough("name", "5m", fleet, pace)
    slowest_s = limits.latency_p95_ms / 1000
    gone = f"job:http_requests:rate5m == 0\nand\njob:http_requests:rate1h * {_number(pace.seconds(HOUR))} >= "
    return [
        *(_burn(*row, fleet=fleet, pace=pace) for row in BURNS),
        Alert(
            "FaceAuthBackendErrorRatioHigh", f"name:http_request_errors:ratio_rate5m > {limits.error_ratio}\n{enough}", MINUTE,
            WARNING, "{{ $value | humanizePercentage }} of the requests at {{ $labels.name }} end in 5xx",
        ),
        Alert(
            "FaceAuthClientErrorsHigh", f"name:http_request_client_errors:ratio_rate5m > {limits.client_error_ratio}\n{enough}",
            10 * MINUTE, WARNING, "{{ $value | humanizePercentage }} of the requests at {{ $labels.name }} end in 4xx",
        ),
        Alert(
            "FaceAuthBackendLatencyHigh", f"name:http_request_duration_seconds:p95_5m > {_number(slowest_s)}\n{enough}",
            5 * MINUTE, WARNING, "The 95th percentile at {{ $labels.name }} is {{ $value | humanizeDuration }}",
        ),
        Alert(
            "FaceAuthLatencyHigh",
            f"job:http_request_duration_seconds:p95_5m > {_number(slowest_s)}\n{_enough('job', '5m', fleet, pace)}", 5 * MINUTE,
            CRITICAL, "The 95th percentile of the whole fleet is {{ $value | humanizeDuration }}",
        ),
        Alert(
            "FaceAuthTrafficGone", f"{gone}{limits.gone_after_requests}", 5 * MINUTE, WARNING,
            "No request for ten minutes, after an hour with traffic",
        ),
    ]  # fmt: skip


def _burn(name: str, severity: str, burn: float, long: str, short: str, *, fleet: Fleet, pace: Pace) -> Alert:
    limit = _number(burn * (1 - fleet.alerts.slo.availability))
    return Alert(
        name,
        f"job:http_request_errors:ratio_rate{long} > {limit}\nand\njob:http_request_errors:ratio_rate{short} > {limit}\n"
        + _enough("job", short, fleet, pace),
        0,
        severity,
        f"Errors use up the budget {_number(burn)} times too fast: {{{{ $value | humanizePercentage }}}} over {long}",
        {"long_window": long, "short_window": short},
    )


def _enough(level: str, window: str, fleet: Fleet, pace: Pace) -> str:
    """A ratio of three requests says nothing."""
    seconds = _number(pace.seconds(WINDOWS[window]))
    return f"and\n{level}:http_requests:rate{window} * {seconds} >= {fleet.alerts.thresholds.least_requests}"


def capacity(fleet: Fleet, pace: Pace) -> list[Alert]:
    limits, window = fleet.alerts.thresholds, pace.of(WINDOWS["5m"])
    busy = f"avg_over_time(face_auth_inference_busy{OF_BACKENDS}[{window}])"
    waiting = f"avg_over_time(face_auth_inference_waiting{OF_BACKENDS}[{window}])"
    return [
        Alert(
            "FaceAuthInferenceSaturated", f"{busy} / face_auth_inference_slots{OF_BACKENDS} > 0.9\nand\n{waiting} > 0",
            2 * MINUTE, WARNING,
            "{{ $value | humanizePercentage }} of the inference slots of {{ $labels.name }} are busy, and images wait",
        ),
        Alert(
            "FaceAuthRequestsInFlightHigh",
            f"avg_over_time(http_requests_in_flight{OF_BACKENDS}[{window}]) > {_number(limits.in_flight)}", MINUTE, WARNING,
            "{{ $value | humanize }} requests are in flight at {{ $labels.name }}",
        ),
        Alert(
            "FaceAuthConnectionsHigh", f"http_connections{OF_BACKENDS} >= {limits.connections}", MINUTE, WARNING,
            "{{ $value | humanize }} connections are open at {{ $labels.name }}",
        ),
        Alert(
            "FaceAuthOpenFilesHigh", f"process_open_fds{OF_BACKENDS} / process_max_fds{OF_BACKENDS} > 0.8", 5 * MINUTE, WARNING,
            "{{ $labels.name }} uses {{ $value | humanizePercentage }} of the files that it may open",
        ),
    ]  # fmt: skip


def gallery(fleet: Fleet) -> list[Alert]:
    lag_s = (fleet.prometheus or Prometheus()).gallery_lag_s
    templates, seq = f"face_auth_gallery_templates{OF_BACKENDS}", f"face_auth_gallery_seq{OF_BACKENDS}"
    memory = f"face_auth_gallery_memory_bytes{OF_BACKENDS} / (face_auth_gallery_memory_limit_bytes{OF_BACKENDS} > 0)"
    threshold = f"face_auth_threshold{OF_BACKENDS}"
    return [
        Alert(
            "FaceAuthGalleryBehind", f"face_auth_gallery_lag_seconds{OF_BACKENDS} > {_number(lag_s)}", 30, WARNING,
            "The gallery of {{ $labels.name }} is {{ $value | humanizeDuration }} behind the log",
        ),
        Alert(
            "FaceAuthGalleryDisagreement",
            f"max by (job) ({templates}) - min by (job) ({templates}) > 0\n"
            f"and\nmax by (job) ({seq}) == min by (job) ({seq})", 2 * MINUTE, WARNING,
            "Galleries at the same place of the log differ by {{ $value }} templates",
        ),
        Alert(
            "FaceAuthGalleryMemoryHigh", f"{memory} > 0.9", 5 * MINUTE, WARNING,
            "The gallery of {{ $labels.name }} takes {{ $value | humanizePercentage }} of the memory that it may take",
        ),
        Alert(
            "FaceAuthModelDisagreement", f"count by (job) (count by (job, model_id) (face_auth_info{OF_BACKENDS})) > 1",
            2 * MINUTE, CRITICAL, "Backends run {{ $value }} different models",
        ),
        Alert(
            "FaceAuthVersionDisagreement", f"count by (job) (count by (job, version) (face_auth_info{OF_BACKENDS})) > 1",
            fleet.drift.roll_grace_s, WARNING, "Backends run {{ $value }} different versions, for longer than a roll takes",
        ),
        Alert(
            "FaceAuthThresholdDisagreement", f"max by (job, kind) ({threshold}) - min by (job, kind) ({threshold}) > {SAME:f}",
            2 * MINUTE, WARNING, "Thresholds for {{ $labels.kind }} differ between backends by {{ $value | humanize }}",
        ),
    ]  # fmt: skip


def ledger() -> list[Alert]:
    """What every backend says alike, for it is the database's: the largest is taken."""

    def largest(metric: str) -> str:
        return f"max by (job) ({metric}{OF_BACKENDS})"

    return [
        Alert(
            "FaceAuthEnrolmentsStuck", f"{largest('face_auth_enrolments_pending_age_seconds')} > 300", MINUTE, CRITICAL,
            "An enrolment has been pending for {{ $value | humanizeDuration }}: no replica can finish it",
        ),
        Alert(
            "FaceAuthAuditUnsealed", f"{largest('face_auth_audit_unsealed_age_seconds')} > 900", 5 * MINUTE, WARNING,
            "Audit events have been unsealed for {{ $value | humanizeDuration }}",
        ),
        Alert(
            "FaceAuthCasesOverdue", f"{largest('face_auth_cases_overdue')} > 0", HOUR, WARNING,
            "{{ $value }} review cases wait for longer than they should",
        ),
        Alert(
            "FaceAuthWebhookBehind", f"{largest('face_auth_webhook_waiting_age_seconds')} > 900", 5 * MINUTE, WARNING,
            "The oldest event for the webhook has waited for {{ $value | humanizeDuration }}",
        ),
    ]  # fmt: skip


def _number(value: float) -> str:
    """Without the noise of binary fractions: 14.4 × (1 − 0.999) is 0.0144."""
    return f"{round(value, 9):.9f}".rstrip("0").rstrip(".")
