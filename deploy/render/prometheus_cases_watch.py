"""Cases of the alerts on certificates, monitor, balancer and Prometheus: see `prometheus_cases`."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.render.prometheus_alerts import WATCHDOG
from deploy.render.prometheus_alerts_watch import DAYS, LEFT, STATE
from deploy.render.prometheus_cases import Case, Fires, Labels, Series, pair
from deploy.render.prometheus_scrape import BALANCER, MONITOR
from monitor.fleet import BalancerKind, Fleet

JOB: Labels = {"job": MONITOR}
MANY = 3000
"""Days that no fixed limit reaches."""


def cases(fleet: Fleet) -> Iterator[Case]:
    yield from _certificates()
    yield from _monitor(fleet)
    yield from _balancer(fleet)
    yield from _prometheus()


def _of(metric: str, **labels: str) -> str:
    return metric + "{" + ", ".join(f'{name}="{value}"' for name, value in {**JOB, **labels}.items()) + "}"


def _certificates() -> Iterator[Case]:
    labels = {**JOB, "certificate": "worker1"}

    def left(share: float, days: float) -> Series:
        return {_of(LEFT, certificate="worker1"): f"{share}x60", _of(DAYS, certificate="worker1"): f"{days}x60"}

    yield from pair("FaceAuthCertificateExpiring", left(0.3, MANY), left(0.5, MANY), labels)
    yield from pair("FaceAuthCertificateNearlyExpired", left(0.1, MANY), left(0.3, MANY), labels)
    yield Case(
        "FaceAuthCertificateNearlyExpired", "fires for the last three days of a short one", left(0.4, 2), 12, (Fires(labels),)
    )
    yield from pair("FaceAuthCertificateExpired", left(-0.1, -6), left(0.1, 6), labels)
    for state, alert in (("invalid", "FaceAuthCertificateInvalid"), ("unknown", "FaceAuthCertificateUnknown")):
        name = _of(STATE, certificate="worker1", state=state)
        yield from pair(alert, {name: "1x60"}, {name: "0x60"}, {**labels, "state": state})


def _monitor(fleet: Fleet) -> Iterator[Case]:
    up = _of("up")
    yield from pair("FaceAuthMonitorDown", {up: "0x60"}, {up: "1x60"}, JOB)
    yield Case("FaceAuthMonitorDown", "fires when it is not scraped at all", {}, 12, (Fires(JOB),))
    late = _of("face_auth_monitor_lateness_seconds")
    limit = fleet.alerts.thresholds.lateness_s
    yield from pair("FaceAuthMonitorLate", {late: f"{limit + 3:g}x60"}, {late: "0.1x60"}, JOB, shown=f"{limit + 3:g}s")
    ok, failed = _of("face_auth_monitor_fleet_file_ok"), _of("face_auth_monitor_store_failures_total")
    yield from pair("FaceAuthMonitorFailing", {ok: "0x60"}, {ok: "1x60", failed: "7x60"}, JOB)
    yield Case("FaceAuthMonitorFailing", "fires when its database refuses", {ok: "1x60", failed: "0+1x60"}, 12, (Fires(JOB),))
    waiting = _of("face_auth_monitor_delivery_attempts", route="operators")
    yield from pair("FaceAuthMonitorUndelivered", {waiting: "5x60"}, {waiting: "1x60"}, {**JOB, "route": "operators"})
    where = {"through": "worker1", "pair": "genuine"}
    passed = _of("face_auth_monitor_synthetic_passed", **where)
    yield from pair("FaceAuthSyntheticFailing", {passed: "0x60"}, {passed: "1x60"}, {**JOB, **where})


def _balancer(fleet: Fleet) -> Iterator[Case]:
    up = f'up{{job="{BALANCER}"}}'
    yield from pair("FaceAuthBalancerDown", {up: "0x60"}, {up: "1x60"}, {"job": BALANCER})
    if fleet.balancer.kind is BalancerKind.nginx:
        seen = f'nginx_up{{job="{BALANCER}"}}'
        yield Case(
            "FaceAuthBalancerDown",
            "fires when the exporter reaches no nginx",
            {up: "1x60", seen: "0x60"},
            12,
            (Fires({"job": BALANCER}),),
        )
    labels = {"job": BALANCER, "proxy": "face_auth_backend", "server": "worker1", "state": "DOWN"}
    status = "haproxy_server_status{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
    yield from pair("FaceAuthBalancerRoutesAround", {status: "1x60"}, {status: "0x60"}, labels)


def _prometheus() -> Iterator[Case]:
    yield Case(WATCHDOG, "always fires", {}, 1, (Fires({}),))
    own = 'prometheus_{}{{job="prometheus"{}}}'.format
    reloaded = own("config_last_reload_successful", "")
    yield from pair("FaceAuthPrometheusRefusesItsConfiguration", {reloaded: "0x60"}, {reloaded: "1x60"}, {"job": "prometheus"})
    failed = own("rule_evaluation_failures_total", ', rule_group="g"')
    yield from pair(
        "FaceAuthPrometheusRulesFailing", {failed: "0+1x60"}, {failed: "5x60"}, {"job": "prometheus", "rule_group": "g"}
    )
    known, errors = own("notifications_alertmanagers_discovered", ""), own("notifications_errors_total", "")
    yield from pair("FaceAuthPrometheusCannotNotify", {known: "0x60"}, {known: "1x60", errors: "3x60"}, {"job": "prometheus"})
