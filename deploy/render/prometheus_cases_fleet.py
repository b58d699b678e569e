"""Cases of the alerts on backends: see `prometheus_cases`."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.render.prometheus_alerts_fleet import BURNS
from deploy.render.prometheus_cases import Case, Fires, Labels, Series, pair
from deploy.render.prometheus_scrape import BACKENDS
from monitor.fleet import Fleet
from monitor.fleet_observability import Prometheus

JOB = {"job": BACKENDS}
NO_SERIES: Series = {}
PER_MINUTE = 100_000
"""Requests of a made-up backend: enough to write a hundredth of a per mille as a whole number."""


def cases(fleet: Fleet) -> Iterator[Case]:
    names = [backend.name for backend in fleet.backends]
    yield from _reachable(fleet, names)
    for index in range(len(BURNS)):
        yield _burning(fleet, index)
    yield from _traffic(fleet, names[0])
    yield from _capacity(fleet, names[0])
    yield from _gallery(fleet, names[0])
    yield from _ledger()


def series(metric: str, **labels: str) -> str:
    """``metric{job="…", name="…"}``, with the backends' job where none is given."""
    given = {**({} if "job" in labels else JOB), **labels}
    return metric + "{" + ", ".join(f'{name}="{value}"' for name, value in given.items()) + "}"


def of(name: str) -> Labels:
    return {**JOB, "name": name}


def _state(name: str, state: str, value: int) -> Series:
    return {series("face_auth_monitor_backend_state", job="face-auth-monitor", backend=name, state=state): f"{value}x60"}


def _reachable(fleet: Fleet, names: list[str]) -> Iterator[Case]:
    one, rest = names[0], names[1:]
    up = {series("up", name=name): "1x60" for name in names}
    yield from pair(
        "FaceAuthFleetDown",
        {series("up", name=name): "0x60" for name in names},
        up | {series("up", name=one): "0x60"} if rest else up,
        {},
    )
    yield Case("FaceAuthFleetDown", "fires when nothing is scraped", NO_SERIES, 12, (Fires({}),))
    yield from pair("FaceAuthBackendDown", up | {series("up", name=one): "0x60"}, up, of(one))
    yield from pair("FaceAuthBackendAbsent", {series("up", name=name): "1x60" for name in rest}, up, of(one))
    from_monitor = {**of(one), "job": "face-auth-monitor", "backend": one}
    bad = {**up, **_state(one, "DOWN", 1)}
    yield from pair("FaceAuthBackendUnhealthy", bad, {**bad, **_state(one, "DOWN", 0)}, {**from_monitor, "state": "DOWN"})
    yield Case(
        "FaceAuthBackendUnhealthy",
        "leaves one that cannot be scraped to its own alert",
        bad | {series("up", name=one): "0x60"},
        12,
    )
    yield from pair(
        "FaceAuthBackendDegraded",
        _state(one, "DEGRADED", 1),
        _state(one, "DEGRADED", 0),
        {**from_monitor, "state": "DEGRADED"},
        at=20,
    )
    began = series("process_start_time_seconds", name=one)
    yield from pair("FaceAuthBackendRestarting", {began: "1x5 2x2 3x1 4x30"}, {began: "1x5 2x40"}, of(one), shown="3")


def _counted(name: str, ratio: float, status: str = "500") -> Series:
    """Requests of one backend, of which `ratio` end with `status`."""
    bad = round(ratio * PER_MINUTE)
    return {
        series("http_requests_total", name=name, status="200"): f"0+{PER_MINUTE - bad}x90",
        series("http_requests_total", name=name, status=status): f"0+{bad}x90",
    }


def _burning(fleet: Fleet, index: int) -> Case:
    """The budget burns a fifth faster than row `index` allows: it and the slower rows of its alert fire."""
    alert, _, burn, long, short = BURNS[index]
    budget = 1 - fleet.alerts.slo.availability
    ratio = round(burn * 1.2 * budget * PER_MINUTE) / PER_MINUTE
    fires = [
        Fires(JOB, percentage(ratio), {"long_window": row_long, "short_window": row_short})
        for name, _, row_burn, row_long, row_short in BURNS
        if name == alert and row_burn < burn * 1.2
    ]
    return Case(alert, f"fires at {burn:g} times, over {long} and {short}", _counted(fleet.backends[0].name, ratio), 35, fires)


def _traffic(fleet: Fleet, name: str) -> Iterator[Case]:
    limits = fleet.alerts.thresholds
    calm = _counted(name, 0.9 * (1 - fleet.alerts.slo.availability))
    few = {series("http_requests_total", name=name, status="500"): f"0+{limits.least_requests / 100}x90"}
    for alert in dict.fromkeys(row[0] for row in BURNS):
        yield Case(alert, "is silent within the budget", calm, 35)
        yield Case(alert, "is silent where there are too few requests", few if "Fast" in alert else NO_SERIES, 35)
    ratio = (1 + limits.error_ratio) / 2
    yield from pair("FaceAuthBackendErrorRatioHigh", _counted(name, ratio), calm, of(name), shown=percentage(ratio), at=12)
    yield Case("FaceAuthBackendErrorRatioHigh", "is silent where there are too few requests", few, 12)
    ratio = (1 + limits.client_error_ratio) / 2
    yield from pair(
        "FaceAuthClientErrorsHigh", _counted(name, ratio, "404"), _counted(name, 0.0, "404"), of(name),
        shown=percentage(ratio),
    )  # fmt: skip
    yield from _slow(fleet, name)
    gone = series("http_requests_total", name=name, status="200")
    yield from pair("FaceAuthTrafficGone", {gone: "0+1000x30 30000x40"}, {gone: "0+1000x60"}, JOB, at=45)


def _slow(fleet: Fleet, name: str) -> Iterator[Case]:
    """Every request takes twice what it may: one bucket's worth, so that the quantile is known."""
    limit = fleet.alerts.thresholds.latency_p95_ms / 1000
    counted = {series("http_requests_total", name=name, status="200"): "0+6000x90"}

    def took(bound: float) -> Series:
        buckets = {f"{bound:g}": "0+6000x90", "+Inf": "0+6000x90", f"{bound / 2:g}": "0x90"}
        return counted | {
            series("http_request_duration_seconds_bucket", name=name, le=le): values for le, values in buckets.items()
        }

    shown = f"{limit * 4 * 0.975:.4g}s"
    yield from pair("FaceAuthBackendLatencyHigh", took(limit * 4), took(limit / 2), of(name), shown=shown, at=12)
    yield from pair("FaceAuthLatencyHigh", took(limit * 4), took(limit / 2), JOB, shown=shown, at=12)


def _capacity(fleet: Fleet, name: str) -> Iterator[Case]:
    limits = fleet.alerts.thresholds

    def pool(busy: int, waiting: int) -> Series:
        figures = {"slots": 2, "busy": busy, "waiting": waiting}
        return {series(f"face_auth_inference_{what}", name=name): f"{value}x60" for what, value in figures.items()}

    yield from pair("FaceAuthInferenceSaturated", pool(2, 5), pool(2, 0), of(name), shown="100%")
    flying, open_ = series("http_requests_in_flight", name=name), series("http_connections", name=name)
    many = f"{2 * limits.in_flight:g}"
    yield from pair("FaceAuthRequestsInFlightHigh", {flying: f"{many}x60"}, {flying: "1x60"}, of(name), shown=many)
    at_limit = limits.connections
    yield from pair(
        "FaceAuthConnectionsHigh", {open_: f"{at_limit}x60"}, {open_: f"{at_limit - 1}x60"}, of(name), shown=f"{at_limit}"
    )

    def files(used: int) -> Series:
        return {series("process_open_fds", name=name): f"{used}x60", series("process_max_fds", name=name): "1000x60"}

    yield from pair("FaceAuthOpenFilesHigh", files(900), files(100), of(name), shown="90%")


def _gallery(fleet: Fleet, name: str) -> Iterator[Case]:
    lag_s = (fleet.prometheus or Prometheus()).gallery_lag_s
    lag = series("face_auth_gallery_lag_seconds", name=name)
    yield from pair("FaceAuthGalleryBehind", {lag: f"{lag_s * 2}x60"}, {lag: "0x60"}, of(name), shown=duration(lag_s * 2))

    def two(metric: str, first: str, second: str, **labels: str) -> Series:
        return {series(metric, name="a", **labels): f"{first}x60", series(metric, name="b", **labels): f"{second}x60"}

    same_seq = two("face_auth_gallery_seq", "9", "9")
    differ = two("face_auth_gallery_templates", "7", "5")
    yield from pair(
        "FaceAuthGalleryDisagreement",
        {**same_seq, **differ},
        {**two("face_auth_gallery_seq", "9", "8"), **differ},
        JOB,
        shown="2",
    )
    taken, limit = series("face_auth_gallery_memory_bytes", name=name), series("face_auth_gallery_memory_limit_bytes", name=name)
    yield from pair(
        "FaceAuthGalleryMemoryHigh", {taken: "95x60", limit: "100x60"}, {taken: "50x60", limit: "100x60"}, of(name), shown="95%"
    )

    def told(label: str, first: str, second: str) -> Series:
        return {series("face_auth_info", name=f"w{value}", **{label: value}): "1x120" for value in (first, second)}

    yield from pair("FaceAuthModelDisagreement", told("model_id", "m1", "m2"), told("model_id", "m1", "m1"), JOB, shown="2")
    late = 10 + round(fleet.drift.roll_grace_s / 60)
    yield from pair(
        "FaceAuthVersionDisagreement", told("version", "1", "2"), told("version", "1", "1"), JOB, shown="2", at=min(late, 110)
    )
    kind = {**JOB, "kind": "review"}
    yield from pair(
        "FaceAuthThresholdDisagreement", two("face_auth_threshold", "0.5", "0.25", kind="review"),
        two("face_auth_threshold", "0.5", "0.5", kind="review"), kind, shown="250m",
    )  # fmt: skip


def _ledger() -> Iterator[Case]:
    pending = series("face_auth_enrolments_pending_age_seconds", name="a")
    yield from pair("FaceAuthEnrolmentsStuck", {pending: "400x60"}, {pending: "3x60"}, JOB, shown=duration(400))
    unsealed = series("face_auth_audit_unsealed_age_seconds", name="a")
    yield from pair("FaceAuthAuditUnsealed", {unsealed: "1000x60"}, {unsealed: "3x60"}, JOB, shown=duration(1000))
    overdue = series("face_auth_cases_overdue", name="a")
    yield from pair("FaceAuthCasesOverdue", {overdue: "4x90"}, {overdue: "0x90"}, JOB, shown="4", at=65)
    waits = series("face_auth_webhook_waiting_age_seconds", name="a")
    yield from pair("FaceAuthWebhookBehind", {waits: "1000x60"}, {waits: "0x60"}, JOB, shown=duration(1000))


def percentage(ratio: float) -> str:
    """As Prometheus' `humanizePercentage`."""
    return f"{ratio * 100:.4g}%"


def duration(seconds: float) -> str:
    """As Prometheus' `humanizeDuration`, below an hour."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:g}m {rest:g}s" if minutes else f"{rest:.4g}s"
